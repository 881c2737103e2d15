"""What the client asks of a way to prove who it is. Whoever keeps this may be one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from abyssal.client.credentials.fetching import Fetching
from abyssal.client.request import Endpoint
from abyssal.client.settings import Secret


class Credential(Protocol):
    """One way. Serves any number of threads."""

    @property
    def secret(self) -> Secret:
        """All that no error, no log and no `repr` may show."""
        ...

    @property
    def standing(self) -> Mapping[str, str]:
        """The header fields that go with each request and never change; empty if `proof` makes them.

        They are written into the client's endpoints once, so a way that has them costs a call nothing.
        """
        ...

    @property
    def fetching(self) -> Fetching | None:
        """What must be fetched before `proof` can be asked for; None if nothing ever."""
        ...

    def proof(self, endpoint: Endpoint, body: bytes, unix_ns: int) -> Mapping[str, str]:
        """The header fields (lower-case names) for one attempt that begins at `unix_ns`."""
        ...

    def refused(self, proof: Mapping[str, str]) -> bool:
        """The service answered 401 to `proof`: whether another proof is worth one more attempt."""
        ...
