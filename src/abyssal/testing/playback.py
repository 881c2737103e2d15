"""How a scripted answer becomes bytes, waits and an end. Pure: no socket, no clock, no loop.

An answer is played in stages, each a generator over the one before:

    pieces    the body's parts: whole JSON, or one event each, with the waits between them
    spoiled   keep-alives, an error event, invalid UTF-8; cut after so many events
    framed    as RFC 9112 §6 and §7 frame them, or broken on purpose
    cut       after so many bytes on the wire
    dripped   a few bytes at a time
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator
from functools import cache
from http import HTTPStatus

import msgspec

from abyssal.testing.answers import (
    Answer,
    ChunkFault,
    EventsBody,
    FixedBody,
    KeepAlives,
    MessageBody,
    RawBody,
    VectorsBody,
)
from abyssal.testing.completions import chat_chunks, chat_completion, text_chunks, text_completion
from abyssal.testing.embeddings import embedding_list
from abyssal.testing.received import ReceivedRequest


class End(enum.Enum):
    """What happens to the connection after the last byte."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    SILENCE = "silence"


Step = bytes | float | End
"""Bytes to send, seconds to wait, or the end: the last step, and the only one of its kind."""

_TEXT = re.compile(rb'"(?:content|reasoning_content|text|arguments)":"(?=[^"])')
_SSE = "text/event-stream; charset=utf-8"
_COMMENT, _BLANK = b": keep-alive\n\n", b"\n"
_SPOILED_CHUNK: dict[ChunkFault, bytes] = {
    "bad-size": b"xyz\r\nwhat follows has no size\r\n",
    "huge-size": b"ffffffffffffffffff\r\n",
    "missing-crlf": b"5\r\nhello5\r\nworld\r\n",
    "too-short": b"ff\r\nless than it said\r\n",
}


def steps(answer: Answer, request: ReceivedRequest) -> Iterator[Step]:
    """`answer` to `request` as it goes over the wire; the last step is an `End`."""
    cut = answer.cut
    if answer.delay:
        yield answer.delay
    for status in answer.interim:
        yield b"HTTP/1.1 %d %s\r\n\r\n" % (status, _phrase(status))
    if cut is not None and cut.place == "before-head":
        yield End(cut.kind)
        return
    body = answer.body
    if isinstance(body, RawBody):
        head, framed = b"", iter((body.wire, End.CLOSE if body.close else End.KEEP))
    else:
        head, framed = _framed(answer, body, request)
    yield head
    if cut is not None and cut.place == "after-head":
        yield End(cut.kind)
        return
    if answer.body_delay:
        yield answer.body_delay
    if cut is not None and cut.place == "bytes":
        framed = _cut_at_byte(framed, cut.count, End(cut.kind))
    yield from _dripped(framed, *answer.drip) if answer.drip else framed


def _framed(
    answer: Answer, body: FixedBody | MessageBody | VectorsBody | EventsBody, request: ReceivedRequest
) -> tuple[bytes, Iterator[Step]]:
    content_type, pieces = _pieces(body, request)
    streamed = content_type.startswith("text/event-stream")
    pieces = _spoiled(answer, pieces, streamed)
    framing = answer.framing
    if framing == "auto":
        framing = "chunked" if streamed else "content-length"
    if framing == "chunked" and request.version == "1.0":
        framing = "close"  # RFC 9112 §6.1: no transfer coding for a client that may not know it
    headers = [("content-type", content_type)]
    end = End.KEEP
    if framing == "content-length":
        parts = list(pieces)
        length = sum(len(part) for part in parts if isinstance(part, bytes))
        if answer.declared_length is not None and answer.declared_length != length:
            length, end = answer.declared_length, End.CLOSE
        headers.append(("content-length", str(length)))
        pieces = iter(parts)
    elif framing == "close":
        headers.append(("connection", "close"))
        end = End.CLOSE
    else:
        headers.append(("transfer-encoding", "chunked"))
    if request.method == "HEAD" or answer.status in (204, 304):
        pieces = iter(())
        framing = "content-length"
    if answer.cut is not None and answer.cut.place == "events":
        pieces = _cut_at_event(pieces, answer.cut.count, End(answer.cut.kind))
    framed = _chunked(pieces, answer.chunk_fault) if framing == "chunked" else _plain(pieces, end)
    return _head(answer, headers), framed


def _head(answer: Answer, automatic: list[tuple[str, str]]) -> bytes:
    """The head; a header that the script gives stands in place of the automatic one of that name."""
    given = {name.lower() for name, _ in answer.headers}
    headers = [pair for pair in automatic if pair[0] not in given]
    lines = [f"{name}: {value}\r\n" for name, value in (*headers, *answer.headers)]
    status_line = b"HTTP/1.1 %d %s\r\n" % (answer.status, _phrase(answer.status))
    return status_line + "".join(lines).encode("latin-1") + b"\r\n"


