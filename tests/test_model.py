import base64

import pytest

from gateway.model import event_id, event_ids, seq_of

GROUP = bytes(range(12)) + b"\xde\xad\xbe\xef"


@pytest.mark.parametrize("seq", [0, 1, 31, 1024, 123_456_789, 2**40 + 7, 2**63 - 1])
def test_an_events_id_is_its_seq_and_the_end_of_its_group_in_base32(seq: int) -> None:
    text = base64.b32hexencode(seq.to_bytes(8, "big") + GROUP[-4:]).decode().rstrip("=").lower()

    assert event_id(seq, GROUP) == f"evt_{text}"
    assert seq_of(event_id(seq, GROUP)) == seq


def test_ids_of_later_events_sort_behind_those_of_earlier_ones() -> None:
    ids = [event_id(seq, GROUP) for seq in (1, 2, 31, 32, 33, 1000, 10**6, 10**12)]

    assert ids == sorted(ids)


@pytest.mark.parametrize(
    "text", ["", "evt_", "evt_short", "order_0000000000000000000", f"evt_{'z' * 20}", "evt_" + "é" * 20]
)
def test_another_text_has_no_seq(text: str) -> None:
    assert seq_of(text) is None


def test_the_ids_of_a_group_are_those_of_its_events_one_by_one() -> None:
    for first_seq in (1, 15, 16, 17, 1_000_003, 2**40):
        for count in (1, 2, 16, 33):
            assert event_ids(first_seq, count, GROUP) == [event_id(first_seq + n, GROUP) for n in range(count)]
