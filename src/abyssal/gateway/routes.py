"""The routes of the fast lane that answer with a model: path, handler, and the scope that is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from abyssal.gateway.dialects.anthropic import AnthropicMessages
from abyssal.gateway.dialects.anthropic_tokens import count_tokens
from abyssal.gateway.dialects.completions import BETA_COMPLETIONS, COMPLETIONS, Completions
from abyssal.gateway.dialects.dialect import Dialect
from abyssal.gateway.dialects.responses import Responses
from abyssal.gateway.dialects.sockets.seams import Resuming, Stages
from abyssal.gateway.dialects.sockets.session import Session
from abyssal.gateway.dialects.text import COMPLETION, DEFAULT_MODEL, GENERATE
from abyssal.gateway.exchange import Exchange, RequestHead
from abyssal.gateway.front.websocket import WebSocketConnection
from abyssal.gateway.pipeline import Pipeline
from abyssal.stores.rights import BITS

Handler = Callable[[Exchange], None]
_CHAT, _EMBEDDINGS = BITS["chat"], BITS["embeddings"]


def sockets(
    pipeline: Pipeline, call: Callable[[Exchange, Dialect], None], resuming: Resuming
) -> dict[bytes, Callable[[WebSocketConnection, RequestHead], Session]]:
    """The WebSockets; `call` takes each request of one, `resuming` those whose answers can be read on."""
    stages = Stages(pipeline.identified, call, resuming, _CHAT)
    return {
        b"/v1/stream": partial(Session, stages),
        b"/v1/chat/stream": partial(Session, stages._replace(default_model=DEFAULT_MODEL)),
    }


def streaming_routes(models: Iterable[str], now: Callable[[], int]) -> dict[bytes, Dialect | None]:
    """The `POST` routes that can stream, and their formats, None for the official one.

    `models` are the names of the model table, which no format renames; `now` gives Unix seconds.
    """
    return {
        b"/v1/chat/completions": None,
        b"/chat/completions": None,
        b"/beta/chat/completions": None,
        b"/v1/completions": Completions(COMPLETIONS),
        b"/beta/completions": Completions(BETA_COMPLETIONS),
        b"/v1/text/generate": Completions(GENERATE),
        b"/v1/text/completion": Completions(COMPLETION),
        b"/anthropic/v1/messages": AnthropicMessages(frozenset(models)),
        b"/responses": Responses(now),
        b"/v1/responses": Responses(now),
    }


def call_routes(
    pipeline: Pipeline, streaming: Mapping[bytes, Dialect | None]
) -> dict[bytes, tuple[Handler, int]]:
    """All `POST` routes; `streaming` are those that can stream."""
    anthropic = streaming[b"/anthropic/v1/messages"]
    assert anthropic is not None
    handlers: dict[bytes, Handler] = {
        b"/v1/chat/completions": pipeline.chat,
        b"/chat/completions": pipeline.chat,
        b"/beta/chat/completions": pipeline.beta_chat,
        b"/anthropic/v1/messages/count_tokens": partial(
            pipeline.counted, dialect=anthropic, count=count_tokens
        ),
    }
    for path, dialect in streaming.items():
        if dialect is not None:
            handlers[path] = partial(pipeline.translated, dialect=dialect)
    scoped = {path: (handler, _CHAT) for path, handler in handlers.items()}
    for path in (b"/v1/embeddings", b"/embeddings"):
        scoped[path] = (pipeline.embeddings, _EMBEDDINGS)
    return scoped
