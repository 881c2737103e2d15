"""HTTP byte by byte, for tests of bad HTTP: sends what it is given, reads one strict response at a time.

    with RawConnection(server.url) as connection:
        connection.send(b"GET / HTTP/1.1\r\n\r\n")                    # no Host
        assert connection.read_response().status == 400
        assert connection.closed_by_server()

It makes no request itself and repairs nothing; a response that RFC 9112 does not allow is a ProtocolError.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from typing import Any
from urllib.parse import urlsplit

import msgspec

from abyssal.wire.errors import ProtocolError

_HEAD_LIMIT = 256 * 1024  # bytes


class WireResponse(msgspec.Struct, frozen=True):
    """One response: `headers` are pairs as sent, `body` is without framing.

    `interim` are the statuses of the 1xx responses before it. `until_close` says that the body ended with
    the connection and not with a length.
    """

    status: int
    reason: str
    version: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    interim: tuple[int, ...] = ()
    until_close: bool = False

    def header(self, name: str) -> str | None:
        """The value of the header of that name, in any letter case, several joined by a comma; else None."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(found) if found else None

    def json(self) -> Any:
        """The body decoded as JSON; `msgspec.DecodeError` if it is none."""
        return msgspec.json.decode(self.body)


class RawConnection:
    """A blocking connection to the host and port of `url`, or to `socket_path`.

    `timeout` (seconds) holds for connecting and for each read as a whole; TimeoutError after it.
    `tls` is the context for an https URL; without one, certificates are not verified: this is for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 10.0,
        socket_path: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout = timeout
        self._buffer = b""
        self._ended = False
        target = urlsplit(url)
        if socket_path is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(timeout)
            self._socket.connect(socket_path)
        else:
            port = target.port or (443 if target.scheme == "https" else 80)
            self._socket = socket.create_connection((target.hostname or "127.0.0.1", port), timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if target.scheme == "https":
            self._socket = (tls or _unverified()).wrap_socket(self._socket, server_hostname=target.hostname)

    def __enter__(self) -> RawConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Sending

    def send(self, data: bytes) -> None:
        """Send all of `data`; OSError if the server has closed."""
        self._socket.settimeout(self._timeout)
        self._socket.sendall(data)

    def send_anyway(self, data: bytes) -> bool:
        """Send what the server takes of `data`; False if it hung up or stopped reading before the end."""
        try:
            self.send(data)
        except OSError:
            return False
        return True

    def send_slowly(self, data: bytes, size: int, every: float) -> bool:
        """Send `size` bytes each `every` seconds; False if the server hung up before the end."""
        for start in range(0, len(data), size):
            if start:
                time.sleep(every)
            if not self.send_anyway(data[start : start + size]):
                return False
        return True

    def end_sending(self) -> None:
        """Close this side only: no more bytes will come (a TCP FIN)."""
        self._socket.shutdown(socket.SHUT_WR)

    # Reading

    def read_response(self, method: str = "GET", *, interim: bool = False) -> WireResponse:
        """The next response, as to a request with `method`, which decides whether it has a body.

        1xx responses are passed over and remembered, but with `interim` the next one is returned itself.
        ProtocolError if it is not HTTP or ended too early, TimeoutError if it did not come whole in time.
        """
        deadline = time.monotonic() + self._timeout
        seen: list[int] = []
        while True:
            version, status, reason, headers = self._read_head(deadline)
            if status >= 200 or status == 101:
                break
            if interim:
                return WireResponse(status, reason, version, headers, b"")
            seen.append(status)
        until_close = False
        fields = {name.lower(): value for name, value in headers}
        if method == "HEAD" or status in (101, 204, 304):
            body = b""
        elif "transfer-encoding" in fields:
            if fields["transfer-encoding"].lower() != "chunked" or "content-length" in fields:
                raise ProtocolError(f"a response framed by {fields}: RFC 9112 §6.1 allows chunked alone")
            body = self._read_chunked(deadline)
        elif "content-length" in fields:
            if not fields["content-length"].isdecimal():
                raise ProtocolError(f"content-length {fields['content-length']!r} is not a number")
            body = self._take(int(fields["content-length"]), deadline)
        else:
            until_close = True
            while self._fill(deadline):
                pass
            body, self._buffer = self._buffer, b""
        return WireResponse(status, reason, version, headers, body, tuple(seen), until_close)

    def read_some(self, timeout: float | None = None) -> bytes:
        """Whatever comes next; b"" once the server has closed. TimeoutError if nothing comes."""
        if not self._buffer:
            self._fill(time.monotonic() + (self._timeout if timeout is None else timeout))
        found, self._buffer = self._buffer, b""
        return found

    def read_until(self, mark: bytes) -> bytes:
        """Everything up to and with `mark`; ProtocolError if the server closes before it."""
        return self._take_line(mark, time.monotonic() + self._timeout, limit=None)

    def read_all(self) -> bytes:
        """Everything until the server closes; TimeoutError if it does not."""
        deadline = time.monotonic() + self._timeout
        while self._fill(deadline):
            pass
        found, self._buffer = self._buffer, b""
        return found

    def closed_by_server(self, timeout: float = 5.0) -> bool:
        """Whether the server closes, or resets, within `timeout` seconds without sending another byte."""
        if self._buffer:
            return False
        try:
            return not self._fill(time.monotonic() + timeout)
        except TimeoutError:
            return False

    # Leaving

    def close(self) -> None:
        """Close both sides in order; safe twice."""
        self._socket.close()

    def reset(self) -> None:
        """Leave with a TCP reset, as a process that was killed or a cable that was pulled."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    # The parts of a response

    def _read_head(self, deadline: float) -> tuple[str, int, str, tuple[tuple[str, str], ...]]:
        head = self._take_line(b"\r\n\r\n", deadline, limit=_HEAD_LIMIT)
        status_line, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        version, _, rest = status_line.partition(" ")
        status, _, reason = rest.partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or not (status.isdecimal() and len(status) == 3):
            raise ProtocolError(f"the answer begins with {status_line!r}, which is no HTTP status line")
        headers: list[tuple[str, str]] = []
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip() or "\n" in line or "\r" in line:
                raise ProtocolError(f"{line!r} in the answer is no header")
            headers.append((name, value.strip(" \t")))
        return version.removeprefix("HTTP/"), int(status), reason, tuple(headers)

    def _read_chunked(self, deadline: float) -> bytes:
        parts: list[bytes] = []
        while True:
            line = self._take_line(b"\r\n", deadline, limit=1024).partition(b";")[0].strip()
            try:
                size = int(line, 16)
            except ValueError:
                raise ProtocolError(f"chunk size {line!r} in the answer is not hexadecimal") from None
            if size == 0:
                while self._take_line(b"\r\n", deadline, limit=_HEAD_LIMIT) != b"\r\n":
                    pass
                return b"".join(parts)
            parts.append(self._take(size, deadline))
            if self._take(2, deadline) != b"\r\n":
                raise ProtocolError(f"a chunk of {size} bytes in the answer does not end where it said")

    def _take_line(self, mark: bytes, deadline: float, limit: int | None) -> bytes:
        searched = 0
        while (at := self._buffer.find(mark, searched)) < 0:
            searched = max(0, len(self._buffer) - len(mark))
            if limit is not None and len(self._buffer) > limit:
                raise ProtocolError(f"{limit} bytes of the answer without {mark!r}")
            if not self._fill(deadline):
                raise ProtocolError(f"the server closed after {self._buffer[-300:]!r}, before {mark!r}")
        end = at + len(mark)
        found, self._buffer = self._buffer[:end], self._buffer[end:]
        return found

    def _take(self, size: int, deadline: float) -> bytes:
        parts: list[bytes] = [self._buffer]
        have = len(self._buffer)
        while have < size:
            self._buffer = b""
            if not self._fill(deadline):
                raise ProtocolError(f"the server closed after {have} of {size} bytes of a body")
            parts.append(self._buffer)
            have += len(self._buffer)
        whole = b"".join(parts)
        self._buffer = whole[size:]
        return whole[:size]

    def _fill(self, deadline: float) -> bool:
        """Read once into the buffer; False at the end, which a reset also is."""
        if self._ended:
            return False
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"nothing more came in time; unread: {self._buffer[-300:]!r}")
        self._socket.settimeout(left)
        try:
            found = self._socket.recv(65536)
        except TimeoutError:
            raise TimeoutError(f"nothing more came in time; unread: {self._buffer[-300:]!r}") from None
        except ConnectionError:
            found = b""
        self._ended = not found
        self._buffer += found
        return bool(found)


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
