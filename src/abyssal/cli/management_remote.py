"""The management routes over HTTP, through the SDK. One attempt: a refusal is told at once."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from abyssal.cli.connection import resolve_connection
from abyssal.cli.management import ROOT, Management, Object, Reach
from abyssal.wire.errors import ProtocolError

if TYPE_CHECKING:
    from abyssal import DeepSeekClient


class RemoteManagement:
    """The routes of the platform that `client` calls; its base URL may end in `/v1`, or before it."""

    def __init__(self, client: DeepSeekClient) -> None:
        self._client = client
        self._root = ROOT.removeprefix("/v1") if client.base_url.endswith("/v1") else ROOT

    def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, json: object = None
    ) -> Object:
        target = f"{self._root}{path}" + (f"?{urlencode(query)}" if query else "")
        answer = self._client.request(method, target, json=json)
        value: Any = answer.json()
        if not isinstance(value, dict):
            raise ProtocolError(
                f"{self._client.base_url} answered {method} {ROOT}{path} with JSON that is no object; is it "
                "an Abyssal platform?"
            )
        return value  # pyright: ignore[reportUnknownVariableType]


@contextmanager
def opened_remote(reach: Reach) -> Generator[Management]:
    """The platform at --base-url, else ABYSSAL_BASE_URL, else the one that runs on the data directory.

    Raises ConfigurationError when there is no key for it.
    """
    from abyssal import DeepSeekClient

    # What DEEPSEEK_… name is the service behind a platform: it has nothing to manage, and its key no rights.
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DEEPSEEK_")}
    connection = resolve_connection(ours, base_url=reach.base_url, api_key=reach.api_key, data=reach.data)
    # Not again after a fault: a second creation would leave a secret that nobody has seen.
    with DeepSeekClient(connection.api_key.reveal(), base_url=connection.base_url, max_retries=0) as client:
        yield RemoteManagement(client)
