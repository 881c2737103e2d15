"""Errors as Anthropic's clients read them: its types, by HTTP status, or by kind inside a stream.

The body keeps `param` and `code` of the platform's error object beside Anthropic's `type` and `message`.
Source: Anthropic API, "Errors".
"""

from __future__ import annotations

from typing import Final

import msgspec

from abyssal.wire.errors import ErrorObject

_BY_STATUS: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_BY_KIND: Final = {
    "invalid_request_error": "invalid_request_error",
    "authentication_error": "authentication_error",
    "insufficient_balance_error": "billing_error",
    "permission_error": "permission_error",
    "rate_limit_error": "rate_limit_error",
    "service_unavailable_error": "overloaded_error",
}

_encode = msgspec.json.Encoder().encode


def error_by_status(status: int) -> str:
    """Anthropic's error type for an HTTP status of 400 or more."""
    return _BY_STATUS.get(status) or ("api_error" if status >= 500 else "invalid_request_error")


def error_in_stream(error: ErrorObject) -> str:
    """Anthropic's error type for an error that has no status, since its stream had begun."""
    if error.code == "upstream_timeout":
        return "timeout_error"
    return _BY_KIND.get(error.type, "api_error")


def written_error(kind: str, error: ErrorObject) -> bytes:
    """The body of an error of type `kind`, JSON."""
    described = {"type": kind, "message": error.message, "param": error.param, "code": error.code}
    return _encode({"type": "error", "error": described})
