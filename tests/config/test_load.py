"""What loads, and what it becomes."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config.load import Loaded, Problem, load
from gateway.config.schema import BreakerSetting, Config
from gateway.errors import ConfigurationError
from tests.config.registry import ENV, REGISTRY, Http, Ometria

SECRETS = [text for text in ENV.values() if text]

WHOLE = """
sources:
  uk-shop:
    preset: shopify
    secrets: ["${UK_SHOP_SECRET}", "${ERP_KEY}"]
    country: GB
destinations:
  crm: {vendor: ometria, api_key: "${OMETRIA_KEY}", collection: uk-shop, timeout: 250ms}
routes:
  - {from: uk-shop, events: "order.*", to: crm}
"""


def loaded(folder: Path, text: str) -> Loaded:
    file = folder / "gateway.yaml"
    file.write_text(text)
    return load(file, REGISTRY, ENV)


def faults(folder: Path, text: str | bytes) -> list[tuple[str, str]]:
    """The (path, cause) of every fault in a text."""
    file = folder / "gateway.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigurationError) as error:
        load(file, REGISTRY, ENV)
    return [(fault.path, fault.cause) for fault in error.value.faults]


def test_a_whole_configuration_becomes_models(tmp_path: Path) -> None:
    found = loaded(tmp_path, WHOLE)
    assert [secret.reveal() for secret in found.config.sources["uk-shop"].secrets] == [
        "tide-pool-9021",
        "wren-harbour-7",
    ]
    assert found.config.routes[0].source_names == ["uk-shop"]
    assert found.config.routes[0].events == ["order.*"]
    assert isinstance(found.destinations["crm"], Ometria)
    assert found.destinations["crm"].timeout == 0.25
    assert found.config.destinations["crm"] is found.destinations["crm"]
    assert found.warnings == ()


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert loaded(tmp_path, "# nothing yet\n").config == Config(destinations={})
    assert loaded(tmp_path, "").config == Config(destinations={})


def test_a_section_whose_lines_are_all_comments_is_empty(tmp_path: Path) -> None:
    assert loaded(tmp_path, "sources:\n  # uk-shop: {}\nlog:\n").config.sources == {}


def test_yaml_is_read_as_its_version_1_2(tmp_path: Path) -> None:
    text = "mappings: {m: {a: NO, b: yes, c: 2026-01-31, d: 0o17, e: 017, f: 1_000, g: .inf, h: ~, i: 1e3}}\n"
    expected = {
        "a": "NO",
        "b": "yes",
        "c": "2026-01-31",
        "d": 15,
        "e": 17,
        "f": "1_000",
        "g": ".inf",
        "h": None,
        "i": 1e3,
    }
    assert loaded(tmp_path, text).config.mappings["m"] == expected


def test_keys_are_always_text(tmp_path: Path) -> None:
    text = "mappings: {m: {1: one, true: yes, NO: norway}}\n"
    assert loaded(tmp_path, text).config.mappings["m"] == {"1": "one", "true": "yes", "NO": "norway"}


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + WHOLE.replace("\n", "\r\n").encode())
    assert load(file, REGISTRY, ENV).config.sources["uk-shop"].country == "GB"


def test_an_anchor_is_merged_and_own_keys_win_wherever_they_stand(tmp_path: Path) -> None:
    text = """
destinations:
  uk: &shared {vendor: ometria, api_key: "${OMETRIA_KEY}", collection: uk, weight: 2}
  de: {collection: de, <<: *shared}
  fr: {<<: [*shared], collection: fr}
