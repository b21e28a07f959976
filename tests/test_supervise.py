"""How a child is, as its parent hears it."""

import asyncio
import socket

import pytest

from gateway import supervise
from gateway.supervise import ChildSpec, ChildStatus, Parent, Supervisor


async def told(supervisor: Supervisor, *, ready: bool) -> ChildStatus:
    """The child's status, once it is so."""
    for _ in range(500):
        if (status := supervisor.status()[0]).ready is ready:
            return status
        await asyncio.sleep(0.01)
    raise AssertionError(f"it never was {ready}")


async def test_a_child_that_falls_silent_is_not_ready_until_it_speaks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "SILENT_S", 0.05)
    supervisor = Supervisor([])
    supervisor.begin([ChildSpec("dispatcher", ())])
    ours, theirs = socket.socketpair()
    listening = asyncio.create_task(supervisor._listen("dispatcher", ours))
    theirs.send(b'{"ready": true, "why": ""}\n')
    await told(supervisor, ready=True)
    assert "nothing was heard of it" in (await told(supervisor, ready=False)).why
    theirs.send(b'{"ready": true, "why": ""}\n')
    assert (await told(supervisor, ready=True)).why == ""
    theirs.close()
    await listening


async def test_a_child_that_has_nothing_new_to_say_lets_itself_be_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    monkeypatch.setenv("GATEWAY_STATUS_FD", str(theirs.detach()))
    monkeypatch.setattr(supervise, "BEAT_S", 0.0)
    parent = Parent()
    reader, writer = await asyncio.open_connection(sock=ours)

    async def hear(_: dict[str, object]) -> None:
        """Nothing is told."""

    attending = asyncio.create_task(parent.attend(lambda _: None, hear))
    parent.say(ready=True)
    async with asyncio.timeout(5):
        first = await reader.readline()
        parent.say(ready=True)
        assert await reader.readline() == first
    writer.close()
    await attending
    assert parent._writer is not None
    parent._writer.close()
    await parent._writer.wait_closed()
