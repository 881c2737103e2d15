"""What the authorization server says of itself (RFC 8414 §2). Pure."""

from __future__ import annotations

from typing import Any

from abyssal.stores.rights import SCOPES

TOKEN = "/oauth/token"
REVOKE = "/oauth/revoke"
INTROSPECT = "/oauth/introspect"
METADATA = "/.well-known/oauth-authorization-server"
KEY_SET = "/.well-known/jwks.json"

_AUTHENTICATION = ["client_secret_basic", "client_secret_post"]


def server_metadata(issuer: str) -> dict[str, Any]:
    """The document.

    There is no authorization endpoint, so no response type either; but the list is required (§2), and one
    without elements must be left out (§3.2). `none` is the registered name for that.
    """
    base = issuer.rstrip("/")
    return {
        "issuer": issuer,
        "token_endpoint": base + TOKEN,
        "token_endpoint_auth_methods_supported": _AUTHENTICATION,
        "revocation_endpoint": base + REVOKE,
        "revocation_endpoint_auth_methods_supported": _AUTHENTICATION,
        "introspection_endpoint": base + INTROSPECT,
        "introspection_endpoint_auth_methods_supported": _AUTHENTICATION,
        "jwks_uri": base + KEY_SET,
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": ["none"],
        "scopes_supported": list(SCOPES),
    }
