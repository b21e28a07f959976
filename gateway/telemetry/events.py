"""The catalogue of log events: every dotted name that may stand in a log line, and what it says.

Names are `<thing>.<what became of it>`. A line's fields tell the rest; docs/telemetry.md is held against this table.
"""

EVENTS: dict[str, str] = {
    # the receiver
    "receiver.ready": "The receiver takes requests: `listen`, `sources`.",
    "group.committed": "A group was committed (`log.accepted`): `accepted` and `duplicates` by source, `took_ms`.",
    "request.refused": "A request was refused: `source`, `cause`, `status`, `client`, `detail`.",
    "receiver.failed": "Something in the receiver failed that should not; the answer is 503: `what`, `exception`.",
    "key.fetched": "Signing keys were fetched: `source`, `url`.",
    "key.unavailable": "Signing keys could not be fetched; the last good ones stay in use: `source`, `url`, `reason`.",
    # the journal
    "journal.opened": "The journal is open: `url`, `head`.",
    "journal.migrated": "The journal was brought to a newer shape: `from_version`, `to_version`.",
    "journal.unavailable": "The journal cannot commit or answer; requests are answered 503: `reason`.",
    "journal.recovered": "The journal answers again: `after_s`.",
    "journal.kept": "What is no longer to be kept was removed: `events`, `identities`, `attempts`, `dead`, `expired`.",
    # the dispatcher
    "dispatcher.ready": "The dispatcher reads and sends: `destinations`, `lanes`.",
    "dispatcher.lease_taken": "This process serves an account from now on: `account`.",
    "dispatcher.lease_lost": "Another process serves an account now, or nobody could tell: `account`.",
    "dispatcher.lease_released": "This process gave an account back: `account`.",
    "dispatcher.stood_back": "There are events of a newer configuration than this process has: `revision`, `needed`.",
    "lane.registered": "A lane is there: `source`, `destination`, `start_seq`.",
    "lane.taken_over": "A renamed destination took over a lane: `source`, `destination`, `was`.",
    "lane.orphaned": "A lane's source or destination left the configuration; it keeps all: `source`, `destination`.",
    "lane.full": "A lane has as many parked rows as it may and stopped reading: `source`, `destination`, `parked`.",
    "lane.failed": "A lane's turn met a fault of the gateway's own and is tried again: `source`, `destination`.",
    "lane.paused": "An operator or the configuration paused a lane: `source`, `destination`, `by`.",
    "lane.resumed": "A lane goes on: `source`, `destination`, `by`.",
    "mapping.failed": "A mapping could not map an event; it is dead on that lane: `mapping`, `path`, `cause`.",
    "batch.sent": "A request to a vendor was answered (debug): `destination`, `channel`, `records`, `bytes`, `status`.",
    "request.not_built": "A vendor could not write the request of a batch; it is halved to find out: `destination`.",
    "settle.done": "What became of events was committed: `account`, `delivered`, `parked`, `dead`, `filtered`.",
    "settle.conflict": "A settle was refused since the lane or lease had changed; it is read again: `account`.",
    "record.parked": "A record waits for its next attempt (debug): `event`, `destination`, `reason`, `due_in_s`.",
    "record.dead": "A record was given up: `event`, `destination`, `part`, `reason`, `detail`.",
    "account.throttled": "A vendor asked for a pause: `account`, `reason`, `for_s`.",
    "account.suspended": "A vendor refuses the key; nothing is sent but a probe: `account`, `reason`, `detail`.",
    "account.resumed": "A suspended account is served again: `account`.",
    "account.slowed": "A vendor refused at its published limit, so a reserve is kept: `account`, `reserve`.",
    "breaker.opened": "An account only failed; it is left alone: `account`, `reason`, `for_s`.",
    "breaker.closed": "An account that failed is served again: `account`.",
    "intent.found": "A call that a crash cut off was found and goes on: `destination`, `kind`, `step`.",
    # the configuration
    "configuration.loaded": "A configuration is in force: `digest`, `revision`, `files`.",
    "configuration.refused": "A configuration has faults and the old one stays in force: `faults`.",
    "configuration.warned": "A configuration is in force, and something in it will hardly be meant: `warning`.",
    # processes
    "gateway.started": "The gateway starts: `version`, `roles`, `configuration`.",
    "child.started": "A child process was started: `role`, `pid`.",
    "child.ready": "A child process can do its role: `role`, `pid`.",
    "child.died": "A child process ended without being asked: `role`, `pid`, `exit_code`, `again_in_s`.",
    "child.stopped": "A child process ended as asked: `role`, `pid`.",
    "process.crashed": "A fault that nothing caught ends this process: `exception`.",
    "process.failed": "A loop met a fault of the gateway's own and goes on: `loop`, `exception`.",
    "shutdown.begun": "The gateway was asked to end: nothing new is taken, what is in flight is finished: `signal`.",
    "shutdown.done": "Everything in flight is settled: `after_s`.",
    "shutdown.forced": "The time for an orderly end is over: `after_s`, `unfinished`.",
    # the admin port
    "admin.ready": "The admin port answers: `listen`, `token` (whether one is asked for).",
    "admin.refused": "A request to the admin API had no right token: `path`, `client`.",
    "admin.failed": "An admin request met a fault of the gateway's own: `path`.",
    "metrics.incomplete": "The lanes' figures were not to be had within the time; the rest was given: `reason`.",
    "operation.done": "An operator changed something: `who`, `what`, `subject`, `count`.",
    # beside the way of an event
    "sandbox.ready": "The sandbox answers: `listen`, `vendors`.",
    "library.said": "A library wrote a log line: `logger_name`, `message`.",
    "library.warned": "Python or a library warned: `message`.",
}
"""Every log event, and the sentence that docs and operators read."""
