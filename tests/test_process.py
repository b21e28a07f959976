"""What every process of a replica does."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette

from gateway import process
from gateway.process import Server


async def test_a_server_ends_when_it_is_told_and_not_at_its_next_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TICK_S", 60.0)
    async with asyncio.timeout(10), _serving(Server.of(Starlette())):
        pass


async def test_a_server_writes_its_date_anew_with_each_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TICK_S", 0.01)
    server = Server.of(Starlette())
    async with asyncio.timeout(10), _serving(server):
        first = server.server_state.default_headers
        await asyncio.sleep(0.2)
        assert server.server_state.default_headers is not first
        assert dict(first)[b"date"].endswith(b"GMT")


@asynccontextmanager
async def _serving(server: Server) -> AsyncIterator[None]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        await server.up.wait()
        await asyncio.sleep(0.01)  # it has had its first tick
        yield
        server.end()
        await serving
