"""A pooler in transaction mode, like pgbouncer: each transaction of a client goes to another session of the server than
the one before, whatever the client thinks.

PostgreSQL's protocol, version 3 (https://www.postgresql.org/docs/current/protocol-message-formats.html): a message is a
letter, its length (4 bytes, itself included) and what it says; at the start there is no letter.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

SSL, CANCEL = 80877103, 80877102
ENDS_A_TURN = b"SQF"
"""Sync, Query and FunctionCall: each is answered by one ReadyForQuery."""
SESSIONS = 4
PID = 4_000_000
"""The process id that clients are told: nobody's."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Pooler:
    """`async with Pooler(socket, user, database).listening() as one`: clients connect to `one.port`."""

    def __init__(self, socket: str, user: str, database: str) -> None:
        self._socket = socket
        self._hello = b"".join(
            word.encode() + b"\0" for word in ("user", user, "database", database, "application_name", "pooled", "")
        )
        self._free: asyncio.Queue[Streams] = asyncio.Queue()
        self._greeting = b""
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.turns = 0
        """Transactions that were handed to a session."""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Pooler"]:
        sessions = [await self._session() for _ in range(SESSIONS)]
        for one in sessions:
            self._free.put_nowait(one)
        server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for _, writer in sessions:
                writer.transport.abort()

    async def _session(self) -> Streams:
        reader, writer = await asyncio.open_unix_connection(self._socket)
        writer.write(struct.pack(">II", len(self._hello) + 8, 196608) + self._hello)
        self._greeting = b""
        while True:
            kind, message = await _message(reader)
            if kind == b"K":
                message = b"K" + struct.pack(">III", 12, PID, 0)
            self._greeting += message
            if kind == b"Z":
                return reader, writer

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(asyncio.IncompleteReadError, OSError):
            length, code = struct.unpack(">II", await reader.readexactly(8))
            if code == SSL:
                writer.write(b"N")
                length, code = struct.unpack(">II", await reader.readexactly(8))
            if code != CANCEL:
                await reader.readexactly(length - 8)
                writer.write(self._greeting)
                while await self._transaction(reader, writer):
                    self.turns += 1
        writer.close()
        self._tasks.discard(task)

    async def _transaction(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """From a client's first message to the end of its transaction, on the session that has rested longest."""
        kind, message = await _message(reader)
        if kind == b"X":
            return False
        session, server = await self._free.get()
        ready: asyncio.Queue[bytes] = asyncio.Queue()
        back = asyncio.create_task(_pass_on(session, writer, ready))
        whole = False
        try:
            while True:
                server.write(message)
                if kind in ENDS_A_TURN and await ready.get() == b"I":
                    break
                kind, message = await _message(reader)
            whole = True
        finally:
            back.cancel()
            if not whole:  # the client is gone in the middle: its transaction is given up
                server.transport.abort()
            self._free.put_nowait((session, server) if whole else await self._session())
        return True


async def _pass_on(session: asyncio.StreamReader, writer: asyncio.StreamWriter, ready: asyncio.Queue[bytes]) -> None:
    """Everything that the server says; at each ReadyForQuery, whether a transaction goes on."""
    while True:
        kind, message = await _message(session)
        writer.write(message)
        if kind == b"Z":
            ready.put_nowait(message[5:6])


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    (length,) = struct.unpack(">I", head[1:])
    return head[:1], head + await reader.readexactly(length - 4)
