"""Every word for what went wrong comes with what it means and what helps."""

from gateway.admin.advice import OF_CAUSE, OF_REASON, advice
from gateway.errors import Cause, Reason


def test_every_cause_and_every_reason_is_explained_in_a_sentence() -> None:
    assert set(OF_CAUSE) == set(Cause)
    assert set(OF_REASON) == set(Reason)
    for text in (*OF_CAUSE.values(), *OF_REASON.values()):
        assert text[0].isupper()
        assert text.endswith(".")


def test_a_word_of_an_older_version_is_left_unexplained() -> None:
    assert advice("signature_wrong") == OF_CAUSE[Cause.SIGNATURE_WRONG]
    assert advice("gave_up") == OF_REASON[Reason.GAVE_UP]
    assert advice("no_such_word") == ""
