"""Judges a request's head: what RFC 9112 asks beyond what the parser (llhttp, strict) has refused already.

1. HTTP/1.1 has exactly one Host, not empty; HTTP/1.0 at most one (RFC 9112 §3.2).
2. The only transfer coding is `chunked`, and only in HTTP/1.1 (§6.1).
3. At most 100 header fields, 32 KiB of them with the request line (431).
4. `Expect` is `100-continue` or refused (RFC 9110 §10.1.1).
"""

from __future__ import annotations

import re

from abyssal.gateway.exchange import RequestHead
from abyssal.wire.errors import ApiError, BadRequestError, PayloadTooLargeError
from abyssal.wire.forms import forms_of

MAX_FIELDS = 100
MAX_HEAD_BYTES = 32 * 1024

# Fields of signed requests: the platform's own, and those of RFC 9421 and RFC 9530.
PROOF_FIELDS = frozenset(
    b"x-api-timestamp x-api-nonce x-api-signature signature signature-input content-digest".split()
)

# Fields that say how the client writes and reads, and where it wants to go on.
NOTED_FIELDS = {
    b"content-encoding": "content_encoding",
    b"content-type": "content_type",
    b"accept": "accept",
    b"last-event-id": "last_event_id",
}

# Fields that end at this hop (RFC 9110 §7.6.1), that name the client's credentials, or that the
# gateway sets itself. `accept-encoding` stays here so that usage can be read from the answer.
NOT_FORWARDED = PROOF_FIELDS | frozenset(
    b"authorization x-api-key cookie host connection keep-alive proxy-connection proxy-authorization "
    b"proxy-authenticate te trailer transfer-encoding upgrade content-length expect accept-encoding "
    b"x-request-id http2-settings forwarded x-forwarded-for x-forwarded-host "
    b"x-forwarded-proto x-real-ip "
    b"x-abyssal-credential x-abyssal-scopes x-abyssal-address".split()
)

_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?\Z")


class VersionNotSupportedError(ApiError):
    """Another HTTP version than 1.0 and 1.1."""

    status, type, default_code = 505, "invalid_request_error", "http_version"


class NotImplementedByServerError(ApiError):
    """A method or transfer coding that this server does not have."""

    status, type, default_code = 501, "invalid_request_error", "not_implemented"


class ExpectationFailedError(ApiError):
    """An expectation other than 100-continue."""

    status, type, default_code = 417, "invalid_request_error", "expectation_failed"


def add_proof(head: RequestHead, name: bytes, value: bytes) -> None:
    """Note a field of a signed request; of those with one meaning a second is refused.

    Signature, Signature-Input and Content-Digest are lists (RFC 9421 §4, RFC 9530 §2): theirs are joined.
    """
    proof = head.proof
    if proof is None:
        head.proof = {name: value}
    elif name not in proof:
        proof[name] = value
    elif name.startswith(b"x-api-"):
        raise BadRequestError(f"Two {name.decode()} headers; send one.", code="two_credentials")
    else:
        proof[name] += b", " + value


def add_ask(head: RequestHead, name: bytes, value: bytes) -> None:
    """Note a field that asks something of the platform; the last of two is in force."""
    if head.asks is None:
        head.asks = {}
    head.asks[name] = value


def note(head: RequestHead, attribute: str, value: bytes) -> None:
    """Note a field; those that are lists are joined (RFC 9110 §5.3), of the others the last is in force."""
    earlier: bytes | None = getattr(head, attribute)
    if earlier is not None and attribute not in ("content_type", "last_event_id"):
        value = earlier + b", " + value
    setattr(head, attribute, value)


def note_forms(head: RequestHead) -> None:
    """Note how body and answer are written, when all fields are there."""
    head.forms = forms_of(head.content_type, head.accept, head.content_encoding, head.accept_encoding)


def check_version(version: str) -> None:
    """Raise VersionNotSupportedError unless `version` is "1.1" or "1.0"."""
    if version not in ("1.1", "1.0"):
        raise VersionNotSupportedError(f"HTTP/{version} is not spoken here; use HTTP/1.1.")


def check_host(host: bytes | None, version: str) -> None:
    """Raise BadRequestError unless `host` (the field's value, None when absent) is a valid authority."""
    if host is None:
        if version == "1.1":
            raise BadRequestError("The Host header is missing; HTTP/1.1 needs it.", code="bad_host")
    elif not _HOST.match(host):
        raise BadRequestError("The Host header is not a host name.", code="bad_host")


def check_transfer_encoding(value: bytes, version: str) -> None:
    """Raise unless `value` is `chunked` in an HTTP/1.1 request."""
    if version != "1.1":
        raise BadRequestError("Transfer-Encoding is not part of HTTP/1.0.", code="bad_framing")
    if value.strip().lower() != b"chunked":
        raise NotImplementedByServerError("Only the transfer coding `chunked` is known here.")


def chunk_framing(message: bytes) -> int:
    """Bytes of size lines, extensions included, in the first `message`, chunked and whole (RFC 9112 §7.1)."""
    start = message.index(b"\r\n\r\n", len(message) - len(message.lstrip(b"\r\n"))) + 4
    framing = 0
    while True:
        end = message.index(b"\n", start)
        framing += end - start
        size = int(message[start:end].partition(b";")[0], 16)
        if size == 0:
            return framing
        start = end + 1 + size + 2


def check_length(length: int, most: int) -> None:
    """Raise PayloadTooLargeError when `length` bytes are over `most`."""
    if length > most:
        raise PayloadTooLargeError(f"The body is over {most} bytes; send less, or upload it as a file.")


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """Path and query of a request target in origin or absolute form (RFC 9112 §3.2)."""
    if not target.startswith(b"/"):
        if target == b"*":
            return target, b""
        scheme, _, rest = target.partition(b"://")
        if scheme.lower() not in (b"http", b"https") or not rest:
            raise BadRequestError(
                "The request target is neither a path nor an http address.", code="bad_target"
            )
        slash = rest.find(b"/")
        target = rest[slash:] if slash >= 0 else b"/"
    path, _, query = target.partition(b"?")
    return path, query


def check_protocol(target: bytes, received: bytes) -> None:
    """Raise BadRequestError for the other protocols that llhttp reads (RTSP, ICE)."""
    if target + b" RTSP/" in received or target + b" ICE/" in received:
        raise BadRequestError("The request is not HTTP.", code="malformed_http")


def without_nominated(lines: list[bytes], connection: bytes) -> bytes:
    """Header `lines` that travel on: not those that the Connection field nominates (RFC 9110 §7.6.1)."""
    if connection:
        names = tuple(name.strip().lower() + b":" for name in connection.split(b",") if name.strip())
        lines = [line for line in lines if not line.startswith(names)]
    return b"".join(lines)