routes: [{to: [uk, de, fr]}]
"""
    found = loaded(tmp_path, text).destinations
    assert {name: (one.weight, getattr(one, "collection", "")) for name, one in found.items()} == {
        "uk": (2, "uk"),
        "de": (2, "de"),
        "fr": (2, "fr"),
    }


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)]
    found = faults(tmp_path, "mappings:\n  m:\n" + "".join(f"    {line}\n" for line in lines))
    assert found[-1][1] == "too large or too deep, counted with its aliases"


def test_nesting_without_end_is_refused(tmp_path: Path) -> None:
    assert faults(tmp_path, "a: " + "[" * 100_000)[0][1] == "nested deeper than 64"


def test_a_file_without_end_is_refused(tmp_path: Path) -> None:
    assert faults(tmp_path, b"#" * (1 << 21))[0][1] == "the file is larger than 1MiB"


# --- what is filled in -----------------------------------------------------------------------------------------------


def test_a_secret_file_is_read_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"amber kiln \n")
    text = WHOLE.replace("${OMETRIA_KEY}", f"${{file:{tmp_path}/key}}")
    crm = loaded(tmp_path, text).destinations["crm"]
    assert isinstance(crm, Ometria)
    assert crm.api_key.reveal() == "amber kiln "


def test_two_dollars_are_a_literal(tmp_path: Path) -> None:
    text = 'mappings: {m: {a: "$${NAME}", b: "x${EMPTY}y$", c: "$5 {a}"}}\n'
    assert loaded(tmp_path, text).config.mappings["m"] == {"a": "${NAME}", "b": "xy$", "c": "$5 {a}"}


def test_what_is_filled_in_is_not_filled_in_again(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("mappings: {m: {a: '${A}'}}\n")
    assert load(file, REGISTRY, {"A": "${B}"}).config.mappings["m"] == {"a": "${B}"}


def test_a_number_may_be_filled_in(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("receiver: {group_limit: '${N}', body_limit: '${SIZE}'}\n")
    receiver = load(file, REGISTRY, {"N": "64", "SIZE": "2MiB"}).config.receiver
    assert (receiver.group_limit, receiver.body_limit) == (64, 2 << 20)


def test_a_variable_that_is_not_set_hides_no_other_fault(tmp_path: Path) -> None:
    text = WHOLE.replace("UK_SHOP_SECRET", "NOWHERE").replace("to: crm", "to: crn")
    assert [path for path, _ in faults(tmp_path, text)] == ["sources.uk-shop.secrets[0]", "routes[0].to"]


# --- folders ---------------------------------------------------------------------------------------------------------

FOLDERS = Path(__file__).parent / "folders"


def test_a_folder_is_merged_by_section_in_order_of_names(tmp_path: Path) -> None:
    for file in (FOLDERS / "split").iterdir():
        (tmp_path / file.name).write_text(file.read_text().replace("  - {from: uk-shp, to: bin}\n", ""))
    found = load(tmp_path, REGISTRY, ENV)
    assert [route.to for route in found.config.routes] == [["crm"], ["bin"]]
    assert [Path(file).name for file in found.files] == ["10-shops.yaml", "20-vendors.yml"]
    assert isinstance(found.destinations["bin"], Http)


def test_a_fault_in_a_folder_names_its_own_file() -> None:
    with pytest.raises(ConfigurationError) as error:
        load(FOLDERS / "split", REGISTRY, ENV)
    (fault,) = error.value.faults
    assert (Path(fault.file).name, fault.line, fault.column, fault.path) == ("20-vendors.yml", 6, 12, "routes[2].from")


def test_what_two_files_define_is_a_fault_that_names_both_places() -> None:
    with pytest.raises(ConfigurationError) as error:
        load(FOLDERS / "twice", REGISTRY, ENV)
    found = [(Path(one.file).name, one.line, one.path, one.hint.split("/")[-1]) for one in error.value.faults]
    assert found == [
        ("20-more.yml", 2, "sources.uk-shop", "10-shops.yaml:2:3; keep one, or give one another name"),
        ("20-more.yml", 3, "log.level", "10-shops.yaml:3:7; keep one, or give one another name"),
        ("20-more.yml", 4, "revision", "10-shops.yaml:4:1; keep one, or give one another name"),
    ]


def test_a_file_that_cannot_be_read_as_yaml_does_not_make_others_dangle(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("sources: {")
    (tmp_path / "b.yaml").write_text("routes: [{from: uk-shop, to: crm}]\nlogg: {}\n")
    with pytest.raises(ConfigurationError) as error:
        load(tmp_path, REGISTRY, ENV)
    assert [fault.path for fault in error.value.faults] == ["", "logg"]


def test_a_missing_file_and_an_empty_folder_are_faults(tmp_path: Path) -> None:
    for path, cause in (
        (tmp_path / "no.yaml", "there is no such file or folder"),
        (tmp_path, "the folder holds no *.yaml"),
    ):
        with pytest.raises(ConfigurationError) as error:
            load(path, REGISTRY, ENV)
        assert [fault.cause for fault in error.value.faults] == [cause]


# --- the digest ------------------------------------------------------------------------------------------------------


def test_the_digest_changes_with_what_becomes_of_events_and_not_with_secrets(tmp_path: Path) -> None:
    first = loaded(tmp_path, WHOLE)
    other = load(tmp_path / "gateway.yaml", REGISTRY, {**ENV, "OMETRIA_KEY": "another"})
    assert first.digest == other.digest
    assert len(first.digest) == 12
    more = "mappings: {own: {entity: order, fields: {id: body.id}}}\n"
    assert loaded(tmp_path, WHOLE + more).digest != first.digest
    assert loaded(tmp_path, WHOLE + "# a comment\n").digest == first.digest


@pytest.mark.parametrize(
    "own",
    [
        "receiver: {listen: 127.0.0.1:9999}\n",
        "admin: {listen: 127.0.0.1:9998, token: changed}\n",
        "journal: {url: sqlite:///var/another.db}\n",
        "log: {format: json}\n",
        "revision: 7\n",
    ],
)
def test_replicas_that_differ_in_what_is_their_own_have_one_digest(tmp_path: Path, own: str) -> None:
    shared = "sources: {shop: {preset: generic, api_key: k}}\n"
    assert loaded(tmp_path, shared + own).digest == loaded(tmp_path, shared).digest


def test_the_order_of_fields_and_routes_is_part_of_the_digest(tmp_path: Path) -> None:
    ways = ["{id: body.id, number: body.n}", "{number: body.n, id: body.id}"]
    one, other = (
        loaded(tmp_path, f"mappings: {{own: {{entity: order, fields: {fields}}}}}\n").digest for fields in ways
    )
    assert one != other


def test_a_number_of_any_size_has_a_digest(tmp_path: Path) -> None:
    one, other = (
        loaded(tmp_path, f"mappings: {{own: {{entity: order, fields: {{id: {{value: 0x{digits}}}}}}}}}\n").digest
        for digits in ("f" * 9_000, "e" * 9_000)
    )
    assert one != other


# --- the registry's checks -------------------------------------------------------------------------------------------


def complains(path: tuple[str | int, ...]) -> Callable[[Loaded], Iterator[Problem]]:
    def check(_: Loaded) -> Iterator[Problem]:
        yield Problem(path, "does not please")

    return check


@pytest.mark.parametrize(
    ("path", "line"),
    [(("routes", 0, "events", 0), 10), (("routes", 0, "when"), 10), (("destinations", "crm", "limits", 3), 8), ((), 1)],
)
def test_a_finding_stands_at_the_longest_known_part_of_its_path(
    tmp_path: Path, path: tuple[str, ...], line: int
) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(WHOLE)
    with pytest.raises(ConfigurationError) as error:
        load(file, replace(REGISTRY, checks=(complains(path),)), ENV)
    (fault,) = error.value.faults
    assert (fault.line, fault.cause) == (line, "does not please")


def test_a_warning_of_a_check_refuses_nothing(tmp_path: Path) -> None:
    def check(_: Loaded) -> Iterator[Problem]:
        yield Problem(("routes", 0), "never matches", warning=True)

    file = tmp_path / "gateway.yaml"
    file.write_text(WHOLE)
    assert [one.cause for one in load(file, replace(REGISTRY, checks=(check,)), ENV).warnings] == ["never matches"]


def test_checks_run_beside_dangling_references(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(WHOLE.replace("to: crm", "to: crn"))
    with pytest.raises(ConfigurationError) as error:
        load(file, replace(REGISTRY, checks=(complains(("sources", "uk-shop")),)), ENV)
    assert [fault.path for fault in error.value.faults] == ["sources.uk-shop", "routes[0].to"]


# --- warnings --------------------------------------------------------------------------------------------------------


def test_a_secret_in_clear_text_is_a_warning_that_does_not_show_it(tmp_path: Path) -> None:
    text = WHOLE.replace('"${OMETRIA_KEY}"', "amber-kiln-4417")
    (warning,) = loaded(tmp_path, text).warnings
    assert (warning.path, warning.line, warning.cause) == (
        "destinations.crm.api_key",
        8,
        "a secret stands in clear text",
    )
    assert "amber" not in str(warning)


def test_what_no_route_uses_is_a_warning(tmp_path: Path) -> None:
    text = WHOLE + "admin: {token: '${ERP_KEY}'}\n"
    text = text.replace("sources:\n", "sources:\n  erp: {api_key: '${ERP_KEY}'}\n")
    text = text.replace("destinations:\n", "destinations:\n  bin: {vendor: http, url: https://example.com/in}\n")
    assert [(one.path, one.cause) for one in loaded(tmp_path, text).warnings] == [
        ("sources.erp", "no route takes its events"),
        ("destinations.bin", "no route leads here"),
    ]


def test_an_open_door_is_a_warning(tmp_path: Path) -> None:
    text = "sources: {erp: {}}\ndestinations: {bin: {vendor: http, url: https://e.com}}\nroutes: [{to: bin}]\n"
    assert [one.cause for one in loaded(tmp_path, text).warnings] == ["anybody who reaches the gateway may send"]


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_no_secret_appears_in_anything_that_is_printed(tmp_path: Path) -> None:
    text = (
        WHOLE
        + "admin: {token: '${ERP_KEY}'}\njournal: {url: 'postgresql://gw:${ERP_KEY}@db/gw?sslpassword=${ERP_KEY}'}\n"
    )
    found = loaded(tmp_path, text)
    printed = [repr(found), str(found), repr(found.config), str(found.config), found.config.model_dump_json()]
    printed += [str(found.config.model_dump()), json.dumps(found.config.model_dump(mode="json"))]
    printed += [text for one in found.destinations.values() for text in (repr(one), str(one), one.model_dump_json())]
    assert not [text for text in printed for secret in SECRETS if secret in text]
    assert "tide-pool" not in repr(vars(found.config.sources["uk-shop"]))


@pytest.mark.parametrize("key", ["level", "format", "accepted"])
def test_a_fault_shows_the_variable_and_not_what_it_holds(tmp_path: Path, key: str) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(f"log: {{{key}: '${{OMETRIA_KEY}}'}}\nsources: {{erp: {{preset: '${{ERP_KEY}}'}}}}\n")
    with pytest.raises(ConfigurationError) as error:
        load(file, REGISTRY, ENV)
    assert "${OMETRIA_KEY}" in str(error.value)
    assert "${ERP_KEY}" in str(error.value)
    assert not [secret for secret in SECRETS if secret in str(error.value) or secret in repr(error.value.faults)]
    assert error.value.__cause__ is None


# --- whatever the bytes ----------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["sources", "routes", "destinations", "crm", "vendor", "ometria", "to", "from", "5", "null", "<<"]
)
SIGNS = st.sampled_from([*":{}[],!&*|?#'\"\t\n", ": ", "  ", "- ", "&a ", "*a", "!!str ", "${", "${UK_SHOP_SECRET}"])
PIECES = WORDS | SIGNS


def refused(file: Path) -> ConfigurationError | None:
    try:
        load(file, REGISTRY, ENV)
    except ConfigurationError as error:
        return error
    return None


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=25).map(lambda pieces: "".join(pieces).encode())))
def test_whatever_the_bytes_only_faults_are_raised_and_each_has_a_place(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "any.yaml"
    file.write_bytes(raw)
    if error := refused(file):
        assert error.faults
        assert all(fault.line >= 1 and fault.column >= 1 for fault in error.faults)
        assert not [secret for secret in SECRETS if secret in str(error)]


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("", BreakerSetting()),
        ("breaker: false", None),
        ("breaker: true", BreakerSetting()),
        ("breaker: {failures: 2, rate: 80%}", BreakerSetting(failures=2, rate="80%")),
    ],
)
def test_a_breaker_has_defaults_and_can_be_switched_off(tmp_path: Path, told: str, found: object) -> None:
    text = f"destinations: {{crm: {{vendor: ometria, api_key: k, collection: c, {told}}}}}\n"
    assert loaded(tmp_path, text).destinations["crm"].breaker == found
