"""Spells: the requests of one account from one process, from one change of hands or of configuration to the next."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.config.schema import BreakerSetting
from tests.simulation.configured import LOOKUP
from tests.simulation.history import History
from tests.simulation.world import Sent


@dataclass
class Spell:
    """What one process sent for one account, in order, since it took it over or heard of another configuration.
    `rule`: the account's breaker by that configuration; None: it has none.
    """

    account: str
    begin_s: float
    rule: BreakerSetting | None
    sent: list[Sent] = field(default_factory=list)


def spells(history: History) -> Iterator[Spell]:
    """Every spell of a process that never froze: what such a one had in its hands leaves whenever it thaws."""
    by_hand: dict[tuple[str, int], list[Sent]] = defaultdict(list)
    for one in history.world.sent:
        if one.destination != LOOKUP:
            by_hand[one.account, one.process].append(one)
    for (account, number), sent in by_hand.items():
        process = history.processes[number - 1]
        if process.thawed_s:
            continue
        taken_s = [at_s for other in history.processes for at_s, name in other.claims if name == account]
        begins_s = sorted([*taken_s, *(at_s for at_s, _ in process.heard)])
        found: dict[int, Spell] = {}
        for one in sent:
            place = bisect_right(begins_s, one.at_s) - 1
            if place not in found:
                begin_s = begins_s[place]
                revision = [revision for at_s, revision in process.heard if at_s <= begin_s][-1]
                found[place] = Spell(account, begin_s, history.ever[revision].rule(account))
            found[place].sent.append(one)
        yield from found.values()
