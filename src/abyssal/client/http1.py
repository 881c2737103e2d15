"""HTTP/1.1 as a client reads it: an answer's bytes in, status, headers and content out. No I/O.

Rules (RFC 9112):
 1. Answers 100 to 199 announce another one and are passed over (101, which changes the protocol, is refused).
 2. How long the content is, in this order (section 6.3): none with 204 and 304; `Transfer-Encoding: chunked`;
    `Content-Length`; else until the connection closes.
 3. Both of the last two headers at once, two lengths that differ, any other coding: refused, as an answer
    that two readers can read differently is how one is smuggled.
 4. The connection can be used again if the content's end was announced and seen, nothing came after it, and
    nobody said `Connection: close` (or spoke HTTP/1.0 without `keep-alive`).
"""

from __future__ import annotations

from abyssal.client.request import Request
from abyssal.wire.errors import ApiConnectionError, ProtocolError

MAX_HEAD_BYTES = 65536
_MAX_LINE_BYTES = 4096  # of a chunk's size with its extensions

_HEAD, _LENGTH, _CHUNKS, _TO_CLOSE = range(4)


def request_bytes(request: Request) -> bytes:
    """`request` as it goes over the wire."""
    head, body = request.endpoint.head, request.body
    if body is None:
        return head + b"\r\n"
    return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)


class AnswerReader:
    """Reads one answer. `status` is 0 until its headers are there; `complete` says that its end was seen."""

    __slots__ = ("_held", "_left", "_state", "complete", "headers", "keep_alive", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.complete = False
        self.keep_alive = False
        self._state = _HEAD
        self._held = b""  # bytes that cannot be read yet: part of the head, or of a chunk's size line
        self._left = 0  # of the content, or of the chunk and the line break after it

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another request, by rule 4."""
        return self.complete and self.keep_alive

    def feed(self, data: bytes) -> bytes:
        """The content in `data`, b"" if it has none. Raises ProtocolError when this is not HTTP/1."""
        if self._state == _HEAD:
            data = self._read_head(self._held + data if self._held else data)
            if self._state == _HEAD:
                return b""
        if self._state == _CHUNKS:
            return self._read_chunks(data)
        if self._state == _TO_CLOSE:
            return data
        left = self._left - len(data)
        if left > 0:
            self._left = left
            return data
        if left < 0:
            self.keep_alive = False
            data = data[: self._left]
        self._left = 0
        self.complete = True
        return data

    def feed_end(self) -> None:
        """The connection closed. Raises ApiConnectionError if the answer was not whole."""
        self.keep_alive = False
        if self._state == _TO_CLOSE:
            self.complete = True
        elif not self.complete:
            when = "before it answered" if not self.status else "in the middle of its answer"
            raise ApiConnectionError(f"The server closed the connection {when}.")

    def _read_head(self, data: bytes) -> bytes:
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if not data.startswith(b"HTTP/1."[: len(data)]):
                    hint = "; it speaks TLS: use https://" if data[:2] == b"\x15\x03" else ""
                    raise ProtocolError(f"The server speaks no HTTP/1: it began with {data[:20]!r}{hint}.")
                if len(data) > MAX_HEAD_BYTES:
                    raise ProtocolError(f"The answer's headers are longer than {MAX_HEAD_BYTES} bytes.")
                self._held = data
                return b""
            self._held = b""
            self._parse_head(data[:end].decode("latin-1"))
            data = data[end + 4 :]
            if self.status >= 200:
                self._choose_framing()
                return data
            if self.status == 101:
                raise ProtocolError("The server wants another protocol (101), which nobody asked for.")
            self.status = 0

    def _parse_head(self, head: str) -> None:
        lines = head.split("\r\n")
        start = lines[0]
        if start[:7] != "HTTP/1." or not start[9:12].isdecimal() or start[8] != " ":
            raise ProtocolError(f"The server speaks no HTTP/1: its answer begins with {start[:40]!r}.")
        self.status = int(start[9:12])
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            name = name.lower()
            if not colon or not name or name[0] in " \t" or name[-1] in " \t":
                raise ProtocolError(f"The answer has a header line that is none: {line[:40]!r}.")
            value = value.strip(" \t")
            if name in headers:
                if name == "content-length" and headers[name] == value:
                    continue
                value = f"{headers[name]}, {value}"
            headers[name] = value
        self.headers = headers
        connection = headers.get("connection")
        if connection is None:
            self.keep_alive = start[7] != "0"
        else:
            options = {option.strip() for option in connection.lower().split(",")}
            self.keep_alive = "close" not in options and (start[7] != "0" or "keep-alive" in options)

    def _choose_framing(self) -> None:
        coding = self.headers.get("transfer-encoding")
        length = self.headers.get("content-length")
        if self.status in (204, 304):
            self._state = _LENGTH
            self.complete = True
        elif coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise ProtocolError(
                    f"The answer's length is unclear: transfer-encoding {coding!r}, "
                    f"content-length {length!r}."
                )
            self._state = _CHUNKS
        elif length is not None:
            if not (length.isascii() and length.isdigit()):
                raise ProtocolError(f"The answer's Content-Length is no number: {length[:40]!r}.")
            self._state = _LENGTH
            self._left = int(length)
            self.complete = self._left == 0
        else:
            self._state = _TO_CLOSE

    def _read_chunks(self, data: bytes) -> bytes:
        if self.complete:
            self.keep_alive = self.keep_alive and not data
            return b""
        if self._held:
            data = self._held + data
            self._held = b""
        parts: list[bytes] = []
        position, size = 0, len(data)
        if self._left:  # a chunk began earlier; two of the bytes left are its line break
            if self._left > 2:
                parts.append(data[: self._left - 2])
            position = min(self._left, size)
            self._left -= position
        while position < size:
            line_end = data.find(b"\r\n", position)
            if line_end < 0:
                self._hold(data[position:])
                break
            begin = line_end + 2
            length = _chunk_length(data[position:line_end])
            if length == 0:
                self._read_trailers(data, position, line_end)
                break
            end = begin + length
            parts.append(data[begin:end])
            position = end + 2
            if position > size:
                self._left = position - size
            elif data[end:position] != b"\r\n":
                raise ProtocolError("The answer's chunks are not as long as they say.")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_trailers(self, data: bytes, position: int, line_end: int) -> None:
        end = data.find(b"\r\n\r\n", line_end)
        if end < 0:
            self._hold(data[position:])
            return
        self.complete = True
        if end + 4 != len(data):
            self.keep_alive = False

    def _hold(self, data: bytes) -> None:
        if len(data) > _MAX_LINE_BYTES:
            raise ProtocolError(f"The answer has a chunk without a length in {_MAX_LINE_BYTES} bytes.")
        self._held = data


def _chunk_length(line: bytes) -> int:
    digits = line if line.isalnum() else line.partition(b";")[0].rstrip(b" \t")
    if not digits.isalnum() or len(digits) > 16:
        raise ProtocolError(f"The answer has a chunk whose length is no hexadecimal number: {line[:40]!r}.")
    try:
        return int(digits, 16)
    except ValueError:
        raise ProtocolError(
            f"The answer has a chunk whose length is no hexadecimal number: {line[:40]!r}."
        ) from None
