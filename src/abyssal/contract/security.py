"""The ways in, as the document's security schemes, and how each is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from abyssal.platform.oauth.metadata import TOKEN
from abyssal.stores.rights import SCOPES

_SCOPE_SAYS = {
    "chat": "Ask models, in every text format.",
    "embeddings": "Turn texts into vectors.",
    "images": "Make images.",
    "audio": "Turn speech into text, and back.",
    "batch": "Work in bulk.",
    "files": "Keep files.",
    "models:train": "Train models.",
    "usage:read": "Read what was used.",
    "audit:read": "Read who did what.",
    "admin": "Manage organisations, projects, members and credentials.",
}


def _header(name: str, says: str) -> dict[str, Any]:
    return {"type": "apiKey", "in": "header", "name": name, "description": says}


SCHEMES: dict[str, dict[str, Any]] = {
    "apiKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key: `Authorization: Bearer sk-…`.",
    },
    "xApiKey": _header("x-api-key", "The same key, the Anthropic way."),
    "accessToken": {
        "type": "oauth2",
        "description": "An access token (RFC 9068) as the bearer.",
        "flows": {
            "clientCredentials": {
                "tokenUrl": TOKEN,
                "scopes": {scope: _SCOPE_SAYS[scope] for scope in SCOPES},
            }
        },
    },
    "selfIssuedToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "HS256 over a client's secret; `iss` is the client's id, beside `iat` and `exp`.",
    },
    "signingKeyId": _header("X-Api-Key", "A signed request: the signing key's id."),
    "signatureTimestamp": _header("X-Api-Timestamp", "A signed request: Unix seconds, at most 300 s off."),
    "signatureNonce": _header("X-Api-Nonce", "A signed request: good once."),
    "signature": _header(
        "X-Api-Signature",
        "A signed request: base64 of HMAC-SHA256 over method, target, body, timestamp, nonce, a line each.",
    ),
    "messageSignature": _header(
        "Signature", "RFC 9421, hmac-sha256 or ed25519, over `@method` and `@target-uri`."
    ),
    "messageSignatureInput": _header(
        "Signature-Input", "RFC 9421: what was signed, `created`, `nonce`, `keyid`."
    ),
}

WAYS: tuple[Callable[[str], dict[str, list[str]]], ...] = (
    lambda _: {"apiKey": []},
    lambda _: {"xApiKey": []},
    lambda scope: {"accessToken": [scope] if scope else []},
    lambda _: {"selfIssuedToken": []},
    lambda _: {"signingKeyId": [], "signatureTimestamp": [], "signatureNonce": [], "signature": []},
    lambda _: {"messageSignature": [], "messageSignatureInput": []},
)
"""What each way needs, by the scope that an operation needs ("" for none)."""
