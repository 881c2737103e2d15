"""Where each kind of call goes, below whatever base URL was given.

Rules:
 1. Most routes follow the base URL: with `https://host/v1`, `/models` is `https://host/v1/models`.
 2. Routes that services have below `/v1` alone go there too when the base URL has no path.
 3. `/beta` stands beside `/v1` (DeepSeek API, "FIM Completion"): the base URL's `/v1` gives way to it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from abyssal.client.settings import BaseUrl


class Route(NamedTuple):
    """One route; `below` names the rule by which its `path` is placed, `form` its messages in Protobuf."""

    method: str
    path: str
    below: Literal["base", "v1", "beta"] = "v1"
    form: str = ""


CHAT = Route("POST", "/chat/completions", "base", "chat")
MODELS = Route("GET", "/models", "base")
COMPLETIONS = Route("POST", "/completions", form="completions")
BETA_COMPLETIONS = Route("POST", "/completions", "beta", "completions")
TEXT_GENERATE = Route("POST", "/text/generate", form="completions")
TEXT_COMPLETION = Route("POST", "/text/completion", form="completions")
EMBEDDINGS = Route("POST", "/embeddings", form="embeddings")
SOCKET = Route("GET", "/stream")
NEW_CONVERSATION = Route("POST", "/conversations")
CONVERSATIONS = CONVERSATION = Route("GET", "/conversations")
DELETE_CONVERSATIONS = Route("DELETE", "/conversations")
UPLOAD = Route("POST", "/files", "base")
FILES = Route("GET", "/files", "base")
DELETE_FILE = Route("DELETE", "/files", "base")
CHAT_SOCKET = Route("GET", "/chat/stream")


def placed(base: BaseUrl, route: Route) -> BaseUrl:
    """The base URL that `route.path` is to be put behind."""
    if route.below == "v1" and not base.path:
        return msgspec.structs.replace(base, path="/v1")
    if route.below == "beta" and not base.path.endswith("/beta"):
        return msgspec.structs.replace(base, path=f"{base.path.removesuffix('/v1')}/beta")
    return base
