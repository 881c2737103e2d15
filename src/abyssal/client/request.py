"""What is to be sent: endpoints, headers and bodies, as values that a transport can put on a wire.

Knows no sockets and no retries. Keys sit in headers, so nothing here shows headers in its `repr`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from abyssal.client.settings import BaseUrl
from abyssal.client.timeout import Timeout
from abyssal.wire.errors import ConfigurationError

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e]*")  # RFC 9110 section 5.5, without the obsolete bytes above ASCII
_NOT_IN_PATHS = frozenset(
    " #\\\"<>`{}'"
)  # some transports would quote these, and break a signature over them
_OURS = frozenset({"connection", "content-length", "transfer-encoding"})


class Endpoint:
    """A method, a place and the headers that go there: made once, used for each call.

    `headers` have lower-case names and no length or framing. `target` is the path with its query.
    """

    __slots__ = ("base", "head", "headers", "method", "target")

    def __init__(self, method: str, base: BaseUrl, path: str, headers: Mapping[str, str]) -> None:
        self.method = method
        self.base = base
        self.target = f"{base.path}{path}" or "/"
        self.headers = dict(headers)
        lines = [f"{method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        if "host" not in headers:
            lines.insert(1, f"host: {base.authority}")
        self.head = "\r\n".join(lines).encode("ascii") + b"\r\n"
        """The request line and these headers as HTTP/1.1 has them, without the blank line at the end."""

    @property
    def url(self) -> str:
        return f"{self.base.scheme}://{self.base.authority}{self.target}"

    def with_headers(self, extra: Mapping[str, str]) -> Endpoint:
        """A copy in which `extra` headers are added or take the place of those of the same name.

        Raises ConfigurationError for a name or value that no header can have, or that is the transport's.
        """
        path = self.target.removeprefix(self.base.path)
        return Endpoint(self.method, self.base, path, {**self.headers, **checked_headers(extra)})

    def with_tail(self, tail: str) -> Endpoint:
        """A copy whose path has `tail` behind it: the end of a path, a query. It is quoted already."""
        path = self.target.removeprefix(self.base.path) + tail
        return Endpoint(self.method, self.base, path, self.headers)

    def with_method(self, method: str) -> Endpoint:
        """A copy with another method."""
        return Endpoint(method, self.base, self.target.removeprefix(self.base.path), self.headers)

    def with_proof(self, fields: Mapping[str, str]) -> Endpoint:
        """A copy to which `fields` are added, for one attempt. They are a `Credential`'s, and not checked."""
        proved = Endpoint.__new__(Endpoint)
        proved.method, proved.base, proved.target = self.method, self.base, self.target
        proved.headers = {**self.headers, **fields}
        lines = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
        proved.head = self.head + lines.encode("ascii")
        return proved

    def __repr__(self) -> str:
        return f"Endpoint({self.method} {self.url})"


class Request:
    """One attempt. `total` is what is left of the call's time in seconds, None without a limit."""

    __slots__ = ("body", "endpoint", "timeout", "total")

    def __init__(self, endpoint: Endpoint, body: bytes | None, timeout: Timeout, total: float | None) -> None:
        self.endpoint = endpoint
        self.body = body
        self.timeout = timeout
        self.total = total

    def __repr__(self) -> str:
        return f"Request({self.endpoint.method} {self.endpoint.url}, {len(self.body or b'')} bytes)"


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """`headers` with lower-case names. Raises ConfigurationError, which never shows a value."""
    checked: dict[str, str] = {}
    for name, value in headers.items():
        lower = str(name).lower()
        if not _TOKEN.fullmatch(lower):
            raise ConfigurationError(f"extra_headers: {name!r} cannot be a header's name; rename it.")
        if lower in _OURS:
            raise ConfigurationError(f"extra_headers: {name!r} is set by the client itself; leave it out.")
        if not isinstance(cast("object", value), str) or not _VALUE.fullmatch(value):
            raise ConfigurationError(
                f"extra_headers: the value of {name!r} is not a string of visible ASCII characters; "
                "encode it, and put no line breaks in it."
            )
        checked[lower] = value.strip(" \t")
    return checked


def checked_path(path: str) -> str:
    """`path` below the base URL, with a slash before it. Raises ConfigurationError if it leads elsewhere.

    The key goes with each request, so a path never names another host.
    """
    if "://" in path or path.startswith("//"):
        raise ConfigurationError(f"path {path!r} names a host; give the part after the base URL.")
    usable = path.isascii() and path.isprintable() and not set(path) & _NOT_IN_PATHS
    segments = path.partition("?")[0].lower().replace("%2e", ".").split("/")
    if not usable or "." in segments or ".." in segments:
        raise ConfigurationError(f"path {path!r} has characters that a URL's path cannot have; quote them.")
    return path if path.startswith("/") else f"/{path}"


def _plain(value: object) -> Any:
    """Objects of other libraries (pydantic's, so also OpenAI's messages) as what they stand for."""
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json", exclude_none=True)
    raise TypeError(f"an object of type {type(value).__name__} is no JSON value")


_encoder = msgspec.json.Encoder(enc_hook=_plain)


def json_form(value: object) -> bytes:
    """`value` as UTF-8 JSON. Raises TypeError, ValueError or RecursionError if it has no JSON form."""
    return _encoder.encode(value)


def encode_body(body: object) -> bytes:
    """`body` as UTF-8 JSON. Raises ConfigurationError that names the field which has no JSON form."""
    try:
        return _encoder.encode(body)
    except (TypeError, ValueError, RecursionError) as error:
        for name, value in cast("dict[str, object]", body).items() if isinstance(body, dict) else ():
            try:
                _encoder.encode(value)
            except (TypeError, ValueError, RecursionError) as reason:
                raise ConfigurationError(f"{name} cannot be written as JSON: {reason}.") from error
        raise ConfigurationError(f"The request cannot be written as JSON: {error}.") from error
