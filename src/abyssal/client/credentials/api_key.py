"""An API key: one header field, the same with each request."""

from __future__ import annotations

from collections.abc import Mapping

from abyssal.client.request import Endpoint
from abyssal.client.settings import Secret


class ApiKey:
    """Keeps the `Credential` protocol."""

    fetching = None

    def __init__(self, key: str) -> None:
        self.secret = Secret(key)
        self.standing: Mapping[str, str] = {"authorization": f"Bearer {key}"}

    def proof(self, endpoint: Endpoint, body: bytes, unix_ns: int) -> Mapping[str, str]:
        return {}

    def refused(self, proof: Mapping[str, str]) -> bool:
        return False
