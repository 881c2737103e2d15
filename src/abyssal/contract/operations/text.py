"""Chat, completions, the text routes, embeddings, and the models that they can be asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from abyssal.contract.answers import Vectors
from abyssal.contract.operation import EVENTS, JSON, PROTOBUF, Answer, Body, Operation, Parameter
from abyssal.gateway.dialects.completions_request import CompletionRequest
from abyssal.gateway.dialects.completions_writer import TextCompletion
from abyssal.wire.chat import ChatCompletion, ChatCompletionChunk, Model, ModelList
from abyssal.wire.chat_request import ChatRequest
from abyssal.wire.embedding_request import EmbeddingRequest

CALL_ERRORS = (404, 408, 413, 415, 429, 502, 504)
"""What a call of a model can end with, beside what every operation can."""

RESUMING = (
    Parameter("x-abyssal-resumable", "header", "`1`: events have ids, and a lost stream can be resumed."),
    Parameter(
        "Last-Event-ID",
        "header",
        "Go on after this event of an earlier stream, by `POST` or `GET`; the body is not looked at. With "
        "`DELETE`, end that stream.",
    ),
)
"""What routes that can stream take of resuming."""

CONVERSATION = Parameter(
    "x-abyssal-conversation",
    "header",
    "`no-wait`: 409 when another call is at work in the conversation; absent: wait for it.",
)
STRICT = Parameter(
    "x-abyssal-strict",
    "header",
    "`1`: a parameter that the upstream would ignore is refused by name.",
    Literal["0", "1"],
)


def _message(name: str, *, streams: bool = False) -> Body:
    """A body in Protobuf: the message called `name`."""
    events = "; with `stream: true` many a `StreamEvent`, each after its length" if streams else ""
    return Body(PROTOBUF, says=f"The message `{name}` of `/v1/schema.proto`{events}.")


_CHAT_ANSWER = Answer(
    "The answer; with `stream: true` its events, and `data: [DONE]` at the end.",
    (
        Body(JSON, ChatCompletion),
        Body(EVENTS, ChatCompletionChunk),
        _message("ChatCompletion", streams=True),
    ),
)
_TEXT_ANSWER = Answer(
    "The text; with `stream: true` its events, and `data: [DONE]` at the end.",
    (Body(JSON, TextCompletion), Body(EVENTS, TextCompletion), _message("Completion", streams=True)),
)
_ASKED = {
    "model": "deepseek-chat",
    "messages": [{"role": "user", "content": "Say hello."}],
    "max_tokens": 16,
}


def _chat() -> Iterator[Operation]:
    for path, name, says in (
        ("/v1/chat/completions", "createChatCompletion", ""),
        ("/chat/completions", "createChatCompletionShort", "The same as `/v1/chat/completions`."),
        (
            "/beta/chat/completions",
            "createBetaChatCompletion",
            "The same, on the upstream's beta route where it has one: the last message may be an assistant's "
            "with `prefix: true`, which the answer goes on from, and functions may be strict.",
        ),
    ):
        yield Operation(
            id=name,
            method="POST",
            path=path,
            tag="Chat",
            summary="Chat" if not says else "Chat, short address" if path[1] == "c" else "Chat, beta",
            says=says
            or "The body goes to the upstream as it came, except for the model's name where the model table "
            "has another. Keys that are not in the table of fields are the upstream's matter.",
            scope="chat",
            parameters=(*RESUMING, STRICT, CONVERSATION),
            bodies=(Body(JSON, ChatRequest), _message("ChatRequest")),
            answers=(_CHAT_ANSWER,),
            errors=(*CALL_ERRORS, 409),
            example=_ASKED,
            python="client.chat.completions.create("
            'model="deepseek-chat", messages=[{"role": "user", "content": "Say hello."}], max_tokens=16)'
            if path == "/v1/chat/completions"
            else "",
        )


def _text() -> Iterator[Operation]:
    for path, name, summary, says, python in (
        (
            "/v1/completions",
            "createCompletion",
            "Complete a text",
            "Asked as a chat. With `suffix`, the middle is filled in, where the upstream or the engine's "
            "model can.",
            'client.completions.create(model="deepseek-chat", prompt="Once upon a time", max_tokens=16)',
        ),
        (
            "/beta/completions",
            "createBetaCompletion",
            "Complete a text, beta",
            "Asked of the upstream's own completions route, where it has one.",
            "",
        ),
        (
            "/v1/text/generate",
            "generateText",
            "Generate a text",
            "`model` is `deepseek-chat` unless named, `temperature` 0.1 to 1.0, `max_tokens` 2048.",
            'client.text.generate("Once upon a time", max_tokens=16)',
        ),
        (
            "/v1/text/completion",
            "completeText",
            "Complete a text in a language",
            "`model` is `deepseek-chat` unless named, `temperature` 0.7.",
            'client.text.complete("Once upon a time", max_tokens=16)',
        ),
    ):
        yield Operation(
            id=name,
            method="POST",
            path=path,
            tag="Text",
            summary=summary,
            says=says,
            scope="chat",
            parameters=(*RESUMING, CONVERSATION),
            bodies=(Body(JSON, CompletionRequest), _message("CompletionRequest")),
            answers=(_TEXT_ANSWER,),
            errors=(*CALL_ERRORS, 409),
            example=({"model": "deepseek-chat"} if path.endswith("completions") else {})
            | {"prompt": "Once upon a time", "max_tokens": 16},
            python=python,
        )


def _embeddings() -> Iterator[Operation]:
    for path, end in (("/v1/embeddings", ""), ("/embeddings", "Short")):
        yield Operation(
            id=f"createEmbeddings{end}",
            method="POST",
            path=path,
            tag="Embeddings",
            summary="Embed texts, short address" if end else "Embed texts",
            says="The same as `/v1/embeddings`."
            if end
            else "A vector for each input. A model whose upstream has no embeddings is refused with "
            "`no_embeddings`.",
            scope="embeddings",
            bodies=(Body(JSON, EmbeddingRequest), _message("EmbeddingRequest")),
            answers=(
                Answer(
                    "The vectors. With `encoding_format: base64` each is text: little-endian float32.",
                    (Body(JSON, Vectors), _message("EmbeddingList")),
                ),
            ),
            errors=CALL_ERRORS,
            example={"model": "abyssal-tiny", "input": ["Say hello.", "Say goodbye."]},
            python=""
            if end
            else 'client.embeddings.create(model="abyssal-tiny", input=["Say hello.", "Say goodbye."])',
        )


def _models() -> Iterator[Operation]:
    for prefix, end in (("/v1", ""), ("", "Short")):
        yield Operation(
            id=f"listModels{end}",
            method="GET",
            path=f"{prefix}/models",
            tag="Models",
            summary="List models, short address" if end else "List models",
            says="The same as `/v1/models`." if end else "The names that the credential may use.",
            scope="",
            answers=(Answer("The list.", (Body(JSON, ModelList),)),),
            python="" if end else "client.models.list()",
        )
        yield Operation(
            id=f"showModel{end}",
            method="GET",
            path=f"{prefix}/models/{{model}}",
            tag="Models",
            summary="Show a model, short address" if end else "Show a model",
            says="The same as `/v1/models/{model}`." if end else "",
            scope="",
            parameters=(
                Parameter("model", "path", "Its name; a `/` in it may be written `%2F`.", required=True),
            ),
            answers=(Answer("The model.", (Body(JSON, Model),)),),
            errors=(404,),
            names=(("model", "MODEL"),),
        )


TEXT: tuple[Operation, ...] = (*_chat(), *_text(), *_embeddings(), *_models())
