"""Figures and codes of the configuration that mean something else than was meant, or nothing."""

from collections.abc import Iterator

from gateway.config.load import Loaded, Problem
from gateway.mapping import types
from gateway.vendors import TARGETS


def codes(loaded: Loaded) -> Iterator[Problem]:
    """Countries and currencies of sources that are none: no phone number and no amount could be read by them."""
    for name, source in loaded.config.sources.items():
        meant = types.country_if_known(source.country)
        if source.country is not None and meant != source.country:
            hint = f"did you mean `{meant}`?" if meant else "two capitals, as in GB"
            yield Problem(("sources", name, "country"), f"`{source.country}` is no ISO 3166 country", hint)
        if source.currency is not None and not types.is_currency(source.currency):
            hint = "three capitals, as in GBP"
            yield Problem(("sources", name, "currency"), f"`{source.currency}` is no ISO 4217 currency", hint)


def batches(loaded: Loaded) -> Iterator[Problem]:
    """Batches that the vendor would refuse, and that are not made for that."""
    hint = "`batch` lowers the vendor's figures, and never raises them"
    for name, settings in loaded.targets.items():
        rules = TARGETS[settings.vendor](name, settings).rules()
        at = ("lookups" if name in loaded.lookups else "destinations", name, "batch")
        for key, most in (("records", rules.records), ("bytes", rules.body_bytes)):
            wanted = getattr(settings.batch, key)
            if wanted is not None and wanted > most:
                cause = f"the vendor takes at most {most} in a request, and so many are sent"
                yield Problem((*at, key), cause, hint, warning=True)
