"""A signature over each request: method, target, body, time and a nonce. The secret itself never travels.

What is signed is `wire.signing`'s matter. Each attempt is signed anew, as a nonce is good once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from abyssal.client.request import Endpoint
from abyssal.client.settings import Secret
from abyssal.wire.signing import signed_headers

_NONCE_BYTES = 16


def _new_nonce() -> str:
    return os.urandom(_NONCE_BYTES).hex()


class RequestSignature:
    """Keeps the `Credential` protocol. `nonce` gives text that was never given before."""

    fetching = None

    def __init__(self, key_id: str, secret: str, *, nonce: Callable[[], str] = _new_nonce) -> None:
        self.secret = Secret(secret)
        self.standing: Mapping[str, str] = {}
        self._key_id = key_id
        self._nonce = nonce

    def proof(self, endpoint: Endpoint, body: bytes, unix_ns: int) -> Mapping[str, str]:
        fields = signed_headers(
            self._key_id,
            self.secret.reveal(),
            method=endpoint.method,
            target=endpoint.target,
            body=body,
            timestamp=unix_ns // 10**9,
            nonce=self._nonce(),
        )
        return {name.lower(): value for name, value in fields.items()}

    def refused(self, proof: Mapping[str, str]) -> bool:
        return False  # another signature by the same clock and the same secret is as wrong
