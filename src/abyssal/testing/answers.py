"""What a scripted upstream answers: a frozen value, made by a constructor and bent by faults.

    Answer.chat("hello")                                     # whole, or word by word if a stream is asked for
    Answer.chat("hello").delayed(0.2).dripped(3, 0.01)
    Answer.chat_stream(["a", "b"], every=0.005).reset(after_events=1)
    Answer.error(429, "slow down", retry_after=1)

Each method gives a new value; the order in which faults are named does not matter, the last of a kind wins.
How an answer becomes bytes in time is `abyssal.testing.playback`'s knowledge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from abyssal.testing.completions import Deltas, Message, UsageStyle, words

Headers = Mapping[str, str] | Sequence[tuple[str, str]]
Framing = Literal["auto", "chunked", "close", "content-length"]
"""How the end of a body is told (RFC 9112 §6.3). "auto": chunked for a stream, else content-length."""
ChunkFault = Literal["bad-size", "huge-size", "missing-crlf", "too-short"]
CutKind = Literal["reset", "close", "silence"]
CutPlace = Literal["before-head", "after-head", "bytes", "events"]


class FixedBody(msgspec.Struct, frozen=True):
    """Bytes that do not depend on the request."""

    content: bytes
    content_type: str


class MessageBody(msgspec.Struct, frozen=True):
    """A completion; `only_if_asked`: streamed if the request asks for it, whole if it does not."""

    message: Message
    deltas: Deltas
    every: float = 0.0
    done: bool = True
    only_if_asked: bool = False


class VectorsBody(msgspec.Struct, frozen=True):
    """The embeddings of what the request gives; `base64` and `dimensions`: whether these fields are known."""

    base64: bool = True
    dimensions: bool = True


class EventsBody(msgspec.Struct, frozen=True):
    """Server-sent events, given as the bytes of each."""

    events: tuple[bytes, ...]
    every: float = 0.0


class RawBody(msgspec.Struct, frozen=True):
    """Everything that goes over the wire, head included, and whether the connection is closed after it."""

    wire: bytes
    close: bool = True


class Cut(msgspec.Struct, frozen=True):
    """Where an answer is cut off, and how. `count` is of body bytes on the wire, or of events."""

    kind: CutKind
    place: CutPlace
    count: int = 0


class KeepAlives(msgspec.Struct, frozen=True):
    """Signs of life before the first event, or the body: `times`, `every` seconds; also between events."""

    times: int
    every: float
    between: bool


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One scripted answer. All times are in seconds."""

    body: FixedBody | MessageBody | VectorsBody | EventsBody | RawBody
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    framing: Framing = "auto"
    interim: tuple[int, ...] = ()
    delay: float = 0.0
    body_delay: float = 0.0
    drip: tuple[int, float] | None = None
    cut: Cut | None = None
    chunk_fault: tuple[ChunkFault, int] | None = None
    declared_length: int | None = None
    keep_alives: KeepAlives | None = None
    error_event: tuple[bytes, int, bool] | None = None
    invalid_utf8: bool = False

    # What is answered.

    @classmethod
    def json(cls, value: object, status: int = 200, headers: Headers = ()) -> Answer:
        """`value` as JSON."""
        body = FixedBody(msgspec.json.encode(value), "application/json")
        return cls(body=body, status=status, headers=_pairs(headers))

    @classmethod
    def text(
        cls,
        text: str,
        status: int = 200,
        content_type: str = "text/plain; charset=utf-8",
        headers: Headers = (),
    ) -> Answer:
        """Any text, as UTF-8."""
        return cls(body=FixedBody(text.encode(), content_type), status=status, headers=_pairs(headers))

    @classmethod
    def error(
        cls,
        status: int,
        message: str = "scripted failure",
        *,
        type: str = "api_error",
        code: str | int | None = None,
        param: str | None = None,
        retry_after: int | str | None = None,
    ) -> Answer:
        """An error object in the official shape; `retry_after` seconds, or an HTTP date, as a header."""
        error = {"message": message, "type": type, "param": param, "code": code}
        headers = {} if retry_after is None else {"retry-after": str(retry_after)}
        return cls.json({"error": error}, status, headers)

    @classmethod
    def chat(
        cls,
        content: str | None,
        *,
        reasoning: str | None = None,
        tool_calls: Sequence[Mapping[str, Any]] = (),
        usage: Mapping[str, Any] | bool = True,
        usage_style: UsageStyle = "official",
        finish_reason: str | None = None,
        every: float = 0.0,
        extra: Mapping[str, Any] | None = None,
    ) -> Answer:
        """A completion for the request's model; streamed word by word, `every` seconds, if asked.

        `usage` True estimates it, a mapping is sent as given, False leaves it out. `extra` is merged into
        the top level of the answer, or of each chunk.
        """
        message = Message(content, reasoning, tuple(tool_calls), usage, finish_reason, dict(extra or {}))
        deltas = Deltas(words(content), words(reasoning), usage_style=usage_style)
        return cls(body=MessageBody(message, deltas, every, only_if_asked=True))

    @classmethod
    def chat_stream(
        cls,
        content: Sequence[str],
        *,
        reasoning: Sequence[str] = (),
        tool_calls: Sequence[Mapping[str, Any]] = (),
        every: float = 0.0,
        repeat: int = 1,
        usage: Mapping[str, Any] | bool = True,
        usage_style: UsageStyle = "official",
        finish_reason: str | None = None,
        done: bool = True,
        framing: Framing = "chunked",
        extra: Mapping[str, Any] | None = None,
    ) -> Answer:
        """A stream of one event for each piece, whatever the request asked for.

        `repeat` sends the content pieces that many times over: a long stream that is never held in memory.
        `done` False leaves out the closing ``[DONE]``.
        """
        thought = "".join(reasoning) if reasoning else None
        message = Message(
            "".join(content), thought, tuple(tool_calls), usage, finish_reason, dict(extra or {})
        )
        deltas = Deltas(tuple(content), tuple(reasoning), repeat, usage_style)
        return cls(body=MessageBody(message, deltas, every, done), framing=framing)

    @classmethod
    def embeddings(cls, *, base64: bool = True, dimensions: bool = True) -> Answer:
        """The vectors of the request's inputs (`abyssal.testing.embeddings`), as it asks for them.

        Without `base64` it gets numbers whatever it asks, without `dimensions` vectors of their full length.
        """
        return cls(body=VectorsBody(base64, dimensions))

    @classmethod
    def events(
        cls, events: Iterable[str | bytes], *, every: float = 0.0, framing: Framing = "chunked"
    ) -> Answer:
        """Server-sent events as given, each with its closing blank line."""
        encoded = tuple(event.encode() if isinstance(event, str) else event for event in events)
        return cls(body=EventsBody(encoded, every), framing=framing)

    @classmethod
    def raw(cls, wire: bytes, *, close: bool = True) -> Answer:
        """Exactly these bytes, which need not be HTTP at all, then the end of the connection if `close`."""
        return cls(body=RawBody(wire, close))

    @classmethod
    def garbage(cls) -> Answer:
        """Bytes that are no HTTP, as from a service of another kind on the port."""
        return cls.raw(b"\x16\x03\x01 220 this is not the service you are looking for\r\n\x00\xff\r\n")

    @classmethod
    def silence(cls) -> Answer:
        """The request is read and nothing is ever answered."""
        return cls.raw(b"", close=False).stalled(before_head=True)

    # How it arrives.

    def with_status(self, status: int) -> Answer:
        """The same under another status code, any number of three digits."""
        return replace(self, status=status)

    def with_headers(self, headers: Headers) -> Answer:
        """More headers; one that is set here is not set by the framing."""
        return replace(self, headers=self.headers + _pairs(headers))

    def with_huge_headers(self, size: int = 1 << 20) -> Answer:
        """At least `size` bytes of headers, 8 KiB each."""
        count = -(-size // 8192)
        return self.with_headers([(f"x-filler-{number}", "x" * 8192) for number in range(count)])

    def preceded_by(self, *statuses: int) -> Answer:
        """Interim responses first, such as 100 or 103 (RFC 9110 §15.2)."""
        return replace(self, interim=statuses)

    def delayed(self, head: float = 0.0, *, body: float = 0.0) -> Answer:
        """Wait `head` seconds before the head, `body` seconds between head and body."""
        return replace(self, delay=head, body_delay=body)

    def dripped(self, size: int, every: float) -> Answer:
        """The body, framing included, `size` bytes each `every` seconds, even inside a character."""
        if size < 1:
            raise ValueError(f"a drip of {size} bytes never ends; give 1 or more")
        return replace(self, drip=(size, every))

    def reset(
        self, *, before_head: bool = False, after_bytes: int | None = None, after_events: int | None = None
    ) -> Answer:
        """A TCP reset: before the head, after so many body bytes or events, else right after the head."""
        return replace(self, cut=_cut("reset", before_head, after_bytes, after_events))

    def closed_early(
        self, *, before_head: bool = False, after_bytes: int | None = None, after_events: int | None = None
    ) -> Answer:
        """An orderly close in the same places as `reset`, before the answer is whole."""
        return replace(self, cut=_cut("close", before_head, after_bytes, after_events))

    def stalled(
        self, *, before_head: bool = False, after_bytes: int | None = None, after_events: int | None = None
    ) -> Answer:
        """Silence from the same places as `reset` on, with the connection left open."""
        return replace(self, cut=_cut("silence", before_head, after_bytes, after_events))

    def with_bad_chunk(self, fault: ChunkFault = "bad-size", *, after_chunks: int = 1) -> Answer:
        """Chunked framing whose chunk after `after_chunks` good ones is broken; then the connection ends."""
        return replace(self, framing="chunked", chunk_fault=(fault, after_chunks))

    def with_content_length(self, length: int) -> Answer:
        """A content-length that may be wrong; then the connection ends."""
        return replace(self, framing="content-length", declared_length=length)

    def with_keep_alives(self, times: int, every: float = 0.0, *, between: bool = False) -> Answer:
        """What the official service sends under load: comments in a stream, else blank lines before the JSON.

        `times` of them before the first event or the body, `every` seconds apart; with `between` also one
        before each later event.
        """
        return replace(self, keep_alives=KeepAlives(times, every, between))

    def with_error_event(
        self, error: Mapping[str, Any] | None = None, *, after_events: int = 1, goes_on: bool = False
    ) -> Answer:
        """An event ``{"error": ...}`` in the stream after `after_events` good ones, which ends it or not."""
        shown = error or {"message": "scripted failure", "type": "server_error", "param": None, "code": None}
        event = b"data: " + msgspec.json.encode({"error": shown}) + b"\n\n"
        return replace(self, error_event=(event, after_events, goes_on))

    def with_invalid_utf8(self) -> Answer:
        """A byte that no UTF-8 has (0xFF) inside the text."""
        return replace(self, invalid_utf8=True)


def _pairs(headers: Headers) -> tuple[tuple[str, str], ...]:
    if isinstance(headers, Mapping):
        return tuple((str(name), str(value)) for name, value in headers.items())
    return tuple(headers)


def _cut(kind: CutKind, before_head: bool, after_bytes: int | None, after_events: int | None) -> Cut:
    if before_head + (after_bytes is not None) + (after_events is not None) > 1:
        raise ValueError("an answer is cut in one place: name one of before_head, after_bytes, after_events")
    if after_bytes is not None:
        return Cut(kind, "bytes", after_bytes)
    if after_events is not None:
        return Cut(kind, "events", after_events)
    return Cut(kind, "before-head" if before_head else "after-head")
