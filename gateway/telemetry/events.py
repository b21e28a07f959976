"""The catalogue of log events: every dotted name that may stand in a log line, and what it says.

Names are `<thing>.<what became of it>`. A line's fields tell the rest; docs/telemetry.md is held against this table.
"""

EVENTS: dict[str, str] = {
    # the receiver
    "receiver.ready": "The receiver takes requests.",
    "group.committed": "A group was committed (`log.accepted`): `accepted` and `duplicates` by source, `took_ms`.",
    "request.refused": "A request was refused: `source`, `cause`, `detail`, `client`, `method`.",
    "receiver.failed": "Something in the receiver failed that should not; the answer is 503: `what`, `exception`.",
    "key.unavailable": "Signing keys could not be fetched; the last good ones stay in use: `source`, `url`, `reason`.",
    # the journal
    "journal.unavailable": "The journal cannot commit or answer; requests are answered 503: `reason`.",
    "journal.recovered": "The journal answers again: `after_s`.",
    # the dispatcher
    "lane.orphaned": "Lanes that the configuration no longer names keep all: `destination`, `lanes`, some `sources`.",
    "batch.sent": "A request to a vendor was answered (debug): `destination`, `channel`, `records`, `status`.",
    "request.not_built": "A vendor could not write the request of a batch; it is halved to find out: `destination`.",
    "intent.found": "A call that a crash cut off was found and goes on: `destination`, `kind`, `step`.",
    "replay.unreadable": "A replay's `when` is another version's; it stands still: end it, begin it anew: `replay`.",
    "answer.not_judged": "A vendor's file could not read an answer; the records are tried again: `destination`.",
    "schema.drift": "A source's payloads changed: `source`, `topic`, `field`, `change`, `before`, `after` (kinds).",
    "settle.done": "What became of events was committed: `account`, `delivered`, `parked`, `dead`, `filtered`.",
    "settle.conflict": "A settle was refused since the lane or lease had changed; it is read again: `account`.",
    "record.dead": "A record was given up: `source`, `destination`, `seq`, `part`, `reason`, `detail`.",
    "leases.given_up": "Events of a newer configuration wait; another process is to take over: `revision`, `newest`.",
    "account.served": "An account is served by this process from now on: `account`, `lanes`.",
    "lease.lost": "Another process took an account over while this one stood still: `account`.",
    "account.shared": "An account is left to another dispatcher, which serves fewer: `account`.",
    "account.throttled": "A vendor asked for a pause: `account`, `reason`, `for_s`.",
    "account.suspended": "A vendor refuses the key; nothing is sent but a probe: `account`, `reason`, `detail`.",
    "account.dropped": "A vendor dropped at least `count` records that it had taken: `account`, `detail`.",
    "account.drops_unknown": "A vendor does not tell what it dropped; said once: `account`, `reason`, `detail`.",
    "account.resumed": "A suspended account is served again: `account`.",
    "breaker.opened": "An account only failed; it is left alone: `account`, `reason`, `for_s`.",
    "breaker.closed": "An account that failed is served again: `account`.",
    # the configuration
    "configuration.loaded": "A configuration is in force: `digest`, `revision`, `files`.",
    "configuration.refused": "A configuration has faults and the old one stays in force: `faults`.",
    "configuration.warned": "A configuration is in force, and something in it will hardly be meant: `warning`.",
    # processes
    "gateway.started": "The gateway starts: `version`, `roles`, `configuration`.",
    "child.started": "A child process was started: `role`, `pid`.",
    "child.silent": "Nothing was heard of a child that was ready; it is frozen or starved: `role`, `for_s`.",
    "child.died": "A child process ended without being asked: `role`, `pid`, `exit_code`, `again_in_s`.",
    "process.failed": "A loop met a fault of the gateway's own and goes on: `loop`, `exception`.",
    "shutdown.begun": "The gateway was asked to end: nothing new is taken, what is in flight is finished: `signal`.",
    "shutdown.done": "Everything in flight is settled: `after_s`.",
    # the admin port
    "admin.ready": "The admin port answers: `listen`, `token` (whether one is asked for).",
    "admin.refused": "A request to the admin API had no right token: `path`, `client`.",
    "admin.failed": "An admin request met a fault of the gateway's own: `path`.",
    "metrics.incomplete": "The lanes' figures were not to be had within the time; the rest was given: `reason`.",
    "operation.done": "An operator changed something: `who`, `what`, `subject`, `count`.",
    # libraries
    "library.said": "A library wrote a log line: `logger_name`, `message`.",
    "library.warned": "Python or a library warned: `message`.",
}
"""Every log event, and the sentence that docs and operators read."""
