"""The link between a worker and the control process: what is said, and how it is framed.

Frames are `length:u32` (little-endian) and one msgpack message, over a socket pair that the worker
inherits. When the link ends, so does the worker: the control process is gone.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from abyssal.config import Config, Secret
from abyssal.stores.snapshot import Snapshot

_LENGTH = struct.Struct("<I")
_PIECE = 128 * 1024  # bytes of a question or an answer in one message: what else is to be said gets between


class EmbeddingPoint(msgspec.Struct, frozen=True):
    """Where an engine embeds: numbers in a vector, tokens in an input."""

    socket_path: str
    dimensions: int
    tokens: int


class EnginePoint(msgspec.Struct, frozen=True):
    """Where an engine listens and what its answers are to carry as `system_fingerprint`.

    `infill` are the ids of its model's tokens for prefix, suffix and middle, None when it cannot fill in.
    `embedding` is where it embeds, None when it does not.
    """

    socket_path: str
    fingerprint: str
    infill: tuple[int, int, int] | None = None
    embedding: EmbeddingPoint | None = None


class Setup(msgspec.Struct, frozen=True, tag=True):
    """The first message to a worker: all it needs to be built."""

    config: Config
    engines: dict[str, EnginePoint]
    control_socket: str
    journal: str
    writer: str
    workers: int
    nonces: str = ""  # directory
    issuer: str = ""  # of access tokens: the platform's address
    place: int = 0  # of this worker among `workers`
    siblings: str = ""  # directory of the workers' private sockets, "" where there is one worker


class Publish(msgspec.Struct, frozen=True, tag=True):
    """A piece of a snapshot (`stores.snapshot`)."""

    snapshot: Snapshot


class Claimed(msgspec.Struct, frozen=True, tag=True):
    """What the node's store says of a nonce: the value of a `Verdict`. `number` is the question's."""

    number: int
    verdict: str


class EngineState(msgspec.Struct, frozen=True, tag=True):
    """An engine became ready, or is not any more."""

    name: str
    ready: bool


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Take no more calls, let those at work end within `grace` seconds, and exit."""

    grace: float


class Applied(msgspec.Struct, frozen=True, tag=True):
    """This version of the snapshot is in force in the worker."""

    version: int


class Claim(msgspec.Struct, frozen=True, tag=True):
    """Is this nonce fresh? Asked of the node's store when several workers share it."""

    number: int
    nonce: bytes
    until: int


class Ask(msgspec.Struct, frozen=True, tag=True):
    """A question to a service of the control process (`platform.inquiries`); `body` is the topic's own."""

    number: int
    topic: str
    body: bytes
    more: bool = False  # what is missing of the body follows


class Told(msgspec.Struct, frozen=True, tag=True):
    """The answer to an `Ask`. `status` is 200, or an error's and `body` its error object."""

    number: int
    status: int
    body: bytes
    more: bool = False  # as in a question


Said = TypeVar("Said", Ask, Told)


def in_pieces(message: Said) -> list[Said]:
    """A question or an answer as the messages that it travels in."""
    body = message.body
    cut = [body[at : at + _PIECE] for at in range(0, len(body), _PIECE)] or [b""]
    last = len(cut) - 1
    return [replace(message, body=piece, more=at < last) for at, piece in enumerate(cut)]


class Assembly:
    """Puts together what came in pieces, of many questions at once."""

    def __init__(self) -> None:
        self._parts: dict[int, list[bytes]] = {}

    def put(self, message: Said) -> Said | None:
        """The whole, with its last piece; None before."""
        if message.more:
            self._parts.setdefault(message.number, []).append(message.body)
            return None
        parts = self._parts.pop(message.number, None)
        return message if parts is None else replace(message, body=b"".join([*parts, message.body]))


class Serving(msgspec.Struct, frozen=True, tag=True):
    """The worker answers on its sockets."""


class Gauges(msgspec.Struct, frozen=True, tag=True):
    """What a worker holds at the moment."""

    connections: int
    calls: int
    upstream_open: int
    upstream_idle: int
    resumable_streams: int = 0
    resumable_bytes: int = 0


class Thought(msgspec.Struct, frozen=True, tag=True):
    """What an assistant thought before the turn `digest`, UTF-8; for the other workers to know too."""

    tenant: str
    digest: bytes
    text: bytes


ToWorker = Setup | Publish | EngineState | Drain | Claimed | Told | Thought
FromWorker = Serving | Gauges | Applied | Claim | Ask | Thought


def _encode_secret(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(type(value).__name__)


def _decode_secret(kind: type[Any], value: Any) -> Any:
    return kind(value)


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_secret)


def frame(message: ToWorker | FromWorker) -> bytes:
    """A message as it goes over the link."""
    payload = _encoder.encode(message)
    return _LENGTH.pack(len(payload)) + payload


class LinkProtocol(asyncio.Protocol):
    """One end of the link: `received` gets each message, `lost` the end."""

    def __init__(self, expected: Any, received: Callable[[Any], None], lost: Callable[[], None]) -> None:
        self._decode = msgspec.msgpack.Decoder(expected, dec_hook=_decode_secret).decode
        self._received = received
        self._lost = lost
        self._buffer = bytearray()
        self._transport: Any = None
        self._drained: asyncio.Event = asyncio.Event()
        self._drained.set()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 4:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if len(self._buffer) < 4 + length:
                return
            payload = bytes(self._buffer[4 : 4 + length])
            del self._buffer[: 4 + length]
            self._received(self._decode(payload))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._drained.set()
        self._lost()

    def send(self, message: ToWorker | FromWorker) -> None:
        """Send `message`, if the other end is still there."""
        if self._transport is not None:
            self._transport.write(frame(message))

    def offer(self, message: ToWorker | FromWorker) -> None:
        """Send what can be done without: not while much waits to be sent."""
        if self._drained.is_set():
            self.send(message)

    async def drain(self) -> None:
        """Until the other end has read most of what was sent, or is gone."""
        await self._drained.wait()

    def close(self) -> None:
        """End the link."""
        if self._transport is not None:
            self._transport.close()
