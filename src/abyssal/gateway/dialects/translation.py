"""The client's side of a call in another format: takes the official answer, writes it in the client's own.

It stands where the connection would (`exchange.Client`): the stages and the relay know nothing of it. An
answer that is official but for nulls, or numbers written otherwise, is read as it is meant.
"""

from __future__ import annotations

import logging
from typing import Any, TypeVar

import msgspec

from abyssal.gateway.dialects.dialect import Dialect, Writer
from abyssal.gateway.exchange import Client, RequestHead
from abyssal.wire.chat import ChatCompletion, ChatCompletionChunk
from abyssal.wire.errors import ErrorBody, ErrorObject
from abyssal.wire.sse import EventDecoder

_log = logging.getLogger("abyssal.gateway")

T = TypeVar("T")

_completion = msgspec.json.Decoder(ChatCompletion)
_chunk = msgspec.json.Decoder(ChatCompletionChunk)
_error = msgspec.json.Decoder(ErrorBody)
_DONE = b"[DONE]"
_JSON = b"content-type: application/json\r\n"
_UNREADABLE = ErrorObject("The upstream answered something that cannot be read; try again.", "upstream_error",
                          None, "upstream_garbage")  # fmt: skip


class Translated:
    """See the module. `call_id` is the call's name; `writer` is there once the request has been read."""

    def __init__(self, client: Client, dialect: Dialect, call_id: str) -> None:
        self._client = client
        self._dialect = dialect
        field = dialect.id_field
        self.naming = b"%b: %b\r\n" % (field, call_id.encode()) if field else b""
        """The header line that names the call to this format's clients."""
        self.writer: Writer | None = None
        self._streams = False
        self._held: list[bytes] = []  # a whole answer that comes in pieces
        self._status = 200
        self._lines = b""
        self._ended = False

    @property
    def scheme(self) -> bytes:
        return self._client.scheme

    def address_of(self, head: RequestHead) -> str:
        return self._client.address_of(head)

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """A whole answer or refusal, written anew."""
        lines = _without_type(headers)
        if status == 200 and self.writer is not None:
            try:
                written = self.writer.answer(_read(_completion, body))
            except Exception as fault:  # noqa: BLE001  whatever it is, the client gets an answer
                _complain(fault)
                status, written = 502, self._dialect.refusal(502, _UNREADABLE)
        else:
            written = self._dialect.refusal(status, _error_of(body))
        self._client.answer(status, lines + self.naming, written)

    def begin(self, status: int, headers: bytes, length: int | None) -> None:
        """A stream's head; a large whole answer is held until it is complete."""
        if b"text/event-stream" in headers:
            self._streams = True
            self._client.begin(status, headers + self.naming, None)
        else:
            self._status, self._lines = status, headers

    def send(self, data: bytes) -> None:
        """Official events, as whole ones; or a piece of a whole answer."""
        if not self._streams:
            self._held.append(data)
            return
        if data.startswith(b":") and b"\ndata:" not in data:  # a comment that keeps the line open
            self._client.send(data)
            return
        if data.startswith(b"data: ") and data.find(b"\n") == len(data) - 2:  # one event of one line
            written = self._written(data[6:-2])
        else:
            written = b"".join([self._written(event) for event in _data_of(data)])
        if written:
            self._client.send(written)

    def finish(self) -> None:
        """The end of what `begin` announced."""
        if not self._streams:
            self.answer(self._status, self._lines, b"".join(self._held))
            return
        if not self._ended and self.writer is not None:
            self._client.send(self.writer.end())
        self._client.finish()

    def abort(self) -> None:
        self._client.abort()

    def _written(self, data: bytes) -> bytes:
        writer = self.writer
        if writer is None or self._ended:
            return b""
        if data == _DONE:
            self._ended = True
            return writer.end()
        if data.startswith(b'{"error"'):
            self._ended = True
            return writer.broken(_error_of(data))
        try:
            return writer.chunk(_read(_chunk, data))
        except Exception as fault:  # noqa: BLE001  whatever it is, the stream ends in an orderly way
            _complain(fault)
            self._ended = True
            return writer.broken(_UNREADABLE)


def _data_of(events: bytes) -> list[bytes]:
    """The data of whole events. Those of one line each, nearly all, need no decoder."""
    if events.find(b"\r") < 0:
        found: list[bytes] = []
        at = 0
        while events.startswith(b"data: ", at):
            end = events.find(b"\n", at)
            if not events.startswith(b"\n", end + 1):
                break
            found.append(events[at + 6 : end])
            at = end + 2
        if at == len(events):
            return found
    return [event.data for event in EventDecoder().feed(events)]


def _read(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """What `decoder` reads in `data`. Raises msgspec.DecodeError."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        fields = _without_nulls(msgspec.json.decode(data))
        if isinstance(fields.get("created"), float):
            fields["created"] = int(fields["created"])
        return msgspec.convert(fields, decoder.type, strict=False)


def _without_nulls(value: Any) -> Any:
    """`value` without the keys that say nothing."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _complain(fault: Exception) -> None:
    if not isinstance(fault, msgspec.DecodeError):
        _log.error("an answer could not be written in the client's format", exc_info=fault)


def _error_of(body: bytes) -> ErrorObject:
    try:
        return _error.decode(body).error
    except msgspec.DecodeError:
        return ErrorObject(body[:500].decode("utf-8", "replace"))


def _without_type(headers: bytes) -> bytes:
    """Header lines whose content type is ours."""
    kept = [line for line in headers.split(b"\r\n") if line and not line.lower().startswith(b"content-type:")]
    return _JSON + b"".join(line + b"\r\n" for line in kept)
