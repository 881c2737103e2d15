"""Signed requests: `X-Api-Key`, `-Timestamp`, `-Nonce` and `-Signature`, by a signing key's secret.

1. The time window first: 300 seconds either way, in whole seconds; 301 are too many.
2. Then the signature (`wire.signing`), in constant time, against each secret that is live.
3. Then the nonce, once per key: it is remembered for as long as its timestamp would be accepted.
"""

from __future__ import annotations

from functools import partial

from abyssal.gateway.auth.by_id import find, is_proven, named, nonce_of
from abyssal.gateway.auth.directory import Directory
from abyssal.gateway.auth.proof import Proof, Unproven
from abyssal.gateway.exchange import Exchange
from abyssal.gateway.principal import Credential
from abyssal.wire import signing

_SECOND = 1_000_000_000


class SignedRequests:
    """See the module."""

    name = "signed_request"

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def claimed(self, exchange: Exchange) -> str:
        return named((exchange.head.x_api_key or b"").strip().decode("latin-1"))

    def prove(self, exchange: Exchange, now_ns: int) -> Proof:
        head = exchange.head
        fields = head.proof or {}
        timestamp, nonce = fields.get(b"x-api-timestamp", b""), fields.get(b"x-api-nonce", b"")
        signature = fields.get(b"x-api-signature", b"")
        if (
            not head.x_api_key
            or not signing.is_timestamp(timestamp)
            or not signing.is_nonce(nonce)
            or not signing.is_signature(signature)
        ):
            raise Unproven("malformed")
        found = self._find(exchange)
        claimed = "" if found is None else found.id
        signed_at = int(timestamp)
        if abs(now_ns // _SECOND - signed_at) > signing.MAX_SKEW:
            raise Unproven("skewed", claimed)
        text = signing.string_to_sign(head.method, head.target, exchange.body, timestamp, nonce)
        proves = partial(signing.proves, text=text, signature=signature)
        if not is_proven(found, now_ns, proves) or found is None:
            raise Unproven("unknown" if found is None else "signature", claimed)
        # Its last second is accepted to the end.
        until = (signed_at + signing.MAX_SKEW + 1) * _SECOND
        return Proof(found.principal, nonce_of(found, nonce), until)

    def _find(self, exchange: Exchange) -> Credential | None:
        name = (exchange.head.x_api_key or b"").strip().decode("latin-1")
        return find(self._directory, name, "signing_key")
