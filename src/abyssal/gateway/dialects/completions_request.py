"""The request of a completion: a prompt and what to do with it, read into the official chat request.

1. The prompt becomes one message of the user. What both formats call the same travels on and is checked
   where every chat request is (`wire.chat_request`).
2. What a chat cannot say is refused by name: several prompts, prompts of tokens, `best_of`.
3. `suffix`, and `echo` with `logprobs`, are what only an upstream with a completions route knows.

Source: DeepSeek API, "Create FIM Completion"; OpenAI's "Create completion" for what that leaves open; the
platform's specification, section 2.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NoReturn

import msgspec
from msgspec import UNSET, Meta

from abyssal.wire.chat_request import StreamOptions
from abyssal.wire.errors import BadRequestError
from abyssal.wire.guard import KeyGuard, check_text

MOST_ECHOED = 1_000_000
"""Characters by which repeating a prompt may make an answer longer than its request was."""


class CompletionRequest(msgspec.Struct):
    """A completion request; what is `Any` is the chat reader's to check. Unknown keys are passed over."""

    prompt: str | list[Any]
    model: Any = None
    suffix: str | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    best_of: int | None = None
    language: Any = UNSET
    context_window: Any = UNSET
    conversation_id: Any = UNSET
    max_tokens: Any = None
    temperature: Any = None
    top_p: Any = None
    n: Any = None
    stop: Any = None
    seed: Any = None
    stream: Any = None
    stream_options: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    logit_bias: Any = None
    thinking: Any = None
    reasoning_effort: Any = None
    user: Any = None
    user_id: Any = None


class Route(msgspec.Struct, frozen=True):
    """What the routes of this format differ in.

    A `model` or value of "" or None has no default. `temperatures` is the range that the route takes, within
    the chat's own. `native` is when an upstream's completions route is asked, which must be sent a body of
    the same shape: always where there is one, or only for what a chat cannot say. `tells_conversation`: every
    answer has a `conversation_id`, null for none.
    """

    model: str = ""
    temperature: float | None = None
    temperatures: tuple[float, float] | None = None
    max_tokens: int | None = None
    native: Literal["never", "needed", "always"] = "never"
    tells_conversation: bool = False


class _Said(msgspec.Struct):
    role: str
    content: str


class _ChatRequest(msgspec.Struct, omit_defaults=True):
    """The official chat request, as far as a completion request reaches."""

    model: Any
    messages: list[_Said]
    max_tokens: Any = None
    temperature: Any = None
    top_p: Any = None
    n: Any = None
    stop: Any = None
    seed: Any = None
    stream: Any = None
    stream_options: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: Any = None
    thinking: Any = None
    reasoning_effort: Any = None
    user: Any = None
    user_id: Any = None
    language: Any = UNSET
    context_window: Any = UNSET
    conversation_id: Any = UNSET


_decoder = msgspec.json.Decoder(CompletionRequest)
_guard = KeyGuard(CompletionRequest.__struct_fields__)
_encode = msgspec.json.Encoder().encode


def parse_completion_request(body: bytes) -> CompletionRequest:
    """The request in `body` (JSON bytes), its `prompt` a string. Raises BadRequestError."""
    check_text(body)
    try:
        request = _decoder.decode(body)
    except msgspec.ValidationError as error:
        _refuse(str(error))
    except msgspec.DecodeError as error:
        raise BadRequestError(
            f"The body is not JSON: {error}; send one JSON object.", code="invalid_json"
        ) from None
    except RecursionError:
        raise BadRequestError("The body nests too deeply; flatten it.", code="nested_too_deeply") from None
    _guard.check(body)
    request.prompt = _one_prompt(request.prompt)
    if request.best_of not in (None, 1):
        raise BadRequestError(
            f'"best_of": {request.best_of} is not taken here; leave it out, or ask for "n" answers.',
            param="best_of",
            code="unsupported_parameter",
        )
    if request.echo and isinstance(request.n, int) and len(request.prompt) * (request.n - 1) > MOST_ECHOED:
        raise BadRequestError(
            f'"echo": a prompt of {len(request.prompt)} characters is too long to be repeated {request.n} '
            "times; leave echo out.",
            param="echo",
            code="invalid_value",
        )
    return request


def chat_request(request: CompletionRequest, route: Route) -> bytes:
    """The official chat request for `request`, JSON, with the defaults of `route`. Raises BadRequestError."""
    model = route.model or None if request.model is None else request.model
    if model is None:
        raise BadRequestError('"model" is missing; it is required.', param="model", code="missing_field")
    temperature = route.temperature if request.temperature is None else request.temperature
    if route.temperatures is not None and isinstance(temperature, int | float):
        least, most = route.temperatures
        if not least <= temperature <= most:
            raise BadRequestError(
                f'"temperature": {temperature} is not between {least} and {most}.',
                param="temperature",
                code="invalid_value",
            )
    assert isinstance(request.prompt, str)
    return _encode(
        _ChatRequest(
            model,
            [_Said("user", request.prompt)],
            route.max_tokens if request.max_tokens is None else request.max_tokens,
            temperature,
            request.top_p,
            request.n,
            request.stop,
            request.seed,
            request.stream,
            request.stream_options,
            request.frequency_penalty,
            request.presence_penalty,
            None if request.logprobs is None else True,
            None if request.logprobs is None else max(1, request.logprobs),  # some give none at all for 0
            request.logit_bias,
            request.thinking,
            request.reasoning_effort,
            request.user,
            request.user_id,
            request.language,
            request.context_window,
            request.conversation_id,
        )
    )


def beyond_chat(request: CompletionRequest, route: Route) -> str:
    """The parameter of `request` that no chat request can say, "" when there is none.

    Raises BadRequestError where there is one and `route` goes no other way.
    """
    only = "suffix" if request.suffix else ""
    if not only and request.echo and request.logprobs is not None:
        only = "logprobs"  # of the prompt's tokens
    if only and route.native == "never":
        how = '"suffix"' if only == "suffix" else '"logprobs" with "echo"'
        raise BadRequestError(
            f"{how} is not taken on this route; leave it out, or ask /v1/completions.",
            param=only,
            code="unsupported_parameter",
        )
    return only


def wants_usage(request: CompletionRequest) -> bool:
    """Whether every chunk of the stream shall have a `usage`; wrong types are refused elsewhere."""
    try:
        options = msgspec.convert(request.stream_options, StreamOptions | None)
    except msgspec.ValidationError:
        return False
    return options is not None and bool(options.include_usage)


def _one_prompt(prompt: str | list[Any]) -> str:
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1 and isinstance(prompt[0], str):
        return prompt[0]
    if prompt and all(isinstance(item, str) for item in prompt):
        problem = f"{len(prompt)} prompts in one request are not taken; send a request for each"
    elif prompt and all(isinstance(item, int | list) for item in prompt):
        problem = "tokens are not taken as a prompt, since models differ in theirs; send text"
    else:
        problem = "a prompt is a string, or a list of one string"
    raise BadRequestError(f'"prompt": {problem}.', param="prompt", code="unsupported_value")


def _refuse(text: str) -> NoReturn:
    problem, _, place = text.partition(" - at `$.")
    path = place.rstrip("`")
    if "missing required field" in problem:
        raise BadRequestError('"prompt" is missing; it is required.', param="prompt", code="missing_field")
    if not path:
        raise BadRequestError(f"The body must be a JSON object: {problem}.", code="invalid_json")
    raise BadRequestError(f'"{path}": {problem[0].lower()}{problem[1:]}.', param=path, code="invalid_value")
