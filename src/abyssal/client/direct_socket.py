"""One blocking socket: connecting it, the bytes of one exchange after another, and its time limits."""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
import sys
import time
from typing import NoReturn

from abyssal.client import defaults
from abyssal.client.http1 import AnswerReader, request_bytes
from abyssal.client.request import Request
from abyssal.client.settings import BaseUrl
from abyssal.client.tls import connect_fault
from abyssal.wire.errors import ApiConnectionError, ApiTimeoutError

_READ_BYTES = 262144


class SocketConnection:
    """One connection; belongs to one call at a time. Limits in seconds, a `deadline` in monotonic time."""

    __slots__ = ("_idle_since", "_kernel_timed", "_owner", "_poll", "_socket", "_timeout", "_where")

    def __init__(self, base: BaseUrl, tls: ssl.SSLContext | None, timeout: float | None) -> None:
        self._where = f"{base.host}:{base.port}"
        self._owner = os.getpid()
        self._idle_since = 0.0
        try:
            self._socket = _connected(base, tls, timeout)
        except TimeoutError:
            raise ApiTimeoutError(
                f"Connecting to {self._where} took longer than {timeout or 0:g} s.", unsent=True
            ) from None
        except OSError as error:
            raise connect_fault(base, error) from error
        self._timeout = timeout
        # The kernel keeps the time limits where it can: Python would ask poll() before each read. Not under
        # TLS, whose reads begin anew when the kernel ends them.
        self._kernel_timed = tls is None and _set_kernel_timeout(self._socket, timeout)
        if self._kernel_timed:
            self._socket.settimeout(None)
        self._poll = None
        if hasattr(select, "poll"):  # not on Windows; unlike select() it takes any file descriptor
            self._poll = select.poll()
            self._poll.register(self._socket, select.POLLIN)

    def send(self, request: Request, deadline: float | None) -> None:
        """Raises ApiTimeoutError and ApiConnectionError."""
        self.write(request_bytes(request), request.timeout.read, deadline)

    def write(self, data: bytes, timeout: float | None, deadline: float | None) -> None:
        """Sends `data`. Raises ApiTimeoutError and ApiConnectionError."""
        self._set_timeout(timeout, deadline)
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # a server may answer and hang up before it has read all: the answer says why
        except (TimeoutError, BlockingIOError):
            raise ApiTimeoutError(f"{self._where} did not take the request in time.") from None
        except OSError as error:
            self._lost(error)

    def read(self, reader: AnswerReader, timeout: float | None, deadline: float | None) -> bytes:
        """Content from one read, which may be b"" although more will come; `reader` knows.

        Raises ApiTimeoutError, ApiConnectionError, ProtocolError.
        """
        if timeout != self._timeout or deadline is not None:
            self._set_timeout(timeout, deadline)
        try:
            data = self._socket.recv(_READ_BYTES)
        except OSError as error:
            self._read_failed(error, timeout, deadline)
        if data:
            return reader.feed(data)
        reader.feed_end()
        return b""

    def receive(self, timeout: float | None, deadline: float | None) -> bytes:
        """What has come, at least a byte; b"" when the other side closed. Raises as `write` does."""
        if timeout != self._timeout or deadline is not None:
            self._set_timeout(timeout, deadline)
        try:
            return self._socket.recv(_READ_BYTES)
        except OSError as error:
            self._read_failed(error, timeout, deadline)

    def begin_idling(self) -> None:
        """The exchange is over."""
        self._idle_since = time.monotonic()

    def is_usable(self) -> bool:
        """Whether the idle connection is still open and silent, not too old, and not our parent process's."""
        return self.is_fresh() and self.is_silent()

    def is_fresh(self) -> bool:
        """Whether the idle connection is not too old, and not our parent process's."""
        return time.monotonic() - self._idle_since <= defaults.IDLE_TIMEOUT and self.is_own

    @property
    def is_own(self) -> bool:
        """Whether it is this process's, and not our parent's, which goes on using it."""
        return self._owner == os.getpid()

    def is_silent(self) -> bool:
        """Whether nothing has come, not even the end."""
        if self._poll is not None:
            return not self._poll.poll(0)
        return not select.select((self._socket,), (), (), 0)[0]

    def close(self) -> None:
        self._socket.close()

    def _set_timeout(self, timeout: float | None, deadline: float | None) -> None:
        if deadline is not None:
            timeout = shorter(timeout, deadline)
        if timeout == self._timeout:  # else it takes system calls
            return
        if not self._kernel_timed:
            self._socket.settimeout(timeout)
        elif not _set_kernel_timeout(self._socket, timeout):
            raise ApiConnectionError(f"The connection to {self._where} broke.")
        self._timeout = timeout

    def _read_failed(self, error: OSError, timeout: float | None, deadline: float | None) -> NoReturn:
        if not isinstance(error, TimeoutError | BlockingIOError):
            self._lost(error)
        raise ApiTimeoutError(
            f"{self._where} sent nothing for {timeout or 0:g} s; allow more with timeout=."
            if deadline is None or time.monotonic() < deadline
            else f"The answer of {self._where} was not whole when the call's total time was over."
        ) from None

    def _lost(self, error: OSError) -> NoReturn:
        reason = error.strerror or error
        raise ApiConnectionError(f"The connection to {self._where} broke: {reason}.") from error


def shorter(timeout: float | None, deadline: float) -> float:
    """`timeout`, or what is left until `deadline`, whichever is less; at least a millisecond."""
    left = max(0.001, deadline - time.monotonic())
    return left if timeout is None else min(timeout, left)


def _set_kernel_timeout(of: socket.socket, timeout: float | None) -> bool:
    """Lets the kernel end reads and writes after `timeout` seconds; whether it can."""
    if sys.platform == "win32":
        return False
    microseconds = 0 if timeout is None else max(1, int(timeout * 1e6))  # zero is no limit
    value = struct.pack("@ll", *divmod(microseconds, 1_000_000))  # struct timeval
    try:
        of.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
        of.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)
    except OSError:
        return False
    return True


def _connected(base: BaseUrl, tls: ssl.SSLContext | None, timeout: float | None) -> socket.socket:
    connected = socket.create_connection((base.host, base.port), timeout)
    try:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected if tls is None else tls.wrap_socket(connected, server_hostname=base.host)
    except BaseException:
        connected.close()
        raise
