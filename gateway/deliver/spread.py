"""An even share of the accounts for each dispatcher that lives. Pure.

All dispatchers see the same lease rows, so that all of them come to the same plan; where they do not, since they looked
at different moments, a claim still succeeds only once. An account costs something to move (its windows begin as used
up), so that it moves only where somebody has two fewer.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence


def to_claim(me: str, live: Collection[str], held: Mapping[str, str], free: Sequence[str]) -> list[str]:
    """Which of the free accounts are mine to claim: each goes to whoever has the fewest. `held`: account to owner."""
    counts = _counts(live, held)
    return [account for account in free if _fill(counts) == me]


def to_give(me: str, live: Collection[str], held: Mapping[str, str], free: Sequence[str]) -> int:
    """How many accounts I have too many, when the free ones are taken: nobody is to have two more than another."""
    counts = _counts(live, held)
    for _ in free:
        _fill(counts)
    given = 0
    while True:
        rich = max(counts, key=lambda one: (counts[one], one))
        if counts[rich] - min(counts.values()) < 2:  # noqa: PLR2004  one more than another is even
            return given
        counts[rich] -= 1
        _fill(counts)
        given += rich == me


def _counts(live: Collection[str], held: Mapping[str, str]) -> Counter[str]:
    counts = Counter(owner for owner in held.values() if owner in live)
    counts.update(dict.fromkeys(live, 0))
    return counts


def _fill(counts: Counter[str]) -> str:
    """One more for whoever has the fewest, the first by name."""
    poor = min(counts, key=lambda one: (counts[one], one))
    counts[poor] += 1
    return poor
