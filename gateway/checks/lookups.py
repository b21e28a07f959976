"""Look-ups that ask for nothing that their sources are known to make."""

from collections.abc import Iterator

from gateway.checks.kinds import Known, received, sound_presets
from gateway.config.load import Loaded, Problem
from gateway.config.wording import near
from gateway.mapping.book import Book
from gateway.vendors.lookup import LookupSettings


def lookups(loaded: Loaded) -> Iterator[Problem]:
    """Globs of look-ups that meet no type of any source that names the look-up."""
    makes = received(loaded, sound_presets(loaded), Book(loaded.config.mappings))
    for name, settings in loaded.lookups.items():
        sources = [
            makes[one] for one, source in loaded.config.sources.items() if name in source.lookup and one in makes
        ]
        if not sources or not isinstance(settings, LookupSettings):
            continue
        for glob in settings.urls:
            if not any(_meets(glob, one) for one in sources):
                types = {kind.type for one in sources for kind in one.kinds}
                cause = f"`{glob}` matches nothing that its sources are known to make"
                yield Problem(("lookups", name, "urls", glob), cause, near(glob, types), warning=True, key=True)


def _meets(glob: str, makes: Known) -> bool:
    return (makes.is_open and not makes.is_platform) or any(kind.meets(glob) for kind in makes.kinds)
