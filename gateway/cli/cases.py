"""Cases: payloads and what must become of them, as YAML beside the configuration. Read and run."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from msgspec import Struct
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from gateway import document
from gateway.config import wording
from gateway.config.load import Problem
from gateway.config.places import Document, Entry, Place, Row, Table, Unreadable, dotted, fault
from gateway.config.places import read as read_yaml
from gateway.config.schema import Section
from gateway.config.values import listed
from gateway.errors import ConfigurationError, Fault
from gateway.model import Offer
from gateway.trial.platform import Post
from gateway.trial.way import DERIVED_FROM, Guide, Way

FOLDER = "tests"
FILE_MAX_BYTES = 16 << 20


def _time(value: str) -> str:
    if datetime.fromisoformat(value).tzinfo is None:
        raise ValueError("a time with its zone is wanted: 2026-01-31T09:00:00Z")
    return value


def _rows(value: Any) -> Any:
    """One record stands for a list of one, nothing for none."""
    if not isinstance(value, dict):
        return value
    return {name: [] if one is None else one if isinstance(one, list) else [one] for name, one in value.items()}


class Expected(Section):
    """What must become of a payload. Only what is named is looked at; with `exact` nothing else may be there."""

    outcome: Literal["delivered", "filtered", "dead", "rejected"] | None = Field(None, description="What it comes to.")
    event: dict[str, Any] | None = Field(None, description="The first normal event: type, subject, data ...")
    events: list[dict[str, Any]] | None = Field(None, description="Every normal event.")
    records: Annotated[dict[str, list[Any]], BeforeValidator(_rows)] = Field(
        {}, description="By destination, what it is sent; null: nothing."
    )
    dead: dict[str, str] = Field({}, description="By destination, the reason, or words of it. `*`: everywhere.")
    rejected: str | None = Field(None, description="The cause of a refusal at the door.")
    absent: Annotated[list[str], BeforeValidator(listed)] = Field(
        [], description="What must not be there: `event.data.phone`, `records.crm[0].email`."
    )
    exact: bool = Field(False, description="Whether there may be nothing beyond what is named.")


class Case(Section):
    """A payload and what must become of it.

    With a `topic` the payload is an event that was taken; without one it is a request as its platform sends it, which
    the door reads (where the topic stands, what it unwraps, how many events it is).
    """

    name: str = Field(min_length=1, description="A sentence: what is shown.")
    source: str = Field(description="Who sends it.")
    topic: str | None = Field(None, description="The topic it came under.")
    derived: bool = Field(
        False, description="Whether a look-up found it: it is not looked up again, and no door reads it."
    )
    headers: dict[str, str] = Field({}, description="Its headers.")
    query: str = Field("", description="Its query string.")
    received_at: Annotated[str, AfterValidator(_time)] = Field("2026-01-01T00:00:00Z", description="When it came.")
    payload: Any = Field(None, description="The body: a document, or a text as it is.")
    file: str | None = Field(None, description="In place of `payload`: a file, from the case's folder.")
    expect: Expected = Field(description="What must become of it.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.derived and self.topic is None:
            raise ValueError("`derived` needs the `topic` that the look-up gives it: lookup/...")
        return self

    @property
    def received_at_ms(self) -> int:
        return int(datetime.fromisoformat(self.received_at).timestamp() * 1000)


class Found(Struct, frozen=True):
    """A case and where it stands."""

    place: Place
    case: Case

    def body(self) -> bytes:
        """The payload as bytes. Raises ConfigurationError where its file cannot be read."""
        if self.case.file is None:
            payload = self.case.payload
            return payload.encode() if isinstance(payload, str) else document.dump(payload)
        path = Path(self.place.file).parent / self.case.file
        try:
            with path.open("rb") as file:
                return file.read(FILE_MAX_BYTES)
        except OSError as error:
            cause = f"{path}: {(error.strerror or 'cannot be read').lower()}"
            raise ConfigurationError([fault(self.place, "file", cause)]) from None


# --- reading ---------------------------------------------------------------------------------------------------------


def beside(config: Path) -> Path:
    """Where a configuration's cases are: the folder `tests` beside it; of a file its own there, if it has one."""
    folder = (config if config.is_dir() else config.parent) / FOLDER
    own = folder / f"{config.stem}.yaml"
    return own if config.is_file() and own.is_file() else folder


def read(path: Path) -> list[Found]:
    """The cases of a file, or of a folder's files. Raises ConfigurationError with everything that is wrong in them."""
    files = sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
    faults: list[Fault] = []
    found = [one for file in files for one in _read(file, faults)]
    if faults:
        raise ConfigurationError(faults)
    return found


def _read(file: Path, faults: list[Fault]) -> Iterator[Found]:
    top = Place(str(file), 1, 1)
    try:
        node = read_yaml(str(file), file.read_bytes(), faults)
        if not isinstance(node, Row):
            faults.append(fault(top, "", "a list of cases is wanted", "- name: ..."))
            return
        whole = Document(Table(top, {"cases": Entry("cases", top, node)}))
        rows = whole.plain()["cases"]
    except Unreadable as error:
        faults.append(error.fault)
        return
    except OSError as error:
        faults.append(fault(top, "", f"cannot be read: {(error.strerror or 'an error').lower()}"))
        return
    for index, raw in enumerate(rows):
        try:
            yield Found(whole.place(("cases", index)), Case.model_validate(raw))
        except ValidationError as error:
            problems = wording.problems(error, Case, raw if isinstance(raw, dict) else {}, {})
            faults += [_placed(whole, index, problem) for problem in problems]


def _placed(whole: Document, index: int, problem: Problem) -> Fault:
    place = whole.place(("cases", index, *problem.path), key=problem.key)
    return fault(place, dotted(problem.path), problem.cause, problem.hint)


# --- running ---------------------------------------------------------------------------------------------------------


def run(guide: Guide, found: Found) -> Way:
    """What becomes of a case's payload. Raises ConfigurationError where its source or its file is not there."""
    case, headers = found.case, {"content-type": "application/json"}
    headers |= {name.lower(): value for name, value in found.case.headers.items()}
    if case.source not in guide.sources:
        hint = wording.near(case.source, guide.sources)
        raise ConfigurationError([fault(found.place, "source", f"there is no source `{case.source}`", hint)])
    if case.topic is None:
        post = Post("POST", f"/?{case.query}", list(headers.items()), found.body())
        return guide.request(case.source, post, now_ms=case.received_at_ms)
    offer = Offer(
        source=case.source,
        topic=case.topic,
        received_at_ms=case.received_at_ms,
        revision=0,
        method="POST",
        query=case.query,
        headers=tuple(headers.items()),
        body=found.body(),
        derived_from=DERIVED_FROM if case.derived else None,
    )
    return guide.taken((offer,))
