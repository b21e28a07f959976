"""A configuration in a folder of the test's own, and a way to run commands on it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import gateway

ENV = {
    "UK_SHOP_SECRET": "tide-pool-9021",
    "ERP_KEY": "wren-harbour-7",
    "ERP_SECRET": "fell-moor-31",
    "CRM_KEY": "kiln-44",
}

CONFIG = """
journal: {{url: "sqlite:///{folder}/gateway.db"}}
sources:
  uk-shop: {{preset: shopify, secrets: "${{UK_SHOP_SECRET}}", currency: GBP}}
  erp:
    api_key: ${{ERP_KEY}}
    secrets: ${{ERP_SECRET}}
    verify: {{header: X-Signature, signed: "{{timestamp}}.{{body}}", timestamp: "header:X-Time"}}
    topic: header:X-Event-Type
    identity: [header:X-Event-Id]
destinations:
  crm: {{vendor: ometria, api_key: "${{CRM_KEY}}", collection: uk-shop}}
  bin: {{vendor: http, url: "https://example.com/in", auth: {{bearer: "${{CRM_KEY}}"}}}}
routes:
  - {{from: uk-shop, events: ["order.*", "customer.*"], to: crm}}
  - {{from: uk-shop, events: "order.*", when: "data.total > `1000`", to: bin}}
  - {{from: erp, to: bin}}
"""

Run = Callable[..., Result]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration's file."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG.format(folder=tmp_path))
    return file


@pytest.fixture
def run(config: Path) -> Run:
    """Run a command on the configuration: `run("audit", "--json")`."""

    def invoke(*words: str, **more: Any) -> Result:
        env = {**ENV, "GATEWAY_CONFIG": str(config), **more.pop("env", {})}
        result = CliRunner().invoke(gateway, list(words), env=env, **more)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def answer(result: Result) -> Any:
    """The JSON object that a command printed."""
    return json.loads(result.stdout)
