"""Completions: `/v1/completions` is asked as a chat, `/beta/completions` of an upstream's own route.

An upstream that has no such route is asked as a chat; what a chat cannot say, such as a `suffix`, goes to the
own route from either.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from abyssal.gateway.dialects.completions_request import (
    Route,
    beyond_chat,
    chat_request,
    parse_completion_request,
    wants_usage,
)
from abyssal.gateway.dialects.completions_writer import CompletionWriter, in_prompt_s_words
from abyssal.gateway.dialects.dialect import Reading
from abyssal.wire.errors import ErrorBody, ErrorObject

COMPLETIONS = Route(temperature=0.7, native="needed")
BETA_COMPLETIONS = Route(native="always")


class Completions:
    """The dialect of one route."""

    id_field = b""

    def __init__(self, route: Route = COMPLETIONS) -> None:
        self._route = route

    def read(self, body: bytes) -> Reading:
        """A completion request as a chat request, and whether an upstream may take it as it is."""
        request = parse_completion_request(body)
        chat = chat_request(request, self._route)
        assert isinstance(request.prompt, str)
        writer = CompletionWriter(
            str(request.model or self._route.model),
            prompt=request.prompt if request.echo else "",
            rivals=request.logprobs or 0,
            usage=wants_usage(request),
            conversation=request.conversation_id or (None if self._route.tells_conversation else UNSET),
        )
        only = beyond_chat(request, self._route)
        native = self._route.native == "always" or only
        return Reading(chat, writer, "completions" if native else None, only)

    def refusal(self, status: int, error: ErrorObject) -> bytes:
        """An error object as everywhere, its `param` in this format's words."""
        return msgspec.json.encode(ErrorBody(in_prompt_s_words(error)))
