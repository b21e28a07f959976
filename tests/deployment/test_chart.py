from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from gateway.telemetry.metrics import AT_SCRAPE, REGISTRY
from tests.deployment.chart import CHART, VALUES, Manifest, one, pod, rendered, values_in

KUBERNETES = ("1.25", "1.31", "1.34")
CUSTOM = {"ServiceMonitor", "PrometheusRule"}
"""Kinds of the Prometheus operator, of which the schemas of Kubernetes know nothing."""


@pytest.fixture(params=VALUES, ids=lambda file: file.stem)
def manifests(request: pytest.FixtureRequest, chart: helm.Chart) -> list[Manifest]:
    return rendered(chart, values_in(request.param))


@pytest.mark.parametrize("file", VALUES, ids=lambda file: file.stem)
def test_the_linter_finds_nothing_to_warn_of(file: Path) -> None:
    report = helm.lint(CHART, values_in(file), strict=True, kube_version="v1.31.0")

    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_manifest_is_what_kubernetes_expects(manifests: list[Manifest], version: str) -> None:
    for manifest in manifests:
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_every_name_that_is_referred_to_is_there(manifests: list[Manifest]) -> None:
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
    found = one(manifests, "StatefulSet")
    given = {("ConfigMap", "my-config"), ("ServiceAccount", "hooks"), ("Secret", "shop-secrets")}

    assert ("Service", found["spec"]["serviceName"]) in names
    assert ("ServiceAccount", pod(manifests)["serviceAccountName"]) in names | given
    for volume in pod(manifests)["volumes"]:
        if "configMap" in volume:
            assert ("ConfigMap", volume["configMap"]["name"]) in names | given
        if "secret" in volume:
            assert ("Secret", volume["secret"]["secretName"]) in names | given


def test_selectors_find_the_pod_and_do_not_change_with_the_version(manifests: list[Manifest]) -> None:
    found = one(manifests, "StatefulSet")
    labels = found["spec"]["template"]["metadata"]["labels"]

    for selector in [found["spec"]["selector"]["matchLabels"], *_service_selectors(manifests)]:
        assert selector.items() <= labels.items()
        assert "app.kubernetes.io/version" not in selector


def _service_selectors(manifests: list[Manifest]) -> Iterator[dict[str, str]]:
    return (manifest["spec"]["selector"] for manifest in manifests if manifest["kind"] == "Service")


def test_the_service_monitor_finds_only_the_admin_service(chart: helm.Chart) -> None:
    manifests = rendered(chart, values_in(Path(__file__).parent / "values" / "everything.yaml"))
    wanted = one(manifests, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    services = [manifest for manifest in manifests if manifest["kind"] == "Service"]

    found = [service for service in services if wanted.items() <= service["metadata"]["labels"].items()]
    assert [service["metadata"]["name"] for service in found] == ["hooks-admin"]


def test_one_replica_on_one_volume(manifests: list[Manifest]) -> None:
    spec = one(manifests, "StatefulSet")["spec"]

    assert spec["replicas"] == 1
    assert [claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]] == ["data"]


def test_every_container_is_hardened(manifests: list[Manifest]) -> None:
    pods = [pod(manifests), *(manifest["spec"] for manifest in manifests if manifest["kind"] == "Pod")]
    for spec in pods:
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        (container,) = spec["containers"]
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "memory" in container["resources"]["limits"]


def test_probes_ask_for_what_each_is_for(manifests: list[Manifest]) -> None:
    (container,) = pod(manifests)["containers"]
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}

    assert asked["liveness"] == asked["startup"] == {"path": "/healthz", "port": "admin"}
    assert asked["readiness"] == {"path": "/readyz?role=receiver", "port": "admin"}


def test_it_has_time_to_settle_what_is_in_flight(manifests: list[Manifest]) -> None:
    assert pod(manifests)["terminationGracePeriodSeconds"] >= 35


def test_secrets_are_environment_variables_and_files(chart: helm.Chart) -> None:
    found = pod(rendered(chart, values_in(Path(__file__).parent / "values" / "shop.yaml")))
    (container,) = found["containers"]

    assert container["envFrom"] == [{"secretRef": {"name": "shop-secrets"}}]
    assert {"name": "secrets", "mountPath": "/run/secrets/gateway", "readOnly": True} in container["volumeMounts"]


