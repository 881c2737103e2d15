"""Which `WWW-Authenticate` goes with an error of ours (RFC 6750 §3, RFC 9110 §11.6.1). Pure.

1. Who sent nothing is told the scheme alone, without an error.
2. Whatever was wrong with what was sent, the error is `invalid_token`: one answer for all of it.
3. A credential that is good but lacks the route's scope: `insufficient_scope`, with 403.
"""

from __future__ import annotations

from abyssal.wire.errors import ApiError

_SCHEME = 'Bearer realm="abyssal"'


def challenge_of(error: ApiError) -> str | None:
    """The field's value, None for an error that goes without."""
    if error.status_code == 401:
        return _SCHEME if error.code == "missing_api_key" else f'{_SCHEME}, error="invalid_token"'
    if error.status_code == 403 and error.code == "scope_missing":
        return f'{_SCHEME}, error="insufficient_scope"'
    return None
