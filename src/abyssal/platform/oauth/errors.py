"""What the OAuth endpoints refuse, in the form of RFC 6749 §5.2.

    OAuthError
    ├── InvalidRequestError        400 (413 for a body that is too long)
    ├── UnsupportedGrantTypeError  400
    ├── InvalidScopeError          400
    ├── InvalidGrantError          400
    ├── InvalidClientError         401
    └── TooManyAttemptsError       429

On the wire: ``{"error", "error_description"}``. A description has the characters that RFC 6749 allows
(printable ASCII without quotation mark and backslash), and never more of the request than was checked for it.
"""

from __future__ import annotations

import logging
from typing import ClassVar

import msgspec

from abyssal.wire.errors import AbyssalError


class OAuthError(AbyssalError):
    """An OAuth endpoint says no. `retry_after` is in whole seconds, 0 for none."""

    error: ClassVar[str] = "invalid_request"
    status: ClassVar[int] = 400
    log_level = logging.INFO

    def __init__(self, message: str, *, status: int | None = None, retry_after: int = 0) -> None:
        super().__init__(message)
        self.status_code = self.status if status is None else status
        self.retry_after = retry_after

    def as_json(self) -> bytes:
        """The body of the answer."""
        return msgspec.json.encode({"error": self.error, "error_description": self.message})


class InvalidRequestError(OAuthError):
    """A parameter is missing, twice there or malformed, or the body is no form."""


class UnsupportedGrantTypeError(OAuthError):
    """The grant type is not `client_credentials`."""

    error = "unsupported_grant_type"


class InvalidScopeError(OAuthError):
    """The scope is malformed, or more than the client has."""

    error = "invalid_scope"


class InvalidGrantError(OAuthError):
    """The token was issued to another client (RFC 7009 §2.1, with the code of RFC 6749 §5.2)."""

    error = "invalid_grant"


class InvalidClientError(OAuthError):
    """No client, or not the secret of one: one answer for all of it.

    `reason` is for the journal and metrics, "" where there was nothing to judge. `credential` is the id that
    was claimed, "" if none or if it does not look like one. `stranger` is False where the secret was right.
    """

    error, status = "invalid_client", 401

    def __init__(self, reason: str, credential: str = "", *, stranger: bool = True) -> None:
        super().__init__(
            "Client authentication failed: send a client id and its current secret, by HTTP Basic or as the "
            "form fields client_id and client_secret."
        )
        self.reason, self.credential, self.stranger = reason, credential, stranger


class TooManyAttemptsError(OAuthError):
    """Too many failures from this address or for this client.

    §5.2 has no code for it. `temporarily_unavailable` is OAuth's own word for "the same request may succeed
    later" (RFC 6749 §4.1.2.1), which client libraries have an exception for. `slow_down` (RFC 8628 §3.5)
    would tell a library to go on polling, more slowly, for a grant that is pending.
    """

    error, status = "temporarily_unavailable", 429
    retryable = True

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            f"Too many failed attempts: wait {retry_after} seconds before the next one.",
            retry_after=retry_after,
        )
