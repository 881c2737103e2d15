"""The right error for a bad answer, in the forms in which services and the proxies before them put it.

Error objects are `{"error": {"message", "type", "param", "code"}}`; also understood: `error` as a string,
alone or with `error_description` (RFC 6749 section 5.2), `message` or `detail` at the top (FastAPI), an HTML
page, plain text, nothing at all. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from abyssal.client.retry import retry_after_seconds
from abyssal.client.settings import Secret
from abyssal.wire.errors import AbyssalError, ApiError, InternalServerError, ProtocolError, error_for_status

_EXCERPT = 200  # characters of an unreadable answer that a message quotes
_TITLE = re.compile(r"<title[^>]*>\s*(.*?)\s*</title>", re.IGNORECASE | re.DOTALL)

_BY_CODE = {kind.default_code: kind for kind in ApiError.__subclasses__()}
# Several classes share a type; the first is the general one (400 for invalid_request_error).
_BY_TYPE = {kind.type: kind for kind in reversed(ApiError.__subclasses__())}


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The platform's name for the request, or the official service's; header names in lower case."""
    return headers.get("x-request-id") or headers.get("x-ds-trace-id")


class OpenAICompatibilityError(ProtocolError):
    """The other side answered, but not in the shape of OpenAI's API, which the DeepSeek API shares.

    Usual causes: a base URL that is a web page or another API, or a server that speaks a dialect of its own.
    """


def error_of_answer(
    status: int, headers: Mapping[str, str], content: bytes, *, url: str, secret: Secret, unix_now: float
) -> AbyssalError:
    """The error that an answer with a bad status stands for.

    `secret` is taken out of all that the error shows, here and below. `unix_now` is in seconds.
    """
    if status < 400:
        place = headers.get("location", "nowhere")
        return ProtocolError(
            f"{url} answered {status} and points to {place!r}; redirects are not followed, because the key "
            "would go along. Set base_url to where the service is."
        )
    content = without(secret, content)
    body, fields = _read(content)
    message = fields.pop("message", None)
    if not message:
        message = f"{url} answered {status} {_described(headers, content)}"
    return error_for_status(status)(
        message,
        **fields,
        status=status,
        retry_after=retry_after_seconds(headers, unix_now),
        request_id=request_id_of(headers),
        body=body,
    )


def error_in_event(data: bytes, request_id: str | None, secret: Secret) -> ApiError | None:
    """The error that `data` (JSON, of a stream's event or behind a good status) tells of; None if none.

    Its class follows from `code` if that is a status or one of ours, else from `type`.
    """
    body, fields = _read(without(secret, data))
    message = fields.pop("message", None)
    if not message:
        return None
    code = fields.get("code")
    kind = _BY_CODE.get(str(code)) or _BY_TYPE.get(str(fields.get("kind"))) or InternalServerError
    if str(code).isdecimal() and 400 <= int(str(code)) <= 599:
        kind = error_for_status(int(str(code)))
    return kind(message, **fields, request_id=request_id, body=body)


def not_expected(
    headers: Mapping[str, str], content: bytes, wanted: str, reason: object, secret: Secret
) -> OpenAICompatibilityError:
    """The error for a good status with a content that is not what it should be."""
    hint = " Is base_url right?" if "html" in headers.get("content-type", "") else ""
    came = _described(headers, without(secret, content))
    return OpenAICompatibilityError(f"The answer is not {wanted} ({reason}); it came {came}{hint}")


def without(secret: Secret, content: bytes) -> bytes:
    """`content` with the key blotted out, should the other side have echoed it."""
    return secret.blotted_out(content)


def _excerpt(content: bytes) -> str:
    text = content[: 4 * _EXCERPT].decode("utf-8", "replace").strip()
    return repr(text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…")


def _described(headers: Mapping[str, str], content: bytes) -> str:
    if not content.strip():
        return "without a content."
    kind = headers.get("content-type", "no content type").partition(";")[0]
    title = _TITLE.search(content[:65536].decode("utf-8", "replace"))
    return f"with {kind}: {repr(title[1]) if title else _excerpt(content)}."


def _read(content: bytes) -> tuple[Any, dict[str, Any]]:
    """`content` decoded, as text if it is no JSON, and what it says of an error, as ApiError's arguments."""
    try:
        body: Any = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return content.decode("utf-8", "replace"), {}
    if not isinstance(body, dict):
        return body, {}
    fields = cast("dict[str, Any]", body)
    inner: Any = fields.get("error") or fields
    if isinstance(inner, str):
        told = _if(fields.get("error_description"), str)
        return fields, {"message": told, "code": inner} if told else {"message": inner}
    if not isinstance(inner, dict):
        return fields, {}
    found = cast("dict[str, Any]", inner)
    message = found.get("message") or found.get("detail")
    return fields, {
        "message": message if isinstance(message, str) or not message else str(message),
        "code": _if(found.get("code"), str, int),
        "param": _if(found.get("param"), str),
        "kind": _if(found.get("type"), str),
    }


def _if(value: Any, *types: type) -> Any:
    return value if isinstance(value, types) and not isinstance(value, bool) else None
