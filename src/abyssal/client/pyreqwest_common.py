"""What both shells over pyreqwest share: how a client of it is set up, and what its errors mean here.

Why it is not the usual way (pyreqwest 0.15): a call that is cancelled before its headers came goes on to its
end at the other side, which costs money; its read timeout also counts while nobody reads; Ctrl-C is not seen
while it waits; and a call takes four times the CPU time of one on a socket of our own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

# All of them at once and early: pyreqwest imports a class of its errors when it first raises it, and aborts
# the process if Ctrl-C falls into that import.
from pyreqwest import exceptions
from pyreqwest.client import BaseClientBuilder

from abyssal.client.request import Request
from abyssal.client.settings import BaseUrl
from abyssal.client.timeout import Timeout
from abyssal.client.transport import PoolTimeoutError
from abyssal.wire.errors import (
    ApiConnectionError,
    ApiTimeoutError,
    ConfigurationError,
    LocalError,
    ProtocolError,
)

B = TypeVar("B", bound=BaseClientBuilder)

_READING = "error reading a body from connection"  # among a decode error's causes: it broke, it is not wrong

MAX_CLIENTS = 8
"""pyreqwest has connect and read timeouts per client only: for each pair in use there is a client."""


def set_up(builder: B, base: BaseUrl, pool_size: int, timeout: Timeout, pool_timeout: float) -> B:
    """`builder` with all that stays the same. Proxies are those of the environment, none for loopback."""
    builder = (
        builder.follow_redirects(False)
        .referer(False)
        .max_connections(pool_size)
        .pool_max_idle_per_host(pool_size)
        .pool_timeout(timedelta(seconds=pool_timeout))
    )
    if base.is_loopback:
        builder = builder.no_proxy()
    if timeout.connect is not None:
        builder = builder.connect_timeout(timedelta(seconds=timeout.connect))
    if timeout.read is not None:
        builder = builder.read_timeout(timedelta(seconds=timeout.read))
    return builder


def local_error(error: exceptions.PyreqwestError, request: Request) -> LocalError:
    """What a fault of pyreqwest means to the caller. Its own words are kept, as they say what happened."""
    base, timeout = request.endpoint.base, request.timeout
    where = f"{base.host}:{base.port}"
    words = _words(error)
    if isinstance(error, exceptions.PoolTimeoutError):
        return PoolTimeoutError(
            "No connection became free in time: all of them are in use. Close streams that you do not read "
            "to their end, or give the client a larger pool_size."
        )
    if isinstance(error, exceptions.ConnectTimeoutError):
        return ApiTimeoutError(
            f"Connecting to {where} took longer than {timeout.connect or 0:g} s.", unsent=True
        )
    if isinstance(error, exceptions.RequestTimeoutError):
        return ApiTimeoutError(
            f"{where} did not answer in time (read={timeout.read}, total={request.total}); "
            "allow more with timeout=."
        )
    if isinstance(error, exceptions.ConnectError) and words.startswith("invalid peer certificate"):
        return ConfigurationError(
            f"{where} cannot be trusted: {words}. Is base_url right? If the certificate is your own, name "
            "its authority's file in the environment variable SSL_CERT_FILE."
        )
    if isinstance(error, exceptions.ConnectError):
        return ApiConnectionError(
            f"Cannot connect to {where}: {words}. Is it running, and is base_url right?"
        )
    if isinstance(error, exceptions.ClientClosedError):
        return ConfigurationError("The client was closed while a call of it was under way; close it later.")
    if isinstance(error, exceptions.DecodeError) and _READING not in _causes(error):
        return ProtocolError(f"What {where} answered cannot be decoded: {words}.")
    return ApiConnectionError(f"The connection to {where} broke: {words}.")


def _words(error: exceptions.PyreqwestError) -> str:
    """The innermost cause: what is around it only says in which part of the client it came up."""
    return _causes(error)[-1]


def _causes(error: exceptions.PyreqwestError) -> list[str]:
    causes = [error.message]
    if isinstance(error, exceptions.DetailedPyreqwestError):
        causes += [cause["message"] for cause in error.details.get("causes") or ()]
    return causes
