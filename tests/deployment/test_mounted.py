from pathlib import Path

import helm_python as helm
import pytest

from gateway.app import registry
from gateway.config.load import load
from tests.deployment.chart import one, rendered, values_in

SECRETS = {
    "GATEWAY_ADMIN_TOKEN": "not-a-real-token",
    "UK_SHOP_SECRET": "not-a-real-secret",
    "OMETRIA_KEY": "not-a-real-key",
    "ERP_KEY": "not-a-real-key",
}


@pytest.mark.parametrize("name", ["shop", "everything", "defaults"])
def test_the_gateway_takes_the_configuration_that_is_mounted(chart: helm.Chart, tmp_path: Path, name: str) -> None:
    manifests = rendered(chart, values_in(Path(__file__).parent / "values" / f"{name}.yaml"))
    secret = tmp_path / "GATEWAY_ADMIN_TOKEN"
    secret.write_text("not-a-real-token")
    for file, text in one(manifests, "ConfigMap")["data"].items():
        (tmp_path / file).write_text(text.replace("/run/secrets/gateway", str(tmp_path)))

    loaded = load(tmp_path, registry(), SECRETS)

    assert loaded.config.revision == 3, "the release's"
    assert loaded.config.journal.url.startswith("sqlite:////data/")
    assert loaded.config.receiver.listen == "0.0.0.0:8080"
    assert loaded.config.admin.listen == "0.0.0.0:8081"
