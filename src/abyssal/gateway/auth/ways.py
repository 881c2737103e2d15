"""Which of the ways in a request takes: told apart by its head alone. Two at once are refused.

| the request has | way |
| --- | --- |
| `x-api-timestamp`, `x-api-nonce` or `x-api-signature` | signed request; `x-api-key` names its key |
| `signature` or `signature-input` | HTTP message signature (RFC 9421) |
| `Authorization: Bearer` with two dots | JWT: `typ` in its header says whose |
| `Authorization: Bearer`, `x-api-key` | API key |
"""

from __future__ import annotations

from abyssal.gateway.auth.proof import Unproven, Way
from abyssal.gateway.exchange import RequestHead
from abyssal.wire.errors import AuthenticationError, BadRequestError

_SIGNED = frozenset((b"x-api-timestamp", b"x-api-nonce", b"x-api-signature"))
_MESSAGE = frozenset((b"signature", b"signature-input"))


class Ways:
    """The ways by which a request may come. `jwt` gets every JWT."""

    def __init__(self, *, api_key: Way, jwt: Way, signed: Way, message: Way) -> None:
        self._api_key, self._jwt, self._signed, self._message = api_key, jwt, signed, message

    def of(self, head: RequestHead) -> Way:
        """The way that a request takes.

        Raises BadRequestError for two at once, AuthenticationError for none, Unproven for a scheme that is
        no way in.
        """
        proof, authorization, key = head.proof, head.authorization, head.x_api_key
        if proof is not None and not proof.keys().isdisjoint(_SIGNED):
            if authorization is not None or not proof.keys().isdisjoint(_MESSAGE):
                raise _two()
            return self._signed
        if proof is not None and not proof.keys().isdisjoint(_MESSAGE):
            if authorization is not None or key is not None:
                raise _two()
            return self._message
        if authorization is None:
            if key is None:
                raise AuthenticationError(
                    "Authentication Fails (no credential). Send `Authorization: Bearer <key>`.",
                    code="missing_api_key",
                )
            return self._api_key
        scheme, _, token = authorization.partition(b" ")
        token = token.strip()
        if key is not None and key.strip() != token:
            raise _two()
        if scheme.lower() != b"bearer" or not token:
            raise Unproven("malformed")
        return self._jwt if token.count(b".") == 2 and token.startswith(b"ey") else self._api_key


def _two() -> BadRequestError:
    return BadRequestError(
        "Two different credentials in one request; send one of them.", code="two_credentials"
    )
