"""What each cause and each reason means to whoever runs the gateway, and what helps. The pages show it beside the word,
and `docs/reasons.md` is made from it.
"""

from gateway.errors import Cause, Reason

OF_CAUSE: dict[Cause, str] = {
    Cause.UNKNOWN_SOURCE: "No source of this name is configured. Compare the address that the shop calls with the names"
    " under `sources`.",
    Cause.METHOD_NOT_ALLOWED: "The source takes other methods: see `allow.methods`. A GET is often somebody's browser.",
    Cause.IP_NOT_ALLOWED: "The sender's address is not in `allow.ips`. Behind a proxy, name the proxy in"
    " `receiver.trusted_proxies`, or its address is taken for the sender's.",
    Cause.HEADER_MISSING: "A header that `allow.headers` asks for is not there. Check that no proxy takes it away.",
    Cause.HEADER_NOT_ALLOWED: "A header has another value than `allow.headers` asks for: the webhook may belong to"
    " another shop.",
    Cause.API_KEY_MISSING: "The source has an `api_key`, and the request brings none, neither as `?api-key=` nor as"
    " `X-Api-Key`.",
    Cause.API_KEY_WRONG: "The request brings another key than the source's `api_key`.",
    Cause.CREDENTIALS_MISSING: "The source asks for a user name and a password (Basic), and the request brings none.",
    Cause.CREDENTIALS_WRONG: "The user name or the password is not the one that is configured.",
    Cause.BODY_TOO_LARGE: "The body is larger than `body_limit` of the source or the receiver. Raise it if the sender"
    " may send that much.",
    Cause.BODY_STALLED: "The body stopped coming. Usually the network or the sender; it will try again.",
    Cause.ENCODING_UNSUPPORTED: "The body is packed in a way that is not understood: gzip and deflate are.",
    Cause.CONTENT_TYPE_UNSUPPORTED: "The content type is not one that the source's preset takes. Set the webhook's"
    " format at the shop, usually to JSON.",
    Cause.SIGNATURE_MISSING: "The request is not signed. Either it does not come from the platform, or the webhook was"
    " made without a secret, or a proxy takes the header away.",
    Cause.SIGNATURE_MALFORMED: "The signature is not written as the platform writes it, so the platform probably did"
    " not send this.",
    Cause.SIGNATURE_WRONG: "The body is not signed with any of the source's `secrets`. Copy the secret from the shop"
    " again. If it is right, something between the shop and the gateway changes the body.",
    Cause.SIGNATURE_EXPIRED: "The request was signed too long ago or in the future. Check the clock of this machine; or"
    " it is an old request, sent again by a stranger.",
    Cause.BODY_UNREADABLE: "The body is not what the preset expects (JSON, a form, XML). The detail says why.",
    Cause.TOPIC_MISSING: "Nothing says what kind of event this is. The platform sends it in a header or in the body:"
    " see the platform's page, or `topic` of a generic source.",
    Cause.TOPIC_INVALID: "What should say the kind of event is empty, too long or not printable. Check `topic`.",
    Cause.NOT_AN_EVENT: "Answered 200 and kept here only to be seen: a ping, or an error that the platform sends as a"
    " webhook.",
    Cause.KEY_UNAVAILABLE: "The key or certificate that the signature needs could not be fetched. The sender tries"
    " again; look for `key.unavailable` in the log if this lasts.",
    Cause.OVERLOADED: "More requests wait for a commit than may wait. The sender tries again; if it lasts, the disk or"
    " the database is too slow.",
    Cause.JOURNAL_UNAVAILABLE: "The event could not be stored. The sender tries again; look at the disk or the database"
    " now.",
}
"""Why a request was refused."""

OF_REASON: dict[Reason, str] = {
    Reason.CONNECTION_FAILED: "The vendor could not be reached: name, address, TLS or network. Tried again by itself.",
    Reason.TIMEOUT: "The vendor did not answer in time. Tried again by itself.",
    Reason.SERVER_ERROR: "The vendor answered with an error of its own (5xx). Tried again by itself.",
    Reason.BUSY: "The vendor is busy with something that it has to finish first. Tried again by itself.",
    Reason.RATE_LIMITED: "The vendor says that it is called too fast. The gateway slows down by itself. If it lasts,"
    " somebody else uses the same account: lower the destination's `limits`.",
    Reason.QUEUE_FULL: "The vendor's own queue is full. The gateway waits until it has room.",
    Reason.QUOTA_EXHAUSTED: "What the contract allows is used up. The gateway waits; the vendor can raise the quota.",
    Reason.KEY_REFUSED: "The vendor does not accept the key. Nothing is lost and nothing is sent: put the right key"
    " into the configuration, and it goes on by itself within a minute.",
    Reason.UNEXPECTED_ANSWER: "The vendor's answer could not be understood: the detail has its beginning. Check"
    " `base_url` or `url`; a proxy's error page looks like this.",
    Reason.PAYLOAD_REFUSED: "The vendor refused the whole request as malformed. Look at its answer, mend the mapping,"
    " then retry.",
    Reason.RECORD_REFUSED: "The vendor refused this record. Look at its answer, mend the mapping or the data, then"
    " retry.",
    Reason.NOT_FOUND: "The vendor knows no such thing: the address, or an id in the configuration (dataset, stream), is"
    " wrong. Mend it, then retry.",
    Reason.CONFLICT: "The vendor holds something that contradicts this record. Look at its answer, then retry or"
    " discard.",
    Reason.TOO_LARGE: "The record is larger than the vendor takes. Let the mapping leave out what is not needed, then"
    " retry.",
    Reason.INCOMPLETE: "A field that the vendor requires is missing; the detail names it. It was not sent. Let the"
    " mapping fill it, then retry.",
    Reason.MAPPING_FAILED: "A mapping met a value that it cannot use; the detail names mapping and field. Mend the"
    " mapping, then retry.",
    Reason.BEHIND_ANOTHER: "An earlier record of the same customer, order or product waits, and order is kept. Goes"
    " when that one has gone.",
    Reason.HELD: "The route holds it back (`hold`) until its time.",
    Reason.GAVE_UP: "It was tried for as long as `retry.give_up_after` allows; the detail has the last trouble. Once"
    " the vendor is well again, retry.",
    Reason.AMBIGUOUS: "The request may or may not have arrived, and must not be sent twice. Look at the vendor, then"
    " retry if it is not there, discard if it is.",
    Reason.EXPIRED: "It waited longer than `journal.keep_at_most`, or `journal.max_size` had no room for it, and the"
    " event was removed.",
    Reason.UNREADABLE: "What was stored of it cannot be read: another version of the gateway wrote it, or it is"
    " damaged. Its event is there: retry, and it is mapped anew.",
    Reason.REDELIVER: "It is due again: an operator retried it, or its lane changed hands half-way.",
}
"""Why a record was not delivered (yet)."""

_ALL: dict[str, str] = {str(word): text for word, text in (*OF_CAUSE.items(), *OF_REASON.items())}


def advice(word: str) -> str:
    """What a cause or a reason means and what helps; nothing for a word that is not known (any more)."""
    return _ALL.get(word, "")
