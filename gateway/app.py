"""The wiring: the one place that names concrete journals and vendors, and makes a configuration into running parts."""

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.checks import CHECKS
from gateway.config.load import Loaded, Registry, load
from gateway.config.registry import Check
from gateway.config.schema import BatchSetting, DestinationSettings, LimitSetting
from gateway.deliver.plan import Destination, Planner, Setup
from gateway.deliver.route import Router
from gateway.errors import JournalUnavailable, MappingError
from gateway.journal.base import Journal
from gateway.journal.sqlite import SqliteJournal
from gateway.journal.sqlite.transfer import shelf as sqlite_shelf
from gateway.journal.transfer import Shelf
from gateway.mapping.book import Book
from gateway.mapping.drift import Watches
from gateway.mapping.json_schema import mapping_schema
from gateway.mapping.normalise import Normaliser
from gateway.model import Event
from gateway.receive.presets import Preset, load_presets
from gateway.vendors import TARGETS, VENDORS
from gateway.vendors.base import BatchRules, Burst, Limit, Vendor
from gateway.vendors.lookup import LookupSettings

SQLITE = "sqlite:///"
POSTGRES = ("postgresql://", "postgres://")


def registry(checks: Sequence[Check] = ()) -> Registry:
    """What a configuration may name: the shipped vendors, presets and mappings; and what it is checked for."""
    return Registry(
        vendors={name: vendor.Settings for name, vendor in VENDORS.items()},
        presets=load_presets({}).keys(),
        packs=Book({}).names(),
        checks=(*CHECKS, *checks),
        lookup=LookupSettings,
        preset=Preset,
        mapping=mapping_schema(),
    )


def vendors() -> Mapping[str, type[Vendor]]:
    """The vendors that a destination may name."""
    return VENDORS


def load_config(path: Path, env: Mapping[str, str] | None = None, checks: Sequence[Check] = ()) -> Loaded:
    """The configuration in a file or folder. Raises ConfigurationError with all its faults. `checks`: more of them."""
    return load(path, registry(checks), os.environ if env is None else env)


def open_journal(url: str, *, listen_url: str | None = None, create: bool = False, copying: bool = False) -> Journal:
    """The journal of a URL, not yet opened. `listen_url`: where it is heard of commits, if not there. `create`: what is
    missing is made when it is opened, and the folder of its file now. `copying`: it may be a copy that is not complete.
    """
    if url.startswith(SQLITE):
        path = Path(url.removeprefix(SQLITE))
        if create:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                why = f"the folder {path.parent} cannot be made: {(error.strerror or 'an error').lower()}"
                raise JournalUnavailable(f"{why} (`journal.url` names the file in it)") from None
        return SqliteJournal(path, copying=copying)
    if url.startswith(POSTGRES):
        from gateway.journal.postgres import PostgresJournal  # noqa: PLC0415  who has a file loads no driver

        return PostgresJournal(url, listen_url=listen_url, create=create, copying=copying)
    raise JournalUnavailable(f"no journal is known for {url.partition(':')[0]}:")


@asynccontextmanager
async def journal_beside(url: str) -> AsyncIterator[str]:
    """The URL of an empty journal beside that of a URL, on the same disk or server; it is gone afterwards."""
    if url.startswith(SQLITE):
        folder = Path(url.removeprefix(SQLITE)).parent
        with TemporaryDirectory(prefix="gateway-beside-", dir=folder) as place:
            yield f"{SQLITE}{place}/journal.db"
        return
    from gateway.journal.postgres.beside import beside  # noqa: PLC0415  as above

    async with beside(url) as one:
        yield one


@asynccontextmanager
async def open_shelf(url: str) -> AsyncIterator[Shelf]:
    """The journal of a URL as its rows, to be copied from and into. It has been opened before."""
    if url.startswith(SQLITE):
        with sqlite_shelf(Path(url.removeprefix(SQLITE))) as found:
            yield found
        return
    from gateway.journal.postgres.transfer import shelf as postgres_shelf  # noqa: PLC0415  as above

    async with postgres_shelf(url) as one:
        yield one


