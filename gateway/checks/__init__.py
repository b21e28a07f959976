"""What several rooms know of a configuration beyond its models: doors that cannot open, mappings and conditions that do
not compile, routes that can never match, mappings that never make what a vendor needs, destinations that share an
account and disagree about it. The registry runs these behind the models.
"""

from collections.abc import Iterator

from pydantic import ValidationError

from gateway.checks.database import database
from gateway.checks.figures import batches, codes
from gateway.checks.lookups import lookups
from gateway.checks.misspelt import misspelt
from gateway.checks.names import shadowed, unused
from gateway.checks.needs import needs
from gateway.checks.quotes import quotes
from gateway.checks.routes import routes
from gateway.checks.unread import unread
from gateway.config import wording
from gateway.config.load import Loaded, Problem
from gateway.config.registry import Check
from gateway.mapping.book import Book
from gateway.mapping.expressions import ExpressionError, compile_expression
from gateway.receive import door
from gateway.receive.presets import Preset
from gateway.vendors import TARGETS


def presets(loaded: Loaded) -> Iterator[Problem]:
    """Platforms of one's own."""
    for name, data in loaded.config.presets.items():
        try:
            Preset.model_validate(data)
        except ValidationError as error:
            for problem in wording.problems(error, Preset, data, {}):
                yield Problem(("presets", name, *problem.path), problem.cause, problem.hint, key=problem.key)


def doors(loaded: Loaded) -> Iterator[Problem]:
    """Sources that cannot verify what they are sent."""
    return (problem for problem in door.problems(loaded.config) if problem.path[0] != "presets")


def mappings(loaded: Loaded) -> Iterator[Problem]:
    """Mappings of one's own that do not compile."""
    yield from Book(loaded.config.mappings).problems()


def conditions(loaded: Loaded) -> Iterator[Problem]:
    """Conditions of routes that are no expressions."""
    for index, route in enumerate(loaded.config.routes):
        try:
            compile_expression(route.when or "@")
        except ExpressionError as error:
            cause = f"column {error.column}: {error.cause}"
            hint = f"{error.hint}\n{error.caret()}" if error.hint else error.caret()
            yield Problem(("routes", index, "when"), cause, hint)


def accounts(loaded: Loaded) -> Iterator[Problem]:
    """Destinations that share an account have one set of limits: two would mean that neither is kept."""
    first: dict[str, str] = {}
    for name, settings in loaded.targets.items():
        account = settings.account or TARGETS[settings.vendor](name, settings).account()
        earlier = first.setdefault(account, name)
        if settings.limits != loaded.targets[earlier].limits:
            cause = f"other limits than `{earlier}`, which shares its account"
            at = ("lookups" if name in loaded.lookups else "destinations", name, "limits")
            yield Problem(at, cause, "give both the same `limits`, or each its `account`")


def empty(loaded: Loaded) -> Iterator[Problem]:
    """A configuration without a source takes nothing: a wrong file, or a first one that is not finished."""
    if not loaded.config.sources:
        hint = "`gateway init` writes a first configuration"
        yield Problem(("sources",), "no source is configured: nothing will be taken", hint, warning=True)


CHECKS: tuple[Check, ...] = (
    empty,
    presets,
    doors,
    mappings,
    conditions,
    accounts,
    codes,
    batches,
    database,
    lookups,
    routes,
    needs,
    unread,
    misspelt,
    quotes,
    unused,
    shadowed,
)
