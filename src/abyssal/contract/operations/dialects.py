"""Other formats of a chat: Anthropic's Messages and OpenAI's Responses."""

from __future__ import annotations

from collections.abc import Iterator

from abyssal.contract.answers import (
    AnthropicAnswer,
    AnthropicErrorBody,
    AnthropicEvent,
    Response,
    ResponseEvent,
    TokenCount,
)
from abyssal.contract.operation import EVENTS, JSON, Answer, Body, Operation, Parameter
from abyssal.contract.operations.text import CALL_ERRORS, RESUMING
from abyssal.gateway.dialects.anthropic_request import MessagesRequest, Prompt
from abyssal.gateway.dialects.responses_request import ResponsesRequest

_VERSION = Parameter("anthropic-version", "header", "Taken, and nothing depends on it.")
_ASKED = {
    "model": "deepseek-chat",
    "max_tokens": 16,
    "messages": [{"role": "user", "content": "Say hello."}],
}


def _anthropic() -> Iterator[Operation]:
    yield Operation(
        id="createMessage",
        method="POST",
        path="/anthropic/v1/messages",
        tag="Anthropic",
        summary="Create a message",
        says="What the published API has and nothing here can act on (`top_k`, `cache_control`, betas) is "
        "passed over. Credentials may come as `x-api-key`.",
        scope="chat",
        parameters=(_VERSION, *RESUMING),
        bodies=(Body(JSON, MessagesRequest),),
        answers=(
            Answer(
                "The message; with `stream: true` its events, the last of them `message_stop`.",
                (Body(JSON, AnthropicAnswer), Body(EVENTS, AnthropicEvent)),
            ),
        ),
        errors=CALL_ERRORS,
        error=AnthropicErrorBody,
        example=_ASKED,
    )
    yield Operation(
        id="countTokens",
        method="POST",
        path="/anthropic/v1/messages/count_tokens",
        tag="Anthropic",
        summary="Count a message's tokens",
        says="An estimate, made without asking any upstream.",
        scope="chat",
        parameters=(_VERSION,),
        bodies=(Body(JSON, Prompt),),
        answers=(Answer("The estimate.", (Body(JSON, TokenCount),)),),
        errors=(404, 408, 413, 415, 429),
        error=AnthropicErrorBody,
        example={"model": "deepseek-chat", "messages": _ASKED["messages"]},
    )


def _responses() -> Iterator[Operation]:
    for path, name in (("/v1/responses", "createResponse"), ("/responses", "createResponseShort")):
        short = name.endswith("Short")
        yield Operation(
            id=name,
            method="POST",
            path=path,
            tag="Responses",
            summary="Create a response, short address" if short else "Create a response",
            says="The same as `/v1/responses`."
            if short
            else "Nothing is stored: send the whole conversation as `input`. Its tools are functions.",
            scope="chat",
            parameters=RESUMING,
            bodies=(Body(JSON, ResponsesRequest),),
            answers=(
                Answer(
                    "The response; with `stream: true` its events, the last of them `response.completed`, "
                    "`response.incomplete` or `response.failed`.",
                    (Body(JSON, Response), Body(EVENTS, ResponseEvent)),
                ),
            ),
            errors=CALL_ERRORS,
            example={"model": "deepseek-chat", "input": "Say hello.", "max_output_tokens": 16},
        )


DIALECTS: tuple[Operation, ...] = (*_anthropic(), *_responses())