@cache
def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Scripted"


def _pieces(
    body: FixedBody | MessageBody | VectorsBody | EventsBody, request: ReceivedRequest
) -> tuple[str, Iterator[bytes | float]]:
    if isinstance(body, FixedBody):
        return body.content_type, iter((body.content,))
    if isinstance(body, EventsBody):
        return _SSE, _spaced(body.events, body.every)
    if isinstance(body, VectorsBody):
        whole = embedding_list(request, base64=body.base64, dimensions=body.dimensions)
        return "application/json", iter((msgspec.json.encode(whole),))
    chat = "/chat/" in request.path or not request.path.endswith("/completions")
    if body.only_if_asked and not request.wants_stream:
        completion = chat_completion if chat else text_completion
        return "application/json", iter((msgspec.json.encode(completion(request, body.message)),))
    chunks = (chat_chunks if chat else text_chunks)(request, body.message, body.deltas)
    encoded = (b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks)
    return "text/event-stream; charset=utf-8", _spaced(
        encoded, body.every, b"data: [DONE]\n\n" if body.done else b""
    )


def _spaced(events: Iterable[bytes], every: float, last: bytes = b"") -> Iterator[bytes | float]:
    """A wait before each event but the first, and none before `last`."""
    for place, event in enumerate(events):
        if place and every:
            yield every
        yield event
    if last:
        yield last


def _spoiled(answer: Answer, pieces: Iterator[bytes | float], streamed: bool) -> Iterator[bytes | float]:
    if answer.invalid_utf8:
        pieces = _with_invalid_utf8(pieces, isinstance(answer.body, MessageBody))
    if answer.error_event is not None:
        pieces = _with_error_event(pieces, *answer.error_event)
    if answer.keep_alives is not None:
        pieces = _with_keep_alives(pieces, answer.keep_alives, _COMMENT if streamed else _BLANK)
    return pieces


def _with_invalid_utf8(pieces: Iterator[bytes | float], completion: bool) -> Iterator[bytes | float]:
    """0xFF before the first text of a completion; in the middle of the first piece of anything else."""
    done = False
    for piece in pieces:
        if not done and isinstance(piece, bytes):
            found = _TEXT.search(piece)
            at = found.end() if found else None if completion else len(piece) // 2
            if at is not None:
                done = True
                piece = piece[:at] + b"\xff" + piece[at:]
        yield piece


def _with_error_event(
    pieces: Iterator[bytes | float], event: bytes, after: int, goes_on: bool
) -> Iterator[bytes | float]:
    seen = 0
    for piece in pieces:
        if isinstance(piece, bytes):
            if seen == after:
                yield event
                if not goes_on:
                    return
            seen += 1
        yield piece
    if seen <= after:
        yield event


def _with_keep_alives(
    pieces: Iterator[bytes | float], keep: KeepAlives, sign: bytes
) -> Iterator[bytes | float]:
    for _ in range(keep.times):
        if keep.every:
            yield keep.every
        yield sign
    for place, piece in enumerate(pieces):
        if keep.between and place and isinstance(piece, bytes):
            yield sign
        yield piece


def _cut_at_event(pieces: Iterator[bytes | float], count: int, end: End) -> Iterator[Step]:
    """Ends after `count` events, or after the last: a cut always happens."""
    seen = 0
    for piece in pieces:
        if seen == count:
            break
        yield piece
        seen += isinstance(piece, bytes) and piece not in (_COMMENT, _BLANK)
    yield end


def _plain(pieces: Iterator[Step], end: End) -> Iterator[Step]:
    for piece in pieces:
        yield piece
        if isinstance(piece, End):
            return
    yield end


def _chunked(pieces: Iterator[Step], fault: tuple[ChunkFault, int] | None) -> Iterator[Step]:
    """Chunked framing (RFC 9112 §7.1); a `fault` comes after so many good chunks, or after the last."""
    good = 0
    for piece in pieces:
        if isinstance(piece, End):
            yield piece
            return
        if isinstance(piece, bytes):
            if fault is not None and good == fault[1]:
                break
            good += 1
            piece = b"%x\r\n%b\r\n" % (len(piece), piece)
        yield piece
    if fault is not None:
        yield _SPOILED_CHUNK[fault[0]]
        yield End.CLOSE
        return
    yield b"0\r\n\r\n"
    yield End.KEEP


def _cut_at_byte(framed: Iterator[Step], count: int, end: End) -> Iterator[Step]:
    left = count
    for step in framed:
        if isinstance(step, End) or left == 0:
            break
        if isinstance(step, bytes):
            step = step[:left]
            left -= len(step)
        yield step
    yield end


def _dripped(framed: Iterator[Step], size: int, every: float) -> Iterator[Step]:
    for step in framed:
        if not isinstance(step, bytes):
            yield step
            continue
        for start in range(0, len(step), size):
            yield step[start : start + size]
            yield every
