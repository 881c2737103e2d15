"""A JSON Web Token that the client signs itself: HS256 over the client secret (platform API, section 1).

Needs the standard library alone. It is signed when the first request needs one, and again before it ends.
"""

from __future__ import annotations

import hmac
from binascii import b2a_base64
from collections.abc import Mapping

import msgspec

from abyssal.client import defaults
from abyssal.client.credentials.fetching import Token
from abyssal.client.request import Endpoint
from abyssal.client.settings import Secret


class JsonWebToken:
    """Keeps the `Credential` protocol."""

    fetching = None

    def __init__(self, client_id: str, client_secret: str) -> None:
        self.secret = Secret(client_secret)
        self.standing: Mapping[str, str] = {}
        self._client_id = client_id
        self._token: Token | None = None

    def proof(self, endpoint: Endpoint, body: bytes, unix_ns: int) -> Mapping[str, str]:
        token = self._token
        if token is None or not token.is_fresh(unix_ns):
            # Two threads may both get here; then two good tokens are signed, and one of them is kept.
            text = signed_jwt(self._client_id, self.secret.reveal(), unix_ns // 10**9, defaults.JWT_LIFE)
            self.secret.hide_also(text)
            token = self._token = Token.lasting(text, defaults.JWT_LIFE, unix_ns)
        return token.fields

    def refused(self, proof: Mapping[str, str]) -> bool:
        # It may have ended on the way, or the machine's clock was set since it was signed.
        token = self._token
        if token is not None and token.fields is proof:
            self._token = None
        return True


def signed_jwt(client_id: str, client_secret: str, issued_at: int, life: int) -> str:
    """A JWT of the platform: `issued_at` in Unix seconds, good for `life` seconds (at most 24 h)."""
    claims = {"iss": client_id, "iat": issued_at, "exp": issued_at + life}
    text = _base64url(b'{"alg":"HS256","typ":"JWT"}') + b"." + _base64url(msgspec.json.encode(claims))
    signature = hmac.digest(client_secret.encode(), text, "sha256")
    return (text + b"." + _base64url(signature)).decode()


def _base64url(data: bytes) -> bytes:
    """RFC 7515, appendix C: base64url without padding."""
    return b2a_base64(data, newline=False).rstrip(b"=").translate(_URL_SAFE)


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