def test_without_secrets_nothing_is_mounted_for_them(chart: helm.Chart) -> None:
    found = pod(rendered(chart, {}))

    assert "secrets" not in {volume["name"] for volume in found["volumes"]}
    assert "envFrom" not in found["containers"][0]


def test_a_revision_of_ones_own_wins(chart: helm.Chart) -> None:
    as_values = one(rendered(chart, {"config": {"revision": 41}}), "ConfigMap")["data"]["gateway.yaml"]
    as_text = one(rendered(chart, {"config": "revision: 41\nsources: {}\n"}), "ConfigMap")["data"]["gateway.yaml"]

    assert YAML(typ="safe").load(as_values)["revision"] == 41
    assert YAML(typ="safe").load(as_text)["revision"] == 41


def marks(chart: helm.Chart, values: dict[str, Any]) -> dict[str, str]:
    """What, when it changes, starts the pod anew."""
    found: dict[str, str] = one(rendered(chart, values), "StatefulSet")["spec"]["template"]["metadata"]["annotations"]
    return found


def test_a_new_route_or_shop_leaves_the_pod_alone(chart: helm.Chart) -> None:
    assert marks(chart, {"config": {"sources": {"erp": {"preset": "generic"}}}}) == marks(chart, {})
    assert marks(chart, {"config": {"revision": 9, "log": {"level": "debug"}}}) == marks(chart, {})


@pytest.mark.parametrize("section", ["journal", "receiver", "admin"])
def test_what_does_not_change_in_a_running_gateway_starts_the_pod_anew(chart: helm.Chart, section: str) -> None:
    changed = {"keep": "9d", "body_limit": "2MiB", "token": "${GATEWAY_ADMIN_TOKEN}"}
    as_values = marks(chart, {"config": {section: changed}})
    one_text, other_text = (marks(chart, {"config": f"{section}: {{x: {n}}}\nroutes: []\n"}) for n in (1, 2))

    assert as_values["checksum/config"] != marks(chart, {})["checksum/config"]
    assert one_text["checksum/config"] != other_text["checksum/config"]


def test_a_changed_secret_starts_the_pod_anew(chart: helm.Chart) -> None:
    assert marks(chart, {"secrets": {"values": {"A": "b"}}})["checksum/secrets"] != marks(chart, {})["checksum/secrets"]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replicaCount": 3}, "replicaCount"),
        ({"config": {"journal": {"url": "mysql://db/gateway"}}}, "config"),
        ({"config": {"receiver": {"listen": "0.0.0.0:9000"}}}, "config"),
        ({"config": {"sorces": {}}}, "config"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"persistence": {"size": "plenty"}}, "size"),
        ({"service": {"port": 0}}, "port"),
        ({"secrets": {"values": {"1-BAD": "x"}}}, "1-BAD"),
        ({"secrets": {"values": {"EMPTY": ""}}}, "EMPTY"),
        ({"ingress": {"enabled": True}}, "hosts"),
        ({"terminationGracePeriodSeconds": 5}, "terminationGracePeriodSeconds"),
        ({"podDisruptionBudget": {"maxUnavailable": 2}}, "maxUnavailable"),
        ({"serviceMonitor": {"interval": "often"}}, "interval"),
        ({"env": [{"value": "x"}]}, "name"),
    ],
    ids=lambda part: part if isinstance(part, str) else "-".join(part),
)
def test_wrong_values_are_refused_by_name(chart: helm.Chart, values: dict[str, Any], named: str) -> None:
    with pytest.raises(helm.HelmError, match=named):
        chart.validate_schema(values)


def test_every_value_is_described_by_the_schema_and_explained_in_the_file(chart: helm.Chart) -> None:
    schema = chart.schema
    assert schema is not None

    assert set(chart.values) == set(schema["properties"]) - {"global"}


def test_alerts_ask_for_metrics_that_exist(chart: helm.Chart) -> None:
    names = {family.name for family in REGISTRY.collect()} | set(AT_SCRAPE)
    rules = one(rendered(chart, {"prometheusRule": {"enabled": True}}), "PrometheusRule")["spec"]["groups"][0]["rules"]

    for rule in rules:
        assert [name for name in names if name in rule["expr"]], rule["alert"]
        assert rule["annotations"]["summary"]