def types_of(loaded: Loaded) -> Callable[[Event], str | None]:
    """The type of an event's normal form, by this configuration; None where it cannot be told."""
    planner = planners_of(loaded)()

    def type_of(event: Event) -> str | None:
        try:
            routed = planner.routed(event)
        except (MappingError, KeyError):  # it cannot be mapped; its source is gone
            return None
        return routed[0][0].type if routed else None

    return type_of


def secrets_of(loaded: Loaded) -> list[str]:
    """Every text of the configuration that must never be shown."""
    config = loaded.config
    found = [one for source in config.sources.values() for one in (*source.secrets, *source.api_key, source.bearer)]
    found += [source.basic.password for source in config.sources.values() if source.basic]
    texts = [one.reveal() for one in (*found, config.admin.token) if one is not None]
    for destination in destinations_of(loaded).values():
        texts += destination.vendor.secrets()
    return texts


def presets_of(loaded: Loaded) -> Mapping[str, Preset]:
    """The shipped presets and the configuration's own."""
    return load_presets(loaded.config.presets)


def destinations_of(loaded: Loaded) -> dict[str, Destination]:
    """Every configured destination with its vendor, and every look-up, which is one too."""
    return {name: _destination(name, settings) for name, settings in loaded.targets.items()}


def accounts_of(loaded: Loaded) -> dict[str, tuple[str, ...]]:
    """The accounts, and the destinations of each."""
    found: dict[str, tuple[str, ...]] = {}
    for destination in destinations_of(loaded).values():
        found[destination.account] = (*found.get(destination.account, ()), destination.name)
    return found


def setup_of(loaded: Loaded, revision: int, watches: Watches | None = None) -> Setup:
    """What the configuration means for delivery. Its payloads are watched for drift, by these watches."""
    planner = planners_of(loaded, watches or Watches())()
    return Setup(destinations_of(loaded), frozenset(loaded.config.sources), planner, revision, loaded.digest)


def trial_of(loaded: Loaded) -> Setup:
    """What the configuration would mean for delivery, for who only asks: nothing is watched."""
    planner = planners_of(loaded)()
    return Setup(destinations_of(loaded), frozenset(loaded.config.sources), planner, 0, loaded.digest)


def planners_of(loaded: Loaded, watches: Watches | None = None) -> Callable[[], Planner]:
    """Makes planners that share what is compiled, and remember no event of one another."""
    config = loaded.config
    presets = presets_of(loaded)
    book = Book(config.mappings)
    normalisers = {
        name: Normaliser(name, source, presets[source.preset].normalise, book, watches.of(name) if watches else None)
        for name, source in config.sources.items()
    }
    router = Router(config.routes)
    lookups = {name: source.lookup for name, source in config.sources.items() if source.lookup}
    return lambda: Planner(normalisers, router, book, lookups)


def _destination(name: str, settings: DestinationSettings) -> Destination:
    vendor = TARGETS[settings.vendor](name, settings)
    limits = [_limit(one) for one in settings.limits] if settings.limits is not None else vendor.limits()
    return Destination(
        name=name,
        settings=settings,
        vendor=vendor,
        account=settings.account or vendor.account(),
        key=vendor.account(),
        limits=tuple(limits),
        rules=_lowered(vendor.rules(), settings.batch),
    )


def _limit(setting: LimitSetting) -> Limit:
    burst = Burst(setting.burst.allow, setting.burst.per) if setting.burst else None
    return Limit(setting.allow, setting.per, setting.kind, burst, setting.scope, setting.cost or None)


def _lowered(rules: BatchRules, setting: BatchSetting) -> BatchRules:
    """The vendor's rules, lowered by the configuration: never raised."""
    return BatchRules(
        records=min(rules.records, setting.records or rules.records),
        body_bytes=min(rules.body_bytes, setting.bytes or rules.body_bytes),
        record_bytes=rules.record_bytes,
        linger_s=rules.linger_s if setting.linger is None else setting.linger,
        one_per_key=rules.one_per_key,
        keyed=rules.keyed,
    )
