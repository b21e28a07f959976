"""The chart with receivers and dispatchers as Deployments of their own, on PostgreSQL."""

from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest

from tests.deployment.chart import CHART, Manifest, one, rendered, values_in

VALUES = values_in(Path(__file__).parent / "replicas.yaml")


@pytest.fixture
def manifests(chart: helm.Chart) -> list[Manifest]:
    return rendered(chart, VALUES)


def _deployments(manifests: list[Manifest]) -> dict[str, dict[str, Any]]:
    """Their specs, by role."""
    found = [one for one in manifests if one["kind"] == "Deployment"]
    return {one["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"] for one in found}


def _pods(manifests: list[Manifest]) -> list[Manifest]:
    specs = [*_deployments(manifests).values(), one(manifests, "Job")["spec"]]
    return [spec["template"]["spec"] for spec in specs]


def test_the_linter_finds_nothing_to_warn_of(chart: helm.Chart) -> None:
    report = helm.lint(CHART, VALUES, strict=True, kube_version="v1.31.0")
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []
    chart.validate_schema(VALUES)


@pytest.mark.parametrize("version", ["1.25", "1.34"])
def test_every_manifest_is_what_kubernetes_expects(manifests: list[Manifest], version: str) -> None:
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_each_role_has_its_replicas_and_no_volume(manifests: list[Manifest]) -> None:
    found = _deployments(manifests)
    assert {role: spec["replicas"] for role, spec in found.items()} == {"receiver": 3, "dispatcher": 2}
    assert "StatefulSet" not in {manifest["kind"] for manifest in manifests}
    for role, spec in found.items():
        (container,) = spec["template"]["spec"]["containers"]
        assert container["args"] == ["serve", "--role", role]
        assert container["readinessProbe"]["httpGet"]["path"] == f"/readyz?role={role}"
        assert "/data" not in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_webhooks_come_to_receivers_alone_and_the_admin_ports_are_everybodys(manifests: list[Manifest]) -> None:
    pods = {role: spec["template"]["metadata"]["labels"] for role, spec in _deployments(manifests).items()}
    pods["migrate"] = one(manifests, "Job")["spec"]["template"]["metadata"]["labels"]
    asked = {
        manifest["metadata"]["name"]: {
            role for role, labels in pods.items() if manifest["spec"]["selector"].items() <= labels.items()
        }
        for manifest in manifests
        if manifest["kind"] == "Service"
    }
    assert asked == {"shop-gateway": {"receiver"}, "shop-gateway-admin": {"receiver", "dispatcher"}}
    for role, spec in _deployments(manifests).items():
        chosen = spec["selector"]["matchLabels"].items()
        assert {name for name, labels in pods.items() if chosen <= labels.items()} == {role}


def test_the_schema_is_migrated_before_an_upgrade(manifests: list[Manifest]) -> None:
    job = one(manifests, "Job")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["migrate"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"
    assert container["envFrom"] == [{"secretRef": {"name": "shop-secrets"}}]


def test_every_container_is_hardened_and_has_time_to_settle(manifests: list[Manifest]) -> None:
    for spec in _pods(manifests):
        (container,) = spec["containers"]
        assert spec["automountServiceAccountToken"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert spec["terminationGracePeriodSeconds"] >= 35


def test_replicas_on_a_file_are_refused(chart: helm.Chart) -> None:
    with pytest.raises(helm.HelmError, match=r"set config\.journal\.url"):
        chart.render({"roles": {"enabled": True}}, name="shop", namespace="hooks", revision=3)
    chart.render({"roles": {"enabled": True}, "existingConfigMap": "mine"}, name="shop", namespace="hooks", revision=3)
