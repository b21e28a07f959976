"""A key of the sandbox's own, for platforms that sign with a private key: what it signs, and what it publishes.

A real platform keeps its key to itself. A source that is told of this key (Saleor's `jwks_url`, Wix' `public_key`)
takes what the sandbox signs, and nothing that the platform signs.
"""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

KEY_ID = "sandbox"
KEY_BITS = 2048
KEY_FILE_BYTES = 64 << 10

_PEM = serialization.Encoding.PEM
_DAY = timedelta(days=1)


class KeyPair:
    """An RSA key, and the certificates that are made out for it."""

    def __init__(self, private: rsa.RSAPrivateKey) -> None:
        self._private = private
        self._issuer = ec.generate_private_key(ec.SECP256R1())

    @classmethod
    def generate(cls) -> "KeyPair":
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS))

    @classmethod
    def read(cls, path: Path) -> "KeyPair":
        """The key in a PEM file. Raises OSError, or ValueError where it holds no RSA key without a password."""
        with path.open("rb") as file:
            text = file.read(KEY_FILE_BYTES)
        try:
            private = serialization.load_pem_private_key(text, None)
        except (TypeError, ValueError):
            private = None
        if not isinstance(private, rsa.RSAPrivateKey):
            raise ValueError(f"{path} holds no RSA private key (PEM, without a password)")  # noqa: TRY004  a wrong value
        return cls(private)

    @classmethod
    def kept(cls, path: Path) -> "KeyPair":
        """The key in a file, made and written when there is none; `PATH.pub` beside it is the public half.

        Raises OSError and ValueError as `read`.
        """
        if path.exists():
            return cls.read(path)
        made = cls.generate()
        path.touch(mode=0o600)
        path.write_bytes(made.private_pem())
        Path(f"{path}.pub").write_bytes(made.public_pem())
        return made

    def private_pem(self) -> bytes:
        form, unlocked = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self._private.private_bytes(_PEM, form, unlocked)

    # --- what is published -------------------------------------------------------------------------------------------

    def public_pem(self) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._private.public_key().public_bytes(_PEM, form)

    def jwks(self) -> bytes:
        """The JWK Set, as Saleor publishes it at `/.well-known/jwks.json`."""
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._private.public_key()))
        return json.dumps({"keys": [{**key, "kid": KEY_ID, "use": "sig", "alg": "RS256"}]}).encode()

    def root(self, now_ms: int) -> x509.Certificate:
        """The certificate that `chain` leads to: whoever trusts it trusts this key, under any name."""
        name = _name("Sandbox Root")
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = _certificate(name, name, self._issuer.public_key(), now_ms)
        return (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._issuer.public_key()), critical=False)
            .sign(self._issuer, hashes.SHA256())
        )

    def chain(self, host: str, now_ms: int) -> bytes:
        """A certificate for this key under a host's name, and the root it leads to, PEM."""
        root = self.root(now_ms)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._issuer.public_key())
        builder = _certificate(_name(host), root.subject, self._private.public_key(), now_ms)
        leaf = (
            builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(identifier, critical=False)
            .sign(self._issuer, hashes.SHA256())
        )
        return leaf.public_bytes(_PEM) + root.public_bytes(_PEM)

    # --- what is signed ----------------------------------------------------------------------------------------------

    def signature(self, text: bytes) -> str:
        """RSA-SHA256 (PKCS #1 v1.5), base64: PayPal and Adobe."""
        return base64.b64encode(self._private.sign(text, PKCS1v15(), hashes.SHA256())).decode()

    def detached(self, body: bytes) -> str:
        """A JWS over the raw body without it (RFC 7797): Saleor."""
        headers = {"kid": KEY_ID, "crit": ["b64"]}
        return jwt.PyJWS(algorithms=["RS256"]).encode(
            body, self._private, algorithm="RS256", headers=headers, is_payload_detached=True
        )

    def token(self, claims: dict[str, Any]) -> bytes:
        """A JWT with these claims: Wix."""
        return jwt.encode(claims, self._private, "RS256", headers={"kid": KEY_ID}).encode()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, now_ms: int
) -> x509.CertificateBuilder:
    """A certificate in force around that time, before it is signed."""
    at = datetime.fromtimestamp(now_ms / 1000, UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - _DAY)
        .not_valid_after(at + 30 * _DAY)
    )
