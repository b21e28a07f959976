"""Fields of normal events that are hardly meant: nearly a field of the vocabulary, which is not made."""

from collections.abc import Iterator
from difflib import get_close_matches

from gateway.checks.uses import House
from gateway.config.load import Loaded, Problem
from gateway.mapping import vocabulary
from gateway.mapping.reads import made

_LIKE = 0.85
"""How like a known name another has to be (difflib's ratio). A field of one's own is fine, and is mostly less like."""


def misspelt(loaded: Loaded) -> Iterator[Problem]:
    """Fields that stand in mappings of one's own, one slip away from a known one that does not stand there."""
    house = House(loaded)
    for name in sorted(house.normalising() & loaded.config.mappings.keys()):
        rules = house.book.rules_of(name)
        entity, own = str(rules.get("entity", "")), {path[0] for path, _ in made(loaded.config.mappings[name])}
        known = {path[0] for path in vocabulary.fields(entity)}
        for field in sorted(own - known):
            if meant := get_close_matches(field, known - own, n=1, cutoff=_LIKE):
                cause = f"`{field}` is no field of the entity {entity}, and nothing that is shipped reads it"
                at = ("mappings", name, "fields", field)
                yield Problem(at, cause, f"did you mean `{meant[0]}`?", key=True, warning=True)
