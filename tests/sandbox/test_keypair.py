"""The key of the sandbox's own: kept in a file, published, and of use to the platforms that sign with a private key."""

import stat
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from gateway.sandbox.keypair import KEY_ID, KeyPair
from gateway.sandbox.server import build
from tests.sandbox.asgi import call


def test_a_key_that_is_not_there_is_made_for_nobody_else_to_read_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.pem"
    made, found = KeyPair.kept(path), KeyPair.kept(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.public_pem() == found.public_pem() == (tmp_path / "sandbox.pem.pub").read_bytes()


@pytest.mark.parametrize("text", [b"", b"no key", KeyPair.generate().public_pem()], ids=["empty", "text", "public"])
def test_a_file_without_a_private_key_is_said(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "sandbox.pem"
    path.write_bytes(text)
    with pytest.raises(ValueError, match="holds no RSA private key"):
        KeyPair.kept(path)


def test_a_token_is_proved_by_the_public_half() -> None:
    pair = KeyPair.generate()
    assert jwt.decode(pair.token({"data": "x"}), pair.public_pem(), ["RS256"]) == {"data": "x"}


async def test_the_sandbox_publishes_the_public_half_both_ways() -> None:
    pair = KeyPair.generate()
    app = build(pair=pair).app
    pem, keys = await call(app, "GET", "/keys/public.pem"), await call(app, "GET", "/keys/jwks.json")
    load_pem_public_key(pem.body)
    assert pem.body == pair.public_pem()
    assert [key["kid"] for key in keys.json()["keys"]] == [KEY_ID]
    assert b"PRIVATE" not in pem.body + keys.body


async def test_a_sandbox_that_was_given_no_key_makes_one() -> None:
    app = build().app
    assert (await call(app, "GET", "/keys/public.pem")).body == (await call(app, "GET", "/keys/public.pem")).body
