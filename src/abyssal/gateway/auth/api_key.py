"""API keys: `Authorization: Bearer sk-...` or `x-api-key: sk-...`, looked up by keyed hash.

The hash is the index of a dictionary: no comparison depends on a secret's bytes.
"""

from __future__ import annotations

from abyssal.gateway.auth.directory import Directory
from abyssal.gateway.auth.proof import Proof, Unproven
from abyssal.gateway.exchange import Exchange
from abyssal.stores.api_keys import is_mistyped


class ApiKeys:
    """See the module."""

    name = "api_key"

    def __init__(self, directory: Directory) -> None:
        self._of_key = directory.of_key

    def claimed(self, exchange: Exchange) -> str:
        found = self._of_key(_key(exchange))
        return "" if found is None else found.id

    def prove(self, exchange: Exchange, now_ns: int) -> Proof:
        key = _key(exchange)
        found = self._of_key(key)
        if found is None:
            raise Unproven("mistyped" if is_mistyped(key) else "unknown")
        return Proof(found.principal)


def _key(exchange: Exchange) -> bytes:
    head = exchange.head
    if head.authorization is None:
        return (head.x_api_key or b"").strip()
    return head.authorization.partition(b" ")[2].strip()
