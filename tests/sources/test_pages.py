"""Every preset has its page; what a page tells to write is a configuration that `check` takes."""

import re
from pathlib import Path
from typing import get_args

import pytest

from gateway import app
from gateway.receive.presets import shipped
from gateway.receive.verify import AnyScheme
from gateway.sandbox import samples
from gateway.sandbox.keypair import KeyPair

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = DOCS / "sources"
SECTIONS = [
    "Where to click",
    "What is verified",
    "What identifies a retry",
    "What is answered",
    "Traps",
    "Try it",
    "Certain, and uncertain",
]
SECRET = {"STANDARD": "whsec_bm9ydGhsaWdodC1zdGFuZGFyZC1rZXk=", "HEX": "00ff" * 16}
SECRET_OF = {"adyen": "HEX", "adyen-platform": "HEX", "standard-webhooks": "STANDARD"}

each_preset = pytest.mark.parametrize("preset", sorted(shipped()))


def text_of(preset: str) -> str:
    return (PAGES / f"{preset}.md").read_text("utf-8")


def test_there_is_a_page_for_every_preset_and_none_besides() -> None:
    pages = {path.stem for path in PAGES.glob("*.md")} - {"README"}
    assert pages == set(shipped())
    listed = re.findall(r"^\| \[`([a-z-]+)`\]", (PAGES / "README.md").read_text("utf-8"), re.MULTILINE)
    assert listed == sorted(shipped())


@each_preset
def test_a_page_has_the_sections_that_all_have(preset: str) -> None:
    assert re.findall(r"^## (.+)$", text_of(preset), re.MULTILINE) == SECTIONS
    assert text_of(preset).count("**Uncertain**") == 1


@each_preset
def test_the_configuration_of_a_page_is_taken(preset: str, tmp_path: Path) -> None:
    key = tmp_path / "platform.pem"
    key.write_bytes(KeyPair.generate().public_pem())
    (yaml,) = re.findall(r"```yaml\n(.*?)```", text_of(preset), re.DOTALL)
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.replace("/run/secrets/wix.pem", str(key)))
    value = SECRET.get(SECRET_OF.get(preset, ""), "a-secret-of-the-shop")
    loaded = app.load_config(file, dict.fromkeys(re.findall(r"\$\{([A-Z_]+)\}", yaml), value))
    (source,) = loaded.config.sources.values()
    assert source.preset == preset


@each_preset
def test_the_samples_that_a_page_names_are_there(preset: str) -> None:
    named = re.findall(r"--sample (\S+)", text_of(preset))
    assert set(named) <= set(samples.names(preset))


def test_the_page_on_adding_a_source_names_what_is_there(tmp_path: Path) -> None:
    page = (DOCS / "adding-a-source.md").read_text("utf-8")
    file = tmp_path / "gateway.yaml"
    (yaml,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    file.write_text(yaml)
    assert set(app.load_config(file, {"TILL_ONE": "a", "TILL_TWO": "b"}).config.sources) == {"till-one", "till-two"}
    places = re.findall(r"`((?:gateway|tests|docs)/[a-z_/.]+)`", page)
    assert [place for place in places if not (ROOT / place).exists()] == []
    schemes = [one.model_fields["scheme"].default for one in get_args(get_args(AnyScheme)[0])]
    assert len(schemes) == 9
    assert [name for name in schemes if f"`{name}`" not in page] == []
