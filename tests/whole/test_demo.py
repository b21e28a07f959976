"""`gateway demo --once`: the first thing that a stranger runs."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.alone]

ROOT = Path(__file__).parents[2]
PORTS = (8080, 8081, 9900)
"""Those of the shipped configuration and of the sandbox."""
WITHIN_S = 90


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_the_demo_ends_by_itself_and_everything_has_arrived() -> None:
    if any(map(_taken, PORTS)):
        pytest.skip(f"something listens on one of {PORTS}")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "demo", "--once", "--events", "40", "--config", str(ROOT / "config")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    async with asyncio.timeout(WITHIN_S):
        said, _ = await process.communicate()
    text = said.decode()
    assert process.returncode == 0, text
    assert "Every event arrived; the ledger balances." in text
    assert "retries recognised" in text
    assert "http://127.0.0.1:8081" in text
    assert "token demo" in text
    assert not any(map(_taken, PORTS))


async def test_the_pages_of_the_demo_open_with_the_token_that_it_says() -> None:
    if any(map(_taken, PORTS)):
        pytest.skip(f"something listens on one of {PORTS}")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "demo", "--events", "5", "--config", str(ROOT / "config")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        async with asyncio.timeout(WITHIN_S), aiohttp.ClientSession() as session:
            assert process.stdout is not None
            while b"Still running" not in await process.stdout.readline():
                continue
            headers = {"authorization": "Bearer demo"}
            async with session.get("http://127.0.0.1:8081/api/lanes", headers=headers) as answer:
                assert answer.status == 200
    finally:
        process.send_signal(signal.SIGINT)
        await process.wait()


async def test_the_demo_says_which_address_somebody_else_has() -> None:
    if any(map(_taken, PORTS)):
        pytest.skip(f"something listens on one of {PORTS}")
    with socket.create_server(("127.0.0.1", 8081)):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "demo", "--once", "--config", str(ROOT / "config")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        async with asyncio.timeout(WITHIN_S):
            said, _ = await process.communicate()
    assert process.returncode == 1
    assert "127.0.0.1:8081" in said.decode()
    assert "in use" in said.decode()
