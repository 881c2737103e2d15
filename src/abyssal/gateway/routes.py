"""The routes of the fast lane that answer with a model: path, handler, and the scope that is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from abyssal.gateway.dialects.anthropic import AnthropicMessages
from abyssal.gateway.dialects.anthropic_tokens import count_tokens
from abyssal.gateway.dialects.completions import BETA_COMPLETIONS, COMPLETIONS, Completions
from abyssal.gateway.dialects.dialect import Dialect
from abyssal.gateway.dialects.responses import Responses
from abyssal.gateway.dialects.sockets.session import Session, Stages
from abyssal.gateway.dialects.text import COMPLETION, DEFAULT_MODEL, GENERATE
from abyssal.gateway.exchange import Exchange, RequestHead
from abyssal.gateway.front.websocket import WebSocketConnection
from abyssal.gateway.pipeline import Pipeline
from abyssal.stores.rights import BITS

Handler = Callable[[Exchange], None]
_CHAT = BITS["chat"]


def sockets(
    pipeline: Pipeline, call: Callable[[Exchange, Dialect], None]
) -> dict[bytes, Callable[[WebSocketConnection, RequestHead], Session]]:
    """The WebSockets; `call` takes each request of one."""
    return {
        b"/v1/stream": partial(Session, Stages(pipeline.identified, call, _CHAT)),
        b"/v1/chat/stream": partial(Session, Stages(pipeline.identified, call, _CHAT, DEFAULT_MODEL)),
    }


def call_routes(pipeline: Pipeline, models: Iterable[str]) -> dict[bytes, tuple[Handler, int]]:
    """All `POST` routes. `models` are the names of the model table, which no format renames."""
    anthropic = AnthropicMessages(frozenset(models))
    dialects = {
        b"/v1/completions": Completions(COMPLETIONS),
        b"/beta/completions": Completions(BETA_COMPLETIONS),
        b"/v1/text/generate": Completions(GENERATE),
        b"/v1/text/completion": Completions(COMPLETION),
        b"/anthropic/v1/messages": anthropic,
        b"/responses": Responses(),
        b"/v1/responses": Responses(),
    }
    handlers: dict[bytes, Handler] = {
        b"/v1/chat/completions": pipeline.chat,
        b"/chat/completions": pipeline.chat,
        b"/beta/chat/completions": pipeline.beta_chat,
        b"/anthropic/v1/messages/count_tokens": partial(
            pipeline.counted, dialect=anthropic, count=count_tokens
        ),
    }
    for path, dialect in dialects.items():
        handlers[path] = partial(pipeline.translated, dialect=dialect)
    return {path: (handler, _CHAT) for path, handler in handlers.items()}
