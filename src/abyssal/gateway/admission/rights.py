"""The stage *permit*: may this credential do this at all. Scopes and model allow-lists; no counting."""

from __future__ import annotations

from abyssal.gateway.exchange import Exchange
from abyssal.stores.rights import scopes_of
from abyssal.wire.errors import PermissionDeniedError


class Rights:
    """See the module."""

    def permit(self, exchange: Exchange) -> None:
        """Raise PermissionDeniedError (403) unless the scope of the route and the model are allowed."""
        principal = exchange.principal
        assert principal is not None
        if exchange.scope & ~principal.scopes:
            (missing,) = scopes_of(exchange.scope & ~principal.scopes)[:1]
            raise PermissionDeniedError(
                f"This credential lacks the scope `{missing}`; use one that has it, or have it added.",
                code="scope_missing",
            )
        request = exchange.request
        if request is not None and not principal.may_use(request.model):
            raise PermissionDeniedError(
                "This credential may not use that model; `GET /v1/models` lists those that it may.",
                param="model",
                code="model_not_allowed",
            )
