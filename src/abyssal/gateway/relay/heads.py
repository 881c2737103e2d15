"""What of an upstream's response head travels on to the client, and how its errors are put."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from abyssal.gateway.upstreams.connection import Headers
from abyssal.wire.challenge import challenge_of
from abyssal.wire.errors import ApiError, UpstreamBrokenError, error_for_status

# Hop-by-hop fields (RFC 9110 §7.6.1), framing, and what the gateway says itself.
_DROPPED = frozenset(
    b"connection keep-alive proxy-authenticate proxy-connection te trailer transfer-encoding upgrade "
    b"content-length date server set-cookie x-request-id x-api-version alt-svc strict-transport-security "
    b"proxy-authorization access-control-allow-origin access-control-allow-credentials "
    b"access-control-allow-headers access-control-allow-methods access-control-expose-headers".split()
)
_DROPPED_OF_STREAM = _DROPPED | {b"content-type", b"cache-control", b"x-accel-buffering"}
_COMMON_CONNECTION = (b"keep-alive", b"close")
_JSON = b"content-type: application/json\r\n"

_EVENT_STREAM = (
    b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
)

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def forwarded(headers: Headers) -> bytes:
    """The header lines of an upstream's answer that the client may see."""
    lines = headers.forwarded
    if lines is None:
        lines = headers.forwarded = _lines(headers)
    return lines


def _lines(headers: Iterable[tuple[bytes, bytes]], dropped: frozenset[bytes] = _DROPPED) -> bytes:
    for name, value in headers:
        if name == b"connection" and value.lower() not in _COMMON_CONNECTION:  # it nominates others
            dropped = dropped.union(option.strip().lower() for option in value.split(b","))
    return b"".join([b"%b: %b\r\n" % pair for pair in headers if pair[0] not in dropped])


def stream_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The header lines of a stream to the client."""
    return _EVENT_STREAM + _lines(headers, _DROPPED_OF_STREAM)


def repairs_line(names: tuple[str, ...]) -> bytes:
    """The header line that tells what was repaired, b"" for nothing."""
    return b"x-abyssal-repairs: %b\r\n" % ", ".join(names).encode() if names else b""


def error_lines(error: ApiError) -> bytes:
    """The header lines of an error of our own; `Retry-After` in whole seconds (RFC 9110 §10.2.3).

    What a credential was refused for is in `WWW-Authenticate`; a 415 names the codings taken (§15.5.16).
    """
    if error.status_code == 415:
        return _JSON + b"accept-encoding: gzip, deflate, zstd\r\n"
    if error.retry_after is None:
        challenge = challenge_of(error)
        return _JSON if challenge is None else _JSON + f"www-authenticate: {challenge}\r\n".encode()
    return _JSON + b"retry-after: %d\r\n" % max(1, round(error.retry_after))


class ErrorAnswer(NamedTuple):
    """An upstream's error as the client gets it. `relabelled`: what came as something else is called JSON."""

    status: int
    lines: bytes
    body: bytes
    code: str
    relabelled: bool = False


def error_answer(
    status: int, headers: list[tuple[bytes, bytes]], body: bytes, upstream: str, *, relabel: bool = True
) -> ErrorAnswer:
    """An upstream's error: an error object labelled as JSON; without `relabel` labelled as it came.

    Every error object has `type`, `param` and `code` beside its message; those that the upstream left out are
    put in.
    A refusal of the platform's own credential becomes a 502: the client's key is not at fault, and the
    upstream's sentence may show a part of the operator's.
    """
    if status == 401 or not 400 <= status < 600:
        what = "refused the platform's credential" if status == 401 else f"answered with status {status}"
        error: ApiError = UpstreamBrokenError(
            f'The upstream "{upstream}" {what}; the operator must check its entry in the configuration.',
            code="upstream_misconfigured",
        )
        return ErrorAnswer(error.status_code, _JSON, error.as_json(), str(error.code))
    kept = [pair for pair in headers if pair[0] != b"content-type"]
    try:
        found = _object.decode(body)
    except msgspec.DecodeError:
        found = {}
    if "error" in found and bytes(found["error"]).lstrip()[:1] == b"{":
        mislabelled = not any(b"json" in value.lower() for name, value in headers if name == b"content-type")
        lines = _JSON + _lines(kept) if relabel or not mislabelled else _lines(headers)
        code = _code_of(bytes(found["error"])) or f"upstream_{status}"
        return ErrorAnswer(status, lines, _completed(status, found, body), code, mislabelled and relabel)
    text = " ".join(body[:300].decode(errors="replace").split()) or "no explanation"
    wrapped = error_for_status(status)(f'The upstream "{upstream}" answered {status}: {text}')
    lines = _JSON + _lines([pair for pair in kept if pair[0] != b"content-encoding"])
    return ErrorAnswer(status, lines, wrapped.as_json(), str(wrapped.code))


def status_meant(body: bytes) -> int:
    """The status that an answer of 200 stands for: some services put an error object into one, alone."""
    try:
        error = _object.decode(_object.decode(body)["error"])
        code: object = msgspec.json.decode(error.get("code", b"null"))
    except msgspec.DecodeError:
        return 200
    return code if isinstance(code, int) and 400 <= code < 600 else 502


def _completed(status: int, found: dict[str, msgspec.Raw], body: bytes) -> bytes:
    """`body`, whose keys are `found`, with all that an error object has; as it came when it is whole."""
    error: dict[str, object] = dict(_object.decode(found["error"]))
    whole = {"type": error_for_status(status).type, "param": None, "code": None}
    if whole.keys() <= error.keys():
        return body.strip()
    return _encode(found | {"error": error | {key: whole[key] for key in whole if key not in error}})


def _code_of(error: bytes) -> str:
    try:
        code = msgspec.json.decode(error).get("code")
    except msgspec.DecodeError:
        return ""
    return str(code)[:80] if code else ""
