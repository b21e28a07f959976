"""JSON that is held as it came: read as the parser reads it, refused where that refuses, and sent as it is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import document
from gateway.document import Text, Unreadable, dump, hold, parse, read
from tests.mapping.making import documents, exact

DEEP = 200
LONG = b"7" * 4301

spelled = st.builds(
    lambda value, ascii_only, tight, around: (
        around[0] + json.dumps(value, ensure_ascii=ascii_only, separators=tight).encode() + around[1]
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8"), max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "a", "é"]), inner),
        max_leaves=12,
    ),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " : ")]),
    st.sampled_from(
        [(b"", b""), (b"\xef\xbb\xbf", b"\r\n"), (b" \n", b""), (b"", b"\x0b"), (b"\xef\xbb\xbf" * 2, b"")]
    ),
)
"""JSON as somebody writes it, with infinities, byte-order marks and odd spaces."""

broken = st.builds(
    lambda text, place, piece: text[: place % (len(text) + 1)] + piece + text[place % (len(text) + 1) :],
    spelled,
    st.integers(0, 10_000),
    st.binary(max_size=3)
    | st.sampled_from([b'"', b"\\", b"\\u d800", b"\\ud800", b"\n", b"\x00", b"{", b"]", b"1e9", b"\xe2\x80"]),
)


def outcome(reader: Any, text: bytes) -> tuple[str, Any]:
    """What comes of a text: its document with the digits it has, or why there is none."""
    try:
        return "read", exact(read(reader(text)))
    except Unreadable as error:
        return "refused", str(error)


@given(st.one_of(spelled, broken, documents.map(dump)))
def test_what_is_held_reads_as_the_parser_reads_it(text: bytes) -> None:
    assert outcome(hold, text) == outcome(parse, text)


@given(st.one_of(spelled, broken))
def test_the_id_that_is_seen_in_passing_is_that_of_the_document(text: bytes) -> None:
    try:
        held = hold(text)
    except Unreadable:
        return
    whole = read(held)
    if type(held) is Text:
        assert exact(held.id) == exact(whole.get("id") if type(whole) is dict else None)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * (DEEP + 1) + b"]" * (DEEP + 1),
        b'{"id":' * (DEEP + 1) + b"1" + b"}" * (DEEP + 1),
        b'{"a":' + LONG + b"}",
        b'{"id":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"id":1}{',
        b"[1,2",
        b'{"a":"one\ntwo"}',
        b"NaN",
        b"",
        b"\xef\xbb\xbf",
    ],
)
def test_what_the_parser_refuses_is_refused_in_its_words(text: bytes) -> None:
    assert outcome(hold, text)[0] == "refused"
    assert outcome(hold, text) == outcome(parse, text)


def test_what_is_held_travels_as_it_came() -> None:
    text = b'{"id": "7", "total": 1.50, "name": "Zo\\u00eb \\/", "big": 1E5, "id": 8}'
    held = hold(b"\xef\xbb\xbf " + text + b"\r\n")
    assert dump({"data": held}) == b'{"data":' + text + b"}"
    assert (held.id, read(held)["name"]) == (8, "Zoë /")


@pytest.mark.parametrize("lines", [b'{\n "id": 7\n}', b'{"id":\r7}'])
def test_several_lines_are_written_anew_on_one(lines: bytes) -> None:
    assert dump(hold(lines)) == b'{"id":7}'


def test_a_text_is_parsed_once() -> None:
    held = hold(b'{"id":7}')
    assert read(held) is read(held)


def test_only_documents_and_texts_are_written() -> None:
    with pytest.raises(TypeError):
        document.dump({"data": object()})
