"""What `WWW-Authenticate` says of each refusal (RFC 6750 §3)."""

from __future__ import annotations

import pytest

from abyssal.wire.challenge import challenge_of
from abyssal.wire.errors import (
    ApiError,
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
)


@pytest.mark.parametrize(
    ("error", "challenge"),
    [
        (AuthenticationError("x", code="missing_api_key"), 'Bearer realm="abyssal"'),
        (AuthenticationError("x"), 'Bearer realm="abyssal", error="invalid_token"'),
        (
            PermissionDeniedError("x", code="scope_missing"),
            'Bearer realm="abyssal", error="insufficient_scope"',
        ),
        (PermissionDeniedError("x", code="model_not_allowed"), None),
        (PermissionDeniedError("x"), None),
        (NotFoundError("x"), None),
        (RateLimitError("x", code="too_many_failures"), None),
    ],
)
def test_what_is_said(error: ApiError, challenge: str | None) -> None:
    assert challenge_of(error) == challenge
