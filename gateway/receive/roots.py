"""The certification authorities that the web trusts (Mozilla's list), for certificates that platforms sign with."""

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.x509.verification import Store

Roots = Callable[[], Store]

_BEGIN = b"-----BEGIN CERTIFICATE-----"


@cache
def web_roots() -> Store:
    """Mozilla's roots. Read when they are first needed: most configurations never need them."""
    return Store(list(_certificates(Path(certifi.where()).read_bytes())))


def _certificates(text: bytes) -> Iterator[x509.Certificate]:
    """Those that can be read without a complaint: a few old roots break the rules of today."""
    for part in text.split(_BEGIN)[1:]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                yield x509.load_pem_x509_certificate(_BEGIN + part)
            except (ValueError, Warning):
                continue
