"""The client's side of an answer that is to be compressed: it stands where the connection would.

1. Whole answers of `LEAST` bytes and more are compressed; what has no length of its own is a stream, which
   compression would hold back, and passes.
2. One that comes in pieces is compressed piece by piece; one that is there at once only up to `MOST` bytes,
   so that nobody else waits for it.
3. What is compressed already passes, and so do types that hardly shrink, and parts of something: their range
   is one of the plain bytes (RFC 9110 §14).
4. A strong entity tag is that of the plain bytes; of the compressed it says as much as a weak one (§8.8.3).
"""

from __future__ import annotations

import re

from abyssal.gateway.bodies.link import Connection, Link
from abyssal.wire.content_coding import Compressor, compressor

LEAST = 1024
MOST = 1024 * 1024
_STRONG = re.compile(rb'((?:^|\n)etag:[ \t]*)"', re.IGNORECASE)
_TYPES = (b"text/", b"application/json", b"application/x-protobuf", b"image/svg+xml")


class Compressed(Link):
    """See the module."""

    def __init__(self, client: Connection, coding: bytes) -> None:
        super().__init__(client)
        self._coding = coding
        self._compressor: Compressor | None = None  # at work on an answer that comes in pieces

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """A whole answer."""
        if LEAST <= len(body) <= MOST and _shrinks(headers):
            work = compressor(self._coding)
            headers, body = self._relabelled(headers), work.compress(body) + work.flush()
        self._client.answer(status, headers, body)

    def begin(self, status: int, headers: bytes, length: int | None) -> None:
        """The head of an answer that comes in pieces."""
        if length is not None and length >= LEAST and _shrinks(headers):
            self._compressor = compressor(self._coding)
            headers, length = self._relabelled(headers), None
        self._client.begin(status, headers, length)

    def send(self, data: bytes) -> None:
        """A piece."""
        if self._compressor is not None:
            data = self._compressor.compress(data)
            if not data:
                return
        self._client.send(data)

    def finish(self) -> None:
        """The end of what `begin` announced."""
        if self._compressor is not None:
            self._client.send(self._compressor.flush())
        self._client.finish()

    def _relabelled(self, headers: bytes) -> bytes:
        headers = _STRONG.sub(rb'\1W/"', headers)
        return headers + b"content-encoding: %b\r\nvary: accept-encoding\r\n" % self._coding


def _shrinks(headers: bytes) -> bool:
    """Whether what these header lines announce is worth compressing."""
    lines = b"\r\n" + headers.lower()
    if any(name in lines for name in (b"\r\ncontent-encoding:", b"\r\ncontent-range:", b"no-transform")):
        return False
    _, _, kind = lines.partition(b"\r\ncontent-type:")
    kind = kind.lstrip()
    return kind.startswith(_TYPES) and not kind.startswith(b"text/event-stream")
