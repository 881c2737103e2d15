"""A whole gateway without a socket: fake transports on both sides, a loop whose time a test holds.

`Stage` builds the real `Gateway` from a configuration. A test plays the clients (`stage.client()`), the
upstream's server (`stage.server`), and time (`stage.pass_time`). When a test is over, whatever happened in
it, every call that was opened has been settled once and every place has been given back.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from abyssal.config import parse_config
from abyssal.gateway.app import Gateway
from abyssal.gateway.front.http import HttpFront
from abyssal.gateway.link import EnginePoint, FromWorker, Publish, Setup
from abyssal.stores.api_keys import digest_of
from abyssal.stores.journal import SegmentReader, segments
from abyssal.stores.records import Failed, Opened, Record, Refused, Settled
from abyssal.stores.rights import ALL_SCOPES
from abyssal.stores.snapshot import CredentialRecord, Entry, ProjectRecord, Snapshot, encode_record
from abyssal.testing import ManualClock

from .messages import KEY, OTHER_KEY, Answer, Received, chat, completion, read_answer, read_requests
from .transports import HeldLoop, Transport

HASH_KEY = bytes(range(32))
PROJECT = ProjectRecord("proj_1", "org_1", ALL_SCOPES, None, (), True)
ENGINE = EnginePoint("/engine.sock", "tiny-1")
CONFIG = """
[[upstreams]]
name = "up"
kind = "{kind}"
base_url = "http://up.test:8001/base"
api_key = "upstream-secret"
[[models]]
name = "m"
targets = [{{ upstream = "up", model = "their-model" }}]
"""


class Client:
    """A client connection, and the answers that came on it."""

    def __init__(self, stage: Stage, address: str, front: HttpFront | None = None) -> None:
        self.stage = stage
        self.connection = (front or stage.gateway.front).connection()
        self.transport = Transport(self.connection, stage.loop, address)
        self.connection.connection_made(self.transport)

    def send(self, data: bytes, *, size: int = 0) -> Client:
        """Send `data`, in pieces of `size` bytes when that is given."""
        for at in range(0, len(data), size or len(data) or 1):
            self.transport.deliver(data[at : at + (size or len(data))])
            self.stage.turn()
        return self

    def ask(self, body: bytes | None = None, **fields: Any) -> Client:
        """A chat call."""
        return self.send(chat(body, **fields))

    def leave(self) -> None:
        self.transport.peer_closes()
        self.stage.turn()

    def reset(self) -> None:
        self.transport.peer_closes(ConnectionResetError(104, "reset"))
        self.stage.turn()

    @property
    def gone(self) -> bool:
        """Whether the gateway closed the connection."""
        return self.transport.closing

    @property
    def bytes(self) -> bytes:
        return bytes(self.transport.taken)

    def answers(self, *methods: str) -> list[Answer]:
        """What came so far; `methods` of the requests where they are not GET or POST."""
        found: list[Answer] = []
        data, closed = self.bytes, self.gone or self.transport.ended
        while data:
            method = methods[len(found)] if len(found) < len(methods) else "GET"
            answer, data = read_answer(data, closed, bodiless=method == "HEAD")
            if answer.status != 100:
                found.append(answer)
        return found

    def answer(self, method: str = "GET") -> Answer:
        """The only answer, complete."""
        (answer,) = self.answers(method)
        assert answer.complete, f"not complete: {self.bytes[-300:]!r}"
        return answer


class ServerConnection:
    """The server's end of a connection to an upstream: what was asked on it, and what it says."""

    def __init__(self, stage: Stage, protocol: Any, address: str) -> None:
        self.stage, self.address = stage, address
        self.transport = Transport(protocol, stage.loop)

    @property
    def requests(self) -> list[Received]:
        return read_requests(bytes(self.transport.taken))

    @property
    def request(self) -> Received:
        (request,) = self.requests
        return request

    @property
    def closed(self) -> bool:
        """Whether the gateway closed it."""
        return self.transport.closing

    def say(self, data: bytes, *, size: int = 0) -> ServerConnection:
        """Send `data`, in pieces of `size` bytes when that is given."""
        for at in range(0, len(data), size or len(data) or 1):
            self.transport.deliver(data[at : at + (size or len(data))])
            self.stage.turn()
        return self

    def answer(
        self, body: bytes | None = None, status: int = 200, headers: bytes = b"", size: int = 0
    ) -> None:
        """A whole answer with its length."""
        body = completion() if body is None else body
        head = b"HTTP/1.1 %d Whatever\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n"
        self.say(head % (status, headers, len(body)) + body, size=size)

    def begin_stream(self, headers: bytes = b"") -> ServerConnection:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n%btransfer-encoding: chunked\r\n\r\n"
        return self.say(head % headers)

    def stream(self, *events: bytes) -> ServerConnection:
        """Events of a stream that `begin_stream` began, in one chunk."""
        data = b"".join(event + b"\n\n" for event in events)
        return self.say(b"%x\r\n%b\r\n" % (len(data), data))

    def end_stream(self) -> None:
        self.say(b"0\r\n\r\n")

    def close(self, error: Exception | None = None) -> None:
        self.transport.peer_closes(error)
        self.stage.turn()


