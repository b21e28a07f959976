"""What Octolis says of each row: `{"results": [{"written": true, "record": ...} or {"written": false, "error": ...}]}`,
in the order sent. Nothing here raises.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from gateway import document
from gateway.config.values import masked
from gateway.errors import Reason
from gateway.vendors import answers, base

MASTER = "__masterid__"
LONG_BYTES = 1 << 20
"""An answer that long may have been cut, and a smaller batch's would not be."""


class _Stored(Struct):
    """Of a row with all its columns, what is read: a record is most of an answer."""

    master: str = msgspec.field(name=MASTER, default="")


class _Result(Struct):
    """One row's result. Warnings and errors are few, and read on their own."""

    written: bool
    record: _Stored | None = None
    warnings: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class _Answer(Struct):
    results: list[_Result]


_answer = msgspec.json.Decoder(_Answer)


def rows(batch: base.Batch, answer: base.Response, secrets: Sequence[str]) -> base.Verdict:
    """What became of each row. Of rows that were written only master ids are read, at a thirtieth of the cost of
    everything.
    """
    try:
        results = _answer.decode(answer.body).results
        if len(results) != len(batch.records):
            return _of_anything(batch, answer, secrets)
        masters = _receipts([one.record.master if one.record else "" for one in results], secrets)
        return base.Verdict(
            tuple(
                base.Delivered(master) if one.written and not one.warnings else _told(one, master, secrets)
                for one, master in zip(results, masters, strict=True)
            )
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, document.Unreadable):
        return _of_anything(batch, answer, secrets)


def _receipts(masters: Sequence[str], secrets: Sequence[str]) -> Sequence[str]:
    """Master ids as receipts; looked at together, since none is ever odd."""
    told = "/".join(masters)
    plain = told.isprintable() and " " not in told and max(map(len, masters)) <= answers.RECEIPT_CHARS
    return masters if plain and masked(told, secrets) == told else [_receipt(one, secrets) for one in masters]


def _receipt(master: Any, secrets: Sequence[str]) -> str:
    return answers.bounded(answers.text_in(master), secrets)


def _told(result: _Result, master: str, secrets: Sequence[str]) -> base.Outcome:
    """What a result says beside its record."""
    told = {name: document.parse(raw) for name in ("warnings", "error") if (raw := bytes(getattr(result, name)))}
    return _outcome({"written": result.written, "record": {MASTER: master}, **told}, secrets)


def _of_anything(batch: base.Batch, answer: base.Response, secrets: Sequence[str]) -> base.Verdict:
    """The same of an answer that may be anything."""
    results = answers.object_of(answers.json_of(answer)).get("results")
    if isinstance(results, list) and len(results) == len(batch.records):
        return base.Verdict(tuple(_outcome(answers.object_of(result), secrets) for result in results))
    detail = answers.bounded(f"{answer.status} {answers.text_of(answer)}", secrets)
    if len(answer.body) >= LONG_BYTES and len(batch.records) > 1:
        return base.same(base.Split(Reason.UNEXPECTED_ANSWER, "the answer is too long to be read"), batch)
    return base.same(base.Retry(Reason.UNEXPECTED_ANSWER, detail), batch)


def _outcome(result: Mapping[str, Any], secrets: Sequence[str]) -> base.Outcome:
    if result.get("written") is True:
        columns = answers.object_of(result.get("warnings")).get("protected_columns")
        note = f"protected columns left alone: {', '.join(map(str, columns))}" if isinstance(columns, list) else ""
        return base.Delivered(
            _receipt(answers.object_of(result.get("record")).get(MASTER), secrets), answers.bounded(note)
        )
    error = answers.object_of(result.get("error"))
    said = f"{answers.text_in(error.get('detail')) or answers.text_in(error.get('title'))}{faulty(error)}"
    meaning = RESULTS.get(answers.whole(error.get("status")) or 0, RESULTS[0])
    return meaning(answers.bounded(said or "not written, and not told why", secrets), None)


def faulty(error: Any) -> str:
    """The columns that an error names."""
    lists = [found for name in ("missing", "errors") if isinstance(found := answers.object_of(error).get(name), list)]
    return f" ({', '.join(str(one) for found in lists for one in found[:20])})" if lists else ""


RESULTS: Mapping[int, answers.Meaning] = {
    0: answers.retry(Reason.UNEXPECTED_ANSWER),
    **dict.fromkeys(range(400, 500), answers.refuse(Reason.RECORD_REFUSED)),
    **dict.fromkeys(range(500, 600), answers.retry(Reason.SERVER_ERROR)),
    409: answers.refuse(Reason.CONFLICT),
    423: answers.retry(Reason.BUSY),
    429: answers.retry(Reason.RATE_LIMITED),
}
"""By the status inside a row's own error; 0: none that is known."""
