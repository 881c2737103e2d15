"""What the options say of rights, as the routes take it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from abyssal.cli.management import Object


class Limits(msgspec.Struct, frozen=True):
    """Scopes, models and networks that were named; None: none was."""

    scopes: Sequence[str] | None = None
    models: Sequence[str] | None = None
    networks: Sequence[str] | None = None

    def fields(self) -> Object:
        """The fields of a creation."""
        named = {"scopes": self.scopes, "models": self.models, "networks": self.networks}
        return {field: list(dict.fromkeys(values)) for field, values in named.items() if values}
