"""Signatures by JSON Web Signature: Saleor (detached, RFC 7797, keys at its JWKS) and Wix (the body is a JWT).

Only RS256 is taken, whatever a token's header says.
"""

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import Field

from gateway.config.schema import Source
from gateway.config.values import Seconds
from gateway.errors import Cause, Rejected
from gateway.receive.keys import Keys
from gateway.receive.parts import compile_header
from gateway.receive.verify.base import Fields, Scheme, Verify, signature
from gateway.receive.verify.hmac import Hmac

ALGORITHMS = ["RS256"]
JWKS_KEYS_AT_MOST = 32
TOKEN_BYTES = 4 << 20
_JWS = jwt.PyJWS(algorithms=ALGORITHMS)

KeySet = dict[str, Any]


class Jws(Scheme):
    """A detached JWS over the raw body in a header.

    With `secrets` the deprecated form is taken instead: HMAC-SHA256 in hex, in the same header.
    """

    scheme: Literal["jws"] = "jws"
    header: str = Field(description="The header that carries the signature.", examples=["Saleor-Signature"])

    def faults(self, source: Source) -> Iterator[str]:
        if not source.secrets and _jwks_url(source) is None:
            yield "api_url or jwks_url is needed: where the signing keys are published"

    def verifier(self, source: Source, keys: Keys) -> Verify:
        if source.secrets:
            return Hmac(header=self.header).verifier(source, keys)
        url = _jwks_url(source) or ""
        keys.expect(url, read_jwks)
        read = compile_header(self.header)

        def verify(body: bytes, fields: Fields, _arrived_ms: int) -> None:
            token = _canonical(signature(read(fields)))
            key = _key_of(_key_id(token), keys, url)
            try:
                _JWS.decode_complete(token, key, algorithms=ALGORITHMS, detached_payload=body)
            except jwt.InvalidSignatureError:
                raise Rejected(Cause.SIGNATURE_WRONG) from None
            except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
                raise Rejected(Cause.SIGNATURE_MALFORMED) from None

        return verify


class JwtBody(Scheme):
    """A body that is a JWT, proved with the source's `public_key`. Its times are judged at receipt."""

    scheme: Literal["jwt-body"] = "jwt-body"
    tolerance: Seconds = Field(300.0, description="How far the signed time may be off, both ways.")

    def faults(self, source: Source) -> Iterator[str]:
        if source.public_key is None:
            yield "public_key is needed: the app's public key (PEM)"

    def verifier(self, source: Source, keys: Keys) -> Verify:  # noqa: ARG002  its key is in the configuration
        key = read_public_key((source.public_key or "").encode())
        tolerance_s = self.tolerance

        def verify(body: bytes, _fields: Fields, arrived_ms: int) -> None:
            if not body or len(body) > TOKEN_BYTES:
                raise Rejected(Cause.SIGNATURE_MISSING if not body else Cause.SIGNATURE_MALFORMED)
            try:
                proved = _JWS.decode_complete(_canonical(body.strip()), key, algorithms=ALGORITHMS)
                claims = json.loads(proved["payload"])
            except jwt.InvalidSignatureError:
                raise Rejected(Cause.SIGNATURE_WRONG) from None
            except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
                raise Rejected(Cause.SIGNATURE_MALFORMED) from None
            _in_time(claims, arrived_ms / 1000, tolerance_s)

        return verify


def _canonical(token: bytes) -> bytes:
    """The token, if its signature is written as encoders write it: other texts decode to the same bytes. Raises
    Rejected.
    """
    text = token.rpartition(b".")[2]
    try:
        again = urlsafe_b64encode(urlsafe_b64decode(text + b"=" * (-len(text) % 4))).rstrip(b"=")
    except (binascii.Error, ValueError):
        again = b""
    if not again or again != text:
        raise Rejected(Cause.SIGNATURE_MALFORMED)
    return token


def _in_time(claims: Any, arrived_s: float, tolerance_s: float) -> None:
    """A token is good from its `iat` (and `nbf`) to its `exp`, give or take the tolerance."""
    if not isinstance(claims, dict):
        raise Rejected(Cause.SIGNATURE_MALFORMED)
    expires = claims.get("exp")
    begins = [claims[name] for name in ("iat", "nbf") if name in claims]
    if not all(isinstance(at, int | float) and not isinstance(at, bool) for at in (*begins, expires or 0)):
        raise Rejected(Cause.SIGNATURE_MALFORMED)
    if expires is not None and arrived_s > expires + tolerance_s:
        raise Rejected(Cause.SIGNATURE_EXPIRED)
    if any(arrived_s < at - tolerance_s for at in begins):
        raise Rejected(Cause.SIGNATURE_EXPIRED)


def _jwks_url(source: Source) -> str | None:
    if source.jwks_url is not None or source.api_url is None:
        return source.jwks_url
    parts = urlsplit(source.api_url)
    return f"{parts.scheme}://{parts.netloc}/.well-known/jwks.json"


def _key_id(token: bytes) -> str:
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise Rejected(Cause.SIGNATURE_MALFORMED) from None
    key_id = header.get("kid", "")
    if not isinstance(key_id, str) or header.get("alg") not in ALGORITHMS:
        raise Rejected(Cause.SIGNATURE_MALFORMED)
    return key_id


def _key_of(key_id: str, keys: Keys, url: str) -> Any:
    """The key of this id; the only one where a token names none. One that is not known is looked for once more."""
    found: KeySet = keys.get(url, read_jwks)
    if not key_id and len(found) == 1:
        return next(iter(found.values()))
    if key_id not in found:
        keys.stale(url, read_jwks)
        raise Rejected(Cause.SIGNATURE_WRONG, "the signature's key is not published")
    return found[key_id]


def read_jwks(text: bytes) -> KeySet:
    """The RSA keys in a JWK Set, by id. Raises ValueError where there is none."""
    listed = json.loads(text)["keys"][:JWKS_KEYS_AT_MOST]
    found = {
        str(one.get("kid", "")): jwt.PyJWK(one, algorithm="RS256").key for one in listed if one.get("kty") == "RSA"
    }
    if not found:
        raise ValueError("the key set has no RSA key")
    return found


def read_public_key(text: bytes) -> RSAPublicKey:
    """An RSA public key from PEM. Raises ValueError."""
    key = load_pem_public_key(text)
    if not isinstance(key, RSAPublicKey):
        raise ValueError("the key is no RSA key")  # noqa: TRY004  a wrong value of configuration
    return key
