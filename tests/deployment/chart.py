"""The chart as Helm renders it, without a cluster."""

from pathlib import Path
from typing import Any

import helm_python as helm
from ruamel.yaml import YAML

CHART = Path(__file__).parents[2] / "helm" / "gateway"
VALUES = sorted((Path(__file__).parent / "values").glob("*.yaml"))

Manifest = dict[str, Any]


def values_in(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = helm.values_from_yaml(file.read_text())
    return found


def rendered(chart: helm.Chart, values: dict[str, Any]) -> list[Manifest]:
    texts = chart.render(values, name="shop", namespace="hooks", revision=3)
    yaml = YAML(typ="safe")
    return [
        document
        for name, text in texts.items()
        if not name.endswith("NOTES.txt")
        for document in yaml.load_all(text)
        if document
    ]


def one(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


def pod(manifests: list[Manifest]) -> Manifest:
    found: Manifest = one(manifests, "StatefulSet")["spec"]["template"]["spec"]
    return found