class Server:
    """Everything behind the gateway. `refuses` and `hangs` are how it meets new connections."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.connections: list[ServerConnection] = []
        self.refuses: Exception | None = None
        self.hangs = False

    async def dial(self, factory: Callable[[], Any], address: str) -> tuple[Transport, Any]:
        if self.refuses is not None:
            raise self.refuses
        if self.hangs:
            await self.stage.loop.create_future()
        protocol = factory()
        connection = ServerConnection(self.stage, protocol, address)
        self.connections.append(connection)
        protocol.connection_made(connection.transport)
        return connection.transport, protocol

    @property
    def last(self) -> ServerConnection:
        return self.connections[-1]

    @property
    def requests(self) -> list[Received]:
        return [request for connection in self.connections for request in connection.requests]


class Stage:
    """See the module."""

    def __init__(
        self,
        directory: Path,
        config: str = "",
        *,
        kind: str = "openai",
        engine: EnginePoint = ENGINE,
        siblings: str = "",
    ) -> None:
        self.loop = HeldLoop()
        self.server = Server(self)
        self.loop.dial = self.server.dial
        self.clients: list[Client] = []
        self.unwritten = 0  # ends of calls that a test keeps from being written
        self.directory = directory
        self.clock = ManualClock()
        self.told: list[FromWorker] = []  # what the worker says to the control process
        self._version = 0
        self.gateway = Gateway(
            Setup(
                config=parse_config(config or CONFIG.format(kind=kind), {}),
                engines={"engine": engine},
                control_socket="/control.sock",
                journal=str(directory),
                nonces=str(directory / "nonces"),
                issuer="https://platform.test",
                writer="w0",
                workers=2 if siblings else 1,
                siblings=siblings,
            ),
            self.loop,
            self.told.append,
            self.clock,
        )
        self.publish(KEY, OTHER_KEY)
        self.gateway.journal.prepare()

    def publish(self, *keys: str) -> None:
        """These keys are in force now."""
        entries = [
            Entry(
                digest_of(key.encode(), HASH_KEY),
                encode_record(
                    CredentialRecord(f"key_{at}", "api_key", "proj_1", "", ALL_SCOPES, None, None, 0)
                ),
            )
            for at, key in enumerate(keys, 1)
        ]
        self.take(whole=True, hash_key=HASH_KEY, projects=(PROJECT,), entries=tuple(entries))

    def take(self, **fields: Any) -> None:
        """The control process tells this."""
        self._version += 1
        self.gateway.take(Publish(Snapshot(version=self._version, **fields)))

    @property
    def upstream(self) -> Any:
        (upstream,) = self.gateway.upstreams.values()
        return upstream

    def client(self, address: str = "192.0.2.1") -> Client:
        client = Client(self, address)
        self.clients.append(client)
        return client

    def turn(self) -> None:
        """Let everything that is ready happen."""

        async def few() -> None:
            for _ in range(8):
                await asyncio.sleep(0)

        self.loop.run_until_complete(few())

    def pass_time(self, seconds: float) -> None:
        """Time passes, a second or less at once; the front is swept as a worker does it."""
        until = self.loop.now + seconds
        while self.loop.now < until:
            step = min(until - self.loop.now, 1.0)
            self.loop.now = until if step < 1.0 else self.loop.now + step
            self.clock.advance(step)
            self.turn()
            self.gateway.front.sweep()
            self.gateway.streams.sweep(self.loop.now)
            self.turn()

    @property
    def records(self) -> list[Record]:
        """What the journal holds, in order."""
        found: list[Record] = []
        for _, _, path in segments(self.directory):
            reader = SegmentReader(path)
            found += reader.read()
            reader.close()
        return found

    @property
    def settled(self) -> list[Settled]:
        return [record for record in self.records if isinstance(record, Settled)]

    @property
    def refused(self) -> list[Refused]:
        return [record for record in self.records if isinstance(record, Refused)]

    @property
    def failed(self) -> list[Failed]:
        return [record for record in self.records if isinstance(record, Failed)]

    def check_over(self) -> None:
        """All clients leave; then nothing is owed to anybody."""
        for client in self.clients:
            client.transport.unstick()
            client.leave()
        self.turn()
        self.gateway.streams.drain()
        opened = [record.id for record in self.records if isinstance(record, Opened)]
        settled = [record.id for record in self.settled]
        assert len(set(opened)) == len(opened)
        assert len(set(settled)) == len(settled), "settled twice"
        assert set(settled) <= set(opened)
        assert len(settled) == len(opened) - self.unwritten, "opened and not settled"
        assert self.gateway.caps.in_flight == 0, "a place was not given back"
        assert all(upstream.in_flight == 0 for upstream in self.gateway.upstreams.values())
        assert not self.gateway.front.connections
        assert (len(self.gateway.streams), self.gateway.streams.held) == (0, 0), "a stream is kept"
        busy = [one for one in self.server.connections if not one.closed and one.transport.protocol._receiver]
        assert not busy, "an upstream connection was left at work"

    def close(self) -> None:
        self.gateway.close()
        self.turn()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.turn()
        self.loop.close()


@contextmanager
def stages() -> Iterator[Callable[..., Stage]]:
    """Gives what makes stages; at the end each is checked to owe nothing, and closed."""
    made: list[Stage] = []
    with tempfile.TemporaryDirectory(prefix="abyssal-") as directory:  # not tmp_path: that is kept

        def make(config: str = "", **settings: Any) -> Stage:
            journal = Path(directory) / str(len(made))
            journal.mkdir()
            made.append(Stage(journal, config, **settings))
            return made[-1]

        try:
            yield make
            for stage in made:
                stage.check_over()
        finally:
            for stage in made:
                stage.close()
