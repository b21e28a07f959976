"""`gateway init`: a first configuration that passes `gateway check`, from flags or from answers."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway import app
from gateway.cli import gateway
from gateway.receive.presets import shipped

PEM = (
    generate_private_key(65537, 2048)
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
SET = {"altcraft": ["crm.base_url=https://a.example.com", "crm.db_id=1"], "amperity": ["crm.tenant=acme"]}
SET |= {"http": ["crm.url=https://example.com/in"], "ometria_batch": ["crm.domain_key=acme", "crm.location_key=eu"]}
SET |= {"amperity": ["crm.tenant=acme", "crm.streams={customer: is-c}"]}
ASKED = {"square": ["shop.notification_url=https://hooks.example.com/webhooks/shop"]}
ASKED |= {"saleor": ["shop.api_url=https://shop.example.com/graphql/"]}


def init(folder: Path, *words: str, **more: Any) -> Result:
    result = CliRunner().invoke(gateway, ["init", "--into", str(folder / "gateway.yaml"), *words], **more)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def checked(folder: Path) -> Result:
    """What `gateway check` says when every variable that is listed is set."""
    listed = (folder / "gateway.env.example").read_text().splitlines()
    names = [line.partition("=")[0] for line in listed if not line.startswith("#")]
    env = {name: PEM if name.endswith("PUBLIC_KEY") else "61" * 8 for name in names}
    return CliRunner().invoke(gateway, ["check", "--strict", "--config", str(folder / "gateway.yaml")], env=env)


def settings(texts: list[str]) -> list[str]:
    return [word for text in texts for word in ("--set", text)]


@pytest.mark.parametrize("preset", sorted(shipped()))
def test_every_platform_makes_a_sound_source(tmp_path: Path, preset: str) -> None:
    words = ["--source", f"shop={preset}", "--destination", "crm=http", *settings(SET["http"])]
    result = init(tmp_path, *words, *settings(ASKED.get(preset, [])))
    assert (result.exit_code, checked(tmp_path).exit_code) == (0, 0), checked(tmp_path).stderr


@pytest.mark.parametrize("vendor", sorted(app.vendors()))
def test_every_vendor_makes_a_sound_destination(tmp_path: Path, vendor: str) -> None:
    words = ["--source", "shop=shopify", "--destination", f"crm={vendor}", *settings(SET.get(vendor, []))]
    result = init(tmp_path, *words)
    assert (result.exit_code, checked(tmp_path).exit_code) == (0, 0), checked(tmp_path).stderr


def test_no_secret_is_written_and_every_variable_is_named(tmp_path: Path) -> None:
    result = init(tmp_path, "--source", "uk-shop=shopify", "--destination", "ometria", "--set", "uk-shop.country=GB")
    text = (tmp_path / "gateway.yaml").read_text()
    names = ("GATEWAY_ADMIN_TOKEN", "UK_SHOP_SECRET", "OMETRIA_KEY")
    assert [name for name in names if f"${{{name}}}" not in text or f"export {name}=" not in result.stdout] == []
    assert "country: GB" in text
    assert 'events: ["customer.*"' in text


def test_several_sources_and_destinations_are_one_configuration(tmp_path: Path) -> None:
    words = [
        "--source",
        "uk=shopify",
        "--source",
        "de=woocommerce",
        "--destination",
        "ometria",
        "--destination",
        "log=http",
    ]
    assert init(tmp_path, *words, "--set", "log.url=https://example.com").exit_code == 0
    loaded = app.load_config(
        tmp_path / "gateway.yaml", dict.fromkeys(("GATEWAY_ADMIN_TOKEN", "UK_SECRET", "DE_SECRET", "OMETRIA_KEY"), "x")
    )
    assert (set(loaded.config.sources), set(loaded.destinations)) == ({"uk", "de"}, {"ometria", "log"})


def test_what_no_flag_tells_is_asked(tmp_path: Path) -> None:
    result = init(tmp_path, input="uk=shopify\nlog=http\nhttps://example.com/in\n")
    assert result.exit_code == 0
    assert "Which platform sends" in result.stdout
    assert "Where do events go" in result.stdout
    assert "url: https://example.com/in" in (tmp_path / "gateway.yaml").read_text()


def test_an_example_that_stands_in_is_told(tmp_path: Path) -> None:
    result = init(tmp_path, "--source", "shopify", "--destination", "octolis")
    assert result.exit_code == 0
    assert "put in your own: octolis.datasets" in result.stdout
    assert "# an example: put in your own" in (tmp_path / "gateway.yaml").read_text()


def test_a_file_that_is_there_is_kept_unless_forced(tmp_path: Path) -> None:
    words = ("--source", "shopify", "--destination", "ometria")
    assert init(tmp_path, *words).exit_code == 0
    (tmp_path / "gateway.yaml").write_text("# mine\n")
    assert init(tmp_path, *words).exit_code == 2
    assert (tmp_path / "gateway.yaml").read_text() == "# mine\n"
    assert init(tmp_path, *words, "--force").exit_code == 0


def test_editors_find_the_schema_beside_it(tmp_path: Path) -> None:
    init(tmp_path, "--source", "shopify", "--destination", "ometria")
    assert (tmp_path / "gateway.schema.json").read_text().startswith("{")
    assert (tmp_path / "gateway.yaml").read_text().startswith("# yaml-language-server: $schema=gateway.schema.json\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--source", "shopfy", "--destination", "ometria"], "did you mean `shopify`?"),
        (["--source", "shopify", "--destination", "omertia"], "did you mean `ometria`?"),
        (["--source", "A B", "--destination", "ometria"], "--source"),
        (["--source", "a=shopify", "--source", "a=wix", "--destination", "ometria"], "two are called a"),
        (["--source", "a=shopify", "--destination", "a=ometria"], "have the same name"),
        (["--source", "shopify", "--destination", "ometria", "--set", "x"], "is not NAME.KEY=VALUE"),
        (["--source", "shopify", "--destination", "ometria", "--set", "crm.x=1"], "there is no `crm` to set"),
        (
            ["--source", "shopify", "--destination", "ometria", "--set", "ometria.colection=1"],
            "did you mean `collection`?",
        ),
        (["--source", "shopify", "--destination", "http", "--set", "http.url=nowhere"], "a URL is wanted"),
    ],
)
def test_a_mistake_is_a_sentence(tmp_path: Path, words: list[str], said: str) -> None:
    result = init(tmp_path, *words)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr
    assert not (tmp_path / "gateway.yaml").exists()


def test_where_nobody_answers_it_names_the_flags(tmp_path: Path) -> None:
    nothing_told = init(tmp_path)
    half_told = init(tmp_path, "--source", "shopify", "--destination", "http")

    assert (nothing_told.exit_code, half_told.exit_code) == (2, 2)
    assert "--source KIND" in nothing_told.output
    assert "--set http.url=VALUE" in half_told.output
    assert not (tmp_path / "gateway.yaml").exists()


@pytest.mark.parametrize("place", ["/proc/gateway.yaml", "/proc/nowhere/gateway.yaml", "{file}/gateway.yaml"])
def test_a_place_that_cannot_be_written_to_is_said(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    place = place.format(file=tmp_path / "file")
    words = ["init", "--source", "uk=shopify", "--destination", "crm=ometria", "--into", place]
    result = CliRunner().invoke(gateway, words)
    assert result.exit_code == 2
    assert "Invalid value for --into" in result.stderr
    assert "cannot be written" in result.stderr


def test_what_is_no_name_is_said(tmp_path: Path) -> None:
    for word in ("u k=shopify", "UK=shopify"):
        result = init(tmp_path, "--source", word, "--destination", "crm=ometria")
        assert "is not [NAME=]KIND" in result.stderr
        assert "a-z, 0-9" in result.stderr


def test_a_setting_of_nobody_says_who_there_is(tmp_path: Path) -> None:
    result = init(tmp_path, "--source", "uk=shopify", "--destination", "crm=ometria", "--set", "cr.collection=x")
    assert "there is no `cr` to set: did you mean `crm`?" in result.stderr


def test_the_list_of_variables_holds_values_and_comments_on_lines_of_their_own(tmp_path: Path) -> None:
    """`docker run --env-file` takes all behind the `=` for the value."""
    init(tmp_path, "--source", "uk=shopify", "--destination", "crm=ometria")
    lines = (tmp_path / "gateway.env.example").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["GATEWAY_ADMIN_TOKEN=", "UK_SECRET=", "CRM_KEY="]
    assert len([line for line in lines if line.startswith("# ")]) == 3
