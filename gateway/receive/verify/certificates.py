"""Certificates that platforms publish: in force, made out to the platform, and issued by whom the web trusts."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from gateway.errors import Cause, Rejected

Certificate = x509.Certificate

CERTIFICATES_AT_MOST = 6
"""Certificates of one file that are looked at."""

DEPTH = 4
"""Issuers between a certificate and its root, at most."""


class Chain:
    """A certificate and those that came with it, which lead to its root. The way to the root is walked once."""

    __slots__ = ("_trusted", "leaf", "rest")

    def __init__(self, leaf: Certificate, rest: Sequence[Certificate]) -> None:
        self.leaf = leaf
        self.rest = list(rest)
        self._trusted: bool | None = None

    def key(self, names: re.Pattern[str], arrived_ms: int, roots: Store | None) -> RSAPublicKey:
        """The certificate's key, if it is in force, made out to the platform, and leads to a root (None: to any)."""
        key = key_of(self.leaf, names, arrived_ms)
        if roots is None:
            return key
        if self._trusted is None:
            self._trusted = self._leads_to(roots, names, arrived_ms)
        if not self._trusted:
            raise Rejected(Cause.SIGNATURE_WRONG, "the certificate leads to no root that the web trusts")
        return key

    def _leads_to(self, roots: Store, names: re.Pattern[str], at_ms: int) -> bool:
        name = next((name for name in _alternative_names(self.leaf) if names.fullmatch(name)), None)
        if name is None:
            return False
        policy = PolicyBuilder().store(roots).time(datetime.fromtimestamp(at_ms / 1000, UTC)).max_chain_depth(DEPTH)
        try:
            host = x509.DNSName(name.replace("*", "any"))
            policy.build_server_verifier(host).verify(self.leaf, self.rest)
        except (VerificationError, ValueError):
            return False
        return True


def read_chain(text: bytes) -> Chain:
    """The certificates in a PEM text, the platform's first. Raises ValueError where that has no RSA key."""
    leaf, *rest = x509.load_pem_x509_certificates(text)[:CERTIFICATES_AT_MOST]
    return Chain(_with_rsa(leaf), rest)


def read_certificate(text: bytes) -> Certificate:
    """The first certificate in a PEM text. Raises ValueError where there is none with an RSA key."""
    return _with_rsa(x509.load_pem_x509_certificate(text))


def _with_rsa(certificate: Certificate) -> Certificate:
    if not isinstance(certificate.public_key(), RSAPublicKey):
        raise ValueError("the certificate's key is no RSA key")  # noqa: TRY004  a wrong value from outside
    return certificate


def key_of(certificate: Certificate, names: re.Pattern[str], arrived_ms: int) -> RSAPublicKey:
    """The certificate's key, if it is in force and made out to the platform. Raises Rejected."""
    at = datetime.fromtimestamp(arrived_ms / 1000, UTC)
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise Rejected(Cause.SIGNATURE_WRONG, "the certificate is not in force")
    if not any(names.fullmatch(name) for name in _names(certificate)):
        raise Rejected(Cause.SIGNATURE_WRONG, "the certificate is somebody else's")
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        raise Rejected(Cause.SIGNATURE_WRONG)
    return key


def _names(certificate: Certificate) -> Iterator[str]:
    for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        yield str(attribute.value)
    yield from _alternative_names(certificate)


def _alternative_names(certificate: Certificate) -> Sequence[str]:
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return alternative.value.get_values_for_type(x509.DNSName)
