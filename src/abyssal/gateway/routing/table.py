"""The model table: a client's model name to the upstream that answers it.

One target per model is used, the first; policies over several will replace `route`, not its callers.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

import msgspec

from abyssal.config import Model
from abyssal.gateway.exchange import Exchange
from abyssal.gateway.upstreams.upstream import Upstream
from abyssal.wire.errors import BadRequestError, NotFoundError, UnavailableError


class ModelTable:
    """The stage *route*."""

    def __init__(self, models: tuple[Model, ...], upstreams: Mapping[str, Upstream]) -> None:
        self._models = {
            model.name: (upstreams[model.targets[0].upstream], model.targets[0].model) for model in models
        }
        self._contexts = {
            model.name: model.context or upstreams[model.targets[0].upstream].context for model in models
        }
        self.listing = msgspec.json.encode(
            {
                "object": "list",
                "data": [
                    {"id": model.name, "object": "model", "owned_by": model.owned_by} for model in models
                ],
            }
        )

    def takes_files(self, model: str) -> bool:
        """Whether what answers `model` reads files itself; False for a name that there is not."""
        entry = self._models.get(model)
        return entry is not None and entry[0].profile.takes_files

    def context_of(self, model: str) -> int | None:
        """How many tokens a model of the table can hold, prompt and answer; None when nobody knows."""
        return self._contexts.get(model) or None

    def route(self, exchange: Exchange) -> Upstream:
        """Set `exchange.upstream_model` and give the upstream.

        Raises NotFoundError (404) with the nearest names, BadRequestError (400) when it has no embeddings
        and they are asked for, or UnavailableError (503, with Retry-After).
        """
        assert exchange.request is not None
        name = exchange.request.model
        entry = self._models.get(name)
        if entry is None:
            raise _unknown(name, list(self._models))
        upstream, exchange.upstream_model = entry
        if not upstream.available:
            raise UnavailableError(
                f'The upstream "{upstream.name}" is not available at the moment; try again shortly.',
                code="upstream_unavailable",
                retry_after=1,
            )
        if exchange.route == "embeddings":
            if upstream.embeddings is None:
                raise self._no_embeddings(name)
            upstream = upstream.embeddings
        if upstream.capacity is not None and upstream.in_flight >= upstream.capacity:
            raise UnavailableError(
                f'Service is too busy: the queue of "{upstream.name}" is full; try again shortly.',
                code="queue_full",
                retry_after=1,
            )
        return upstream

    def _no_embeddings(self, name: str) -> BadRequestError:
        able = [other for other, (upstream, _) in self._models.items() if upstream.embeddings]
        hint = f"ask one of {', '.join(able[:5])}" if able else "no model here has any"
        return BadRequestError(
            f'The model "{name}" has no embeddings; {hint}.', param="model", code="no_embeddings"
        )


def _unknown(name: str, known: list[str]) -> NotFoundError:
    near = get_close_matches(name, known, n=3, cutoff=0.4) or known[:5]
    hint = f"; near it: {', '.join(near)}" if near else ""
    return NotFoundError(
        f'There is no model "{name[:100]}" here{hint}. `GET /v1/models` lists them.',
        param="model",
        code="model_not_found",
    )
