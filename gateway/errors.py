"""What can go wrong, in one vocabulary. The same word stands in log, metric, answer and admin page.

GatewayError
├── ConfigurationError      the operator's: a list of faults, each with file, line, key path, cause and hint
├── Rejected                the sender's: one request is refused, with a status and a cause from a fixed list
├── MappingError            the configuration's, met by one event: mapping, field path, what did not fit
├── Refusal                 the record's: the vendor would refuse it, so it is not sent
└── JournalError
    ├── JournalUnavailable  the journal cannot answer now (full disk, lost connection): try again
    ├── JournalConflict     somebody else holds the lease or has settled the lane: read again
    └── GroupRefused        one event of a group can never be stored: says which
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Why a request was refused. The fixed list behind `cause` in a problem+json answer and in `rejected`."""

    UNKNOWN_SOURCE = "unknown_source"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    IP_NOT_ALLOWED = "ip_not_allowed"
    HEADER_MISSING = "header_missing"
    HEADER_NOT_ALLOWED = "header_not_allowed"
    API_KEY_MISSING = "api_key_missing"
    API_KEY_WRONG = "api_key_wrong"
    CREDENTIALS_MISSING = "credentials_missing"
    CREDENTIALS_WRONG = "credentials_wrong"
    BODY_TOO_LARGE = "body_too_large"
    BODY_STALLED = "body_stalled"
    ENCODING_UNSUPPORTED = "encoding_unsupported"
    CONTENT_TYPE_UNSUPPORTED = "content_type_unsupported"
    SIGNATURE_MISSING = "signature_missing"
    SIGNATURE_MALFORMED = "signature_malformed"
    SIGNATURE_WRONG = "signature_wrong"
    SIGNATURE_EXPIRED = "signature_expired"
    BODY_UNREADABLE = "body_unreadable"
    TOPIC_MISSING = "topic_missing"
    TOPIC_INVALID = "topic_invalid"
    NOT_AN_EVENT = "not_an_event"
    KEY_UNAVAILABLE = "key_unavailable"
    OVERLOADED = "overloaded"
    JOURNAL_UNAVAILABLE = "journal_unavailable"


STATUS_OF: dict[Cause, int] = {
    Cause.UNKNOWN_SOURCE: 404,
    Cause.METHOD_NOT_ALLOWED: 405,
    Cause.IP_NOT_ALLOWED: 403,
    Cause.HEADER_MISSING: 403,
    Cause.HEADER_NOT_ALLOWED: 403,
    Cause.API_KEY_MISSING: 401,
    Cause.API_KEY_WRONG: 401,
    Cause.CREDENTIALS_MISSING: 401,
    Cause.CREDENTIALS_WRONG: 401,
    Cause.BODY_TOO_LARGE: 413,
    Cause.BODY_STALLED: 408,
    Cause.ENCODING_UNSUPPORTED: 415,
    Cause.CONTENT_TYPE_UNSUPPORTED: 415,
    Cause.SIGNATURE_MISSING: 401,
    Cause.SIGNATURE_MALFORMED: 401,
    Cause.SIGNATURE_WRONG: 401,
    Cause.SIGNATURE_EXPIRED: 401,
    Cause.BODY_UNREADABLE: 400,
    Cause.TOPIC_MISSING: 400,
    Cause.TOPIC_INVALID: 400,
    Cause.NOT_AN_EVENT: 200,
    Cause.KEY_UNAVAILABLE: 503,
    Cause.OVERLOADED: 503,
    Cause.JOURNAL_UNAVAILABLE: 503,
}
"""The HTTP status of each cause. A refusal never blames the sender for ours (503), nor us for the sender's (4xx)."""


class Reason(StrEnum):
    """Why a record was not delivered (yet). The fixed list behind `reason` of parked rows and dead letters."""

    CONNECTION_FAILED = "connection_failed"
    TIMEOUT = "timeout"
    SERVER_ERROR = "server_error"
    BUSY = "busy"
    RATE_LIMITED = "rate_limited"
    QUEUE_FULL = "queue_full"
    QUOTA_EXHAUSTED = "quota_exhausted"
    KEY_REFUSED = "key_refused"
    UNEXPECTED_ANSWER = "unexpected_answer"
    PAYLOAD_REFUSED = "payload_refused"
    RECORD_REFUSED = "record_refused"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    INCOMPLETE = "incomplete"
    MAPPING_FAILED = "mapping_failed"
    BEHIND_ANOTHER = "behind_another"
    HELD = "held"
    GAVE_UP = "gave_up"
    AMBIGUOUS = "ambiguous"
    EXPIRED = "expired"
    UNREADABLE = "unreadable"
    REDELIVER = "redeliver"


class GatewayError(Exception):
    """The root of everything the gateway raises itself."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in the configuration, where it stands, and what to do. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    path: str
    cause: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.column}: {self.path or '(top level)'}: {self.cause}"
        return f"{text} ({self.hint})" if self.hint else text


class ConfigurationError(GatewayError):
    """The configuration has faults; all of them are in `faults`, and in `warnings` what else is worth a look."""

    def __init__(self, faults: Sequence[Fault], warnings: Sequence[Fault] = ()) -> None:
        self.faults = tuple(faults)
        self.warnings = tuple(warnings)
        super().__init__("\n".join(str(fault) for fault in faults))


class Rejected(GatewayError):  # noqa: N818  a decision about a request, named as the page and the metric name it
    """One request is refused. `detail` is for the sender and says nothing secret; `headers` go into the answer."""

    def __init__(self, cause: Cause, detail: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        self.cause = cause
        self.detail = detail
        self.headers = tuple(headers)
        super().__init__(f"{cause}: {detail}" if detail else str(cause))

    @property
    def status(self) -> int:
        return STATUS_OF[self.cause]


class MappingError(GatewayError):
    """A mapping met a document it cannot map. `cause` names the type of the value at `path`, never the value."""

    def __init__(self, mapping: str, path: str, cause: str) -> None:
        self.mapping = mapping
        self.path = path
        self.cause = cause
        super().__init__(f"{mapping}: {path}: {cause}" if path else f"{mapping}: {cause}")


class Refusal(GatewayError):  # noqa: N818  a decision about a record, as Rejected is about a request
    """The vendor would refuse this record (a required field is missing, it is too large): dead before it is sent."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class WrongSelection(GatewayError):  # noqa: N818  a decision about what an operator asked for
    """What an operator selected names something that is not there, or cannot be read."""


class JournalError(GatewayError):
    """Something about the journal."""


class JournalUnavailable(JournalError):  # noqa: N818  a state of the journal that passes
    """The journal cannot answer now (full disk, read-only, lost connection). Nothing was taken; try again."""


class JournalConflict(JournalError):  # noqa: N818  a state that is mended by reading again
    """The lease is another's, or the lane has been settled by another since it was read. Nothing was written."""


class GroupRefused(JournalError):  # noqa: N818  a decision about a group
    """Some events of a group can never be stored (`faults`: place in the group -> why). Nothing was taken."""

    def __init__(self, faults: dict[int, str]) -> None:
        self.faults = faults
        super().__init__(", ".join(f"{place}: {why}" for place, why in faults.items()))
