"""Certificates that platforms publish: in force, made out to the platform, and issued by whom the web trusts."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from gateway.errors import Cause, Rejected
from gateway.receive.keys import Keys

Certificate = x509.Certificate

CERTIFICATES_AT_MOST = 6
"""Certificates of one file that are looked at."""

DEPTH = 4
"""Issuers between a certificate and its root, at most."""


ISSUER_URL = re.compile(r"https?://([a-z0-9-]+\.)+[a-z]{2,}/[A-Za-z0-9/_.-]{1,200}")
"""Where an issuer's certificate may be: a name on the web, at its usual port."""


class Chain:
    """A certificate and those that came with it, which lead to its root. The way to the root is walked once."""

    __slots__ = ("_trusted", "leaf", "rest")

    def __init__(self, leaf: Certificate, rest: Sequence[Certificate]) -> None:
        self.leaf = leaf
        self.rest = list(rest)
        self._trusted = False

    def key(self, names: re.Pattern[str], arrived_ms: int) -> RSAPublicKey:
        """The certificate's key, if it is in force and made out to the platform. Raises Rejected."""
        return key_of(self.leaf, names, arrived_ms)

    def prove(self, names: re.Pattern[str], arrived_ms: int, keys: Keys) -> None:
        """Raise Rejected unless the certificate leads to a root that the web trusts; KeyNeeded where its issuer did not
        come with it and has to be fetched first. Its URL stands in the certificate, which the platform's host gave.
        """
        if self._trusted:
            return
        url = None if self.rest else self._issuer_url()
        rest = self.rest if url is None else [keys.get(url, read_issuer)]
        self._trusted = self._leads_to(keys.roots(), rest, names, arrived_ms)
        if not self._trusted:
            raise Rejected(Cause.SIGNATURE_WRONG, "the certificate leads to no root that the web trusts")

    def _issuer_url(self) -> str | None:
        try:
            told = self.leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        except x509.ExtensionNotFound:
            return None
        places = (one.access_location for one in told if one.access_method == AuthorityInformationAccessOID.CA_ISSUERS)
        urls = (place.value for place in places if isinstance(place, x509.UniformResourceIdentifier))
        return next((url for url in urls if ISSUER_URL.fullmatch(url)), None)

    def _leads_to(self, roots: Store, rest: list[Certificate], names: re.Pattern[str], at_ms: int) -> bool:
        name = next((name for name in _alternative_names(self.leaf) if names.fullmatch(name)), None)
        if name is None:
            return False
        policy = PolicyBuilder().store(roots).time(datetime.fromtimestamp(at_ms / 1000, UTC)).max_chain_depth(DEPTH)
        try:
            host = x509.DNSName(name.replace("*", "any"))
            policy.build_server_verifier(host).verify(self.leaf, rest)
        except (VerificationError, ValueError):
            return False
        return True


def read_chain(text: bytes) -> Chain:
    """The certificates in a PEM text, the platform's first. Raises ValueError where that has no RSA key."""
    leaf, *rest = x509.load_pem_x509_certificates(text)[:CERTIFICATES_AT_MOST]
    return Chain(_with_rsa(leaf), rest)


def read_issuer(text: bytes) -> Certificate:
    """The certificate of an authority, DER as they publish them, or PEM. Raises ValueError."""
    if text.startswith(b"-----BEGIN"):
        return x509.load_pem_x509_certificate(text)
    return x509.load_der_x509_certificate(text)


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
