"""Everything that can go wrong, as one tree that the gateway answers with and the SDK raises.

    AbyssalError
    ├── LocalError                   nothing usable came back: this side of the wire
    │   ├── ConfigurationError       an argument, a setting or a file is wrong
    │   ├── ApiConnectionError       the other side could not be reached, or hung up
    │   │   └── ApiTimeoutError      ... or did not answer in time
    │   └── ProtocolError            it answered something that is not the protocol
    │       └── StreamInterruptedError   a stream ended before its end was announced
    └── ApiError                     the other side answered with an error object
        ├── BadRequestError          400   ├── UnprocessableError         422
        ├── AuthenticationError      401   ├── RateLimitError             429
        ├── InsufficientBalanceError 402   ├── HeadersTooLargeError       431
        ├── PermissionDeniedError    403   ├── ClientGoneError            499 (log only)
        ├── NotFoundError            404   ├── InternalServerError        500
        ├── MethodNotAllowedError    405   ├── UpstreamBrokenError        502
        ├── RequestTimeoutError      408   ├── UnavailableError           503
        ├── ConflictError            409   └── UpstreamTimeoutError       504
        ├── PayloadTooLargeError     413
        └── UnsupportedMediaTypeError 415

Each knows its HTTP status, `type`, `code`, whether a retry can help, and the level it is logged at.
Error objects on the wire: ``{"error": {"message", "type", "param", "code"}}``
(DeepSeek API, "Error Codes"; the platform's specification, section 6).
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import msgspec


class AbyssalError(Exception):
    """Root of the tree. `message` says what was wrong with which value and what to do next."""

    retryable: ClassVar[bool] = False
    log_level: ClassVar[int] = logging.WARNING

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class LocalError(AbyssalError):
    """Nothing usable came back."""


class ConfigurationError(LocalError):
    """An argument, an environment variable, a setting or a file is wrong."""

    log_level = logging.ERROR


class ApiConnectionError(LocalError):
    """The other side could not be reached, or closed the connection before it answered.

    `unsent`: nothing of the request can have arrived.
    """

    retryable = True

    def __init__(self, message: str, *, unsent: bool = False) -> None:
        super().__init__(message)
        self.unsent = unsent


class ApiTimeoutError(ApiConnectionError):
    """The other side did not answer in time."""


class ProtocolError(LocalError):
    """The other side answered something that is not the protocol."""


class StreamInterruptedError(ProtocolError):
    """A stream ended before its end was announced; what came so far is on the stream object."""


class ErrorObject(msgspec.Struct, frozen=True):
    """The value of `error` in an error body."""

    message: str
    type: str = "api_error"
    param: str | None = None
    code: str | int | None = None


class ErrorBody(msgspec.Struct, frozen=True):
    """A whole error body."""

    error: ErrorObject


class ApiError(AbyssalError):
    """The other side answered with an error.

    `retry_after` is in seconds, None when the answer named no time. `request_id` is the
    `x-request-id` of the answer, to be named when help is asked for. `body` is what came, if anything.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "api_error"
    default_code: ClassVar[str] = "api_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | int | None = None,
        param: str | None = None,
        kind: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
        body: Any = None,
    ) -> None:
        super().__init__(message)
        self.code = self.default_code if code is None else code
        self.param = param
        self.error_type = kind or self.type
        self.status_code = self.status if status is None else status
        self.retry_after = retry_after
        self.request_id = request_id
        self.body = body

    def as_json(self) -> bytes:
        """The error object as it goes over the wire, UTF-8 JSON."""
        return msgspec.json.encode(
            ErrorBody(ErrorObject(self.message, self.error_type, self.param, self.code))
        )


class BadRequestError(ApiError):
    """Malformed or out of range; `param` names the field."""

    status, type, default_code = 400, "invalid_request_error", "invalid_request"
    log_level = logging.INFO


class AuthenticationError(ApiError):
    """Nobody we know, or a wrong secret."""

    status, type, default_code = 401, "authentication_error", "invalid_api_key"
    log_level = logging.INFO


class InsufficientBalanceError(ApiError):
    """Balance or budget is used up."""

    status, type, default_code = 402, "insufficient_balance_error", "insufficient_balance"
    log_level = logging.INFO


class PermissionDeniedError(ApiError):
    """Known, but not with this key."""

    status, type, default_code = 403, "permission_error", "permission_denied"
    log_level = logging.INFO


class NotFoundError(ApiError):
    """No such route, model or object."""

    status, type, default_code = 404, "invalid_request_error", "not_found"
    log_level = logging.INFO


class MethodNotAllowedError(ApiError):
    """The route exists, not with this method."""

    status, type, default_code = 405, "invalid_request_error", "method_not_allowed"
    log_level = logging.INFO


class RequestTimeoutError(ApiError):
    """The request did not arrive in time."""

    status, type, default_code = 408, "invalid_request_error", "request_timeout"
    retryable = True
    log_level = logging.INFO


class ConflictError(ApiError):
    """The object changed, or is in use."""

    status, type, default_code = 409, "invalid_request_error", "conflict"
    retryable = True
    log_level = logging.INFO


class PayloadTooLargeError(ApiError):
    """The body is over the limit."""

    status, type, default_code = 413, "invalid_request_error", "payload_too_large"
    log_level = logging.INFO


class UnsupportedMediaTypeError(ApiError):
    """The body is of a content type or coding that this route does not take."""

    status, type, default_code = 415, "invalid_request_error", "unsupported_media_type"
    log_level = logging.INFO


class UnprocessableError(ApiError):
    """The body is JSON, but not of this route's shape (the official service's other 400)."""

    status, type, default_code = 422, "invalid_request_error", "unprocessable"
    log_level = logging.INFO


class RateLimitError(ApiError):
    """Over a limit; wait `retry_after` seconds."""

    status, type, default_code = 429, "rate_limit_error", "rate_limit_exceeded"
    retryable = True
    log_level = logging.INFO


class HeadersTooLargeError(ApiError):
    """Too many headers, or too large ones (RFC 6585 §5)."""

    status, type, default_code = 431, "invalid_request_error", "headers_too_large"
    log_level = logging.INFO


class ClientGoneError(ApiError):
    """The client left before the end. Never on the wire: it is what the journal says."""

    status, type, default_code = 499, "client_gone", "client_gone"
    log_level = logging.INFO


class InternalServerError(ApiError):
    """A fault of the platform or of the upstream."""

    status, type, default_code = 500, "server_error", "internal_error"
    retryable = True
    log_level = logging.ERROR


class UpstreamBrokenError(ApiError):
    """The upstream refused, reset, or answered garbage."""

    status, type, default_code = 502, "upstream_error", "upstream_broken"
    retryable = True


class UnavailableError(ApiError):
    """No upstream is available, or load is being shed."""

    status, type, default_code = 503, "service_unavailable_error", "unavailable"
    retryable = True


class UpstreamTimeoutError(ApiError):
    """The upstream was too slow."""

    status, type, default_code = 504, "upstream_error", "upstream_timeout"
    retryable = True


_BY_STATUS: dict[int, type[ApiError]] = {cls.status: cls for cls in ApiError.__subclasses__()}


def error_for_status(status: int) -> type[ApiError]:
    """The class for an HTTP status (100 to 599): the exact one, else the general one of its hundred."""
    found = _BY_STATUS.get(status)
    if found is not None:
        return found
    if status >= 500:
        return InternalServerError
    return BadRequestError if 400 <= status < 500 else ApiError
