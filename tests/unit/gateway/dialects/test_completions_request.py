"""What a completion request becomes: every field of the published descriptions, and each thing that is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.gateway.dialects.completions import BETA_COMPLETIONS, COMPLETIONS, Completions
from abyssal.gateway.dialects.completions_request import MOST_ECHOED, CompletionRequest, Route
from abyssal.gateway.dialects.dialect import Reading
from abyssal.gateway.dialects.text import COMPLETION, GENERATE
from abyssal.wire.chat_request import parse_chat_request
from abyssal.wire.errors import BadRequestError

HI = [{"role": "user", "content": "hi"}]
ROUTES = {"v1": COMPLETIONS, "beta": BETA_COMPLETIONS, "generate": GENERATE, "completion": COMPLETION}
LEAST: dict[str, Any] = {"model": "m", "prompt": "hi"}


def read(route: Route = COMPLETIONS, **fields: Any) -> Reading:
    return Completions(route).read(json.dumps(fields).encode())


def asked(route: Route = COMPLETIONS, **fields: Any) -> dict[str, Any]:
    """The chat request, which the gateway's own reader must take."""
    body = read(route, **fields).body
    parse_chat_request(body)
    return json.loads(body)


SAME = {
    "max_tokens": 7,
    "temperature": 0.25,
    "top_p": 0.5,
    "n": 2,
    "stop": ["\n", "###"],
    "seed": 5,
    "stream": True,
    "stream_options": {"include_usage": True},
    "frequency_penalty": -1.5,
    "presence_penalty": 2,
    "logit_bias": {"50256": -100},
    "thinking": {"type": "disabled"},
    "reasoning_effort": "low",
    "user": "ada",
    "user_id": "u-1",
}


def test_what_both_formats_know_travels_as_it_is() -> None:
    assert asked(**LEAST, **SAME) == {"model": "m", "messages": HI, **SAME}


def test_each_field_that_is_read_is_in_a_test() -> None:
    own = {"prompt", "model", "suffix", "echo", "logprobs", "best_of", "language", "context_window"}
    assert own | {"conversation_id"} | set(SAME) == set(CompletionRequest.__struct_fields__)


@pytest.mark.parametrize(
    ("route", "defaults"),
    [
        (COMPLETIONS, {"temperature": 0.7}),
        (BETA_COMPLETIONS, {}),
        (GENERATE, {"max_tokens": 2048}),
        (COMPLETION, {"temperature": 0.7}),
    ],
)
@pytest.mark.parametrize("null", [{}, {"temperature": None, "max_tokens": None, "stop": None}])
def test_a_route_s_defaults(route: Route, defaults: dict[str, Any], null: dict[str, Any]) -> None:
    assert asked(route, **LEAST, **null) == {"model": "m", "messages": HI, **defaults}


@pytest.mark.parametrize("route", [GENERATE, COMPLETION])
def test_a_text_route_has_a_model_of_its_own(route: Route) -> None:
    assert asked(route, prompt="hi")["model"] == "deepseek-chat"
    assert asked(route, prompt="hi", model="deepseek-chat-7b")["model"] == "deepseek-chat-7b"


@pytest.mark.parametrize("prompt", ["hi", ["hi"]])
def test_a_prompt_is_a_text_or_a_list_of_one(prompt: Any) -> None:
    assert asked(model="m", prompt=prompt)["messages"] == HI


def test_an_empty_prompt_is_one() -> None:
    assert asked(model="m", prompt="")["messages"] == [{"role": "user", "content": ""}]


@pytest.mark.parametrize(("count", "top"), [(0, 1), (1, 1), (20, 20)])
def test_logprobs_are_asked_with_their_rivals(count: int, top: int) -> None:
    chat = asked(**LEAST, logprobs=count)
    assert (chat["logprobs"], chat["top_logprobs"]) == (True, top)


@pytest.mark.parametrize(
    "more",
    [
        {"best_of": 1},
        {"best_of": None},
        {"echo": True},
        {"suffix": ""},
        {"suffix": None},
        {"top_k": 5, "cache": True, "experiment": "a", "user-agent": {"x": [1]}},
    ],
)
def test_what_changes_nothing_in_the_chat_request(more: dict[str, Any]) -> None:
    assert asked(**LEAST, **more) == asked(**LEAST)


@pytest.mark.parametrize(
    "own",
    [{"conversation_id": "conv_1"}, {"context_window": 8192}, {"language": "zh-CN"}, {"language": None}],
)
def test_what_the_platform_composes_by_travels_on_to_it(own: dict[str, Any]) -> None:
    assert asked(**LEAST, **own) == asked(**LEAST) | own


@pytest.mark.parametrize(
    ("route", "fields", "expected"),
    [
        (COMPLETIONS, {}, (None, "")),
        (COMPLETIONS, {"echo": True}, (None, "")),
        (COMPLETIONS, {"logprobs": 1}, (None, "")),
        (COMPLETIONS, {"suffix": "x"}, ("completions", "suffix")),
        (COMPLETIONS, {"echo": True, "logprobs": 0}, ("completions", "logprobs")),
        (BETA_COMPLETIONS, {}, ("completions", "")),
        (BETA_COMPLETIONS, {"suffix": "x", "echo": True, "logprobs": 2}, ("completions", "suffix")),
        (GENERATE, {"echo": True}, (None, "")),
    ],
)
def test_when_an_upstream_s_own_route_is_asked(route: Route, fields: dict[str, Any], expected: Any) -> None:
    reading = read(route, **LEAST, **fields)
    assert (reading.route, reading.only) == expected


WRONG: dict[str, tuple[bytes, str | None, str, str]] = {
    "not JSON": (b"{", None, "invalid_json", "The body is not JSON: "),
    "not an object": (b"[1]", None, "invalid_json", "The body must be a JSON object: "),
    "empty": (b"", None, "invalid_json", "The body is not JSON: "),
    "not UTF-8": (b'{"model":"m","prompt":"\xff"}', None, "invalid_utf8", "The body is not UTF-8: byte 23"),
    "too deep": (b'{"prompt":"x","model":"m","x":' + b"[" * 200 + b"]" * 200 + b"}", None, "nested_too_deeply", ""),
    "no prompt": (b'{"model":"m"}', "prompt", "missing_field", '"prompt" is missing; it is required.'),
    "no model": (b'{"prompt":"x"}', "model", "missing_field", '"model" is missing; it is required.'),
    "null prompt": (b'{"model":"m","prompt":null}', "prompt", "invalid_value", '"prompt": expected `str | array`'),
    "a number as prompt": (b'{"model":"m","prompt":5}', "prompt", "invalid_value", '"prompt": expected'),
    "messages": (b'{"model":"m","messages":[]}', "prompt", "missing_field", '"prompt" is missing'),
    "two prompts": (
        b'{"model":"m","prompt":["a","b"]}', "prompt", "unsupported_value", '"prompt": 2 prompts in one request',
    ),
    "tokens": (b'{"model":"m","prompt":[1,2]}', "prompt", "unsupported_value", '"prompt": tokens are not taken'),
    "lists of tokens": (
        b'{"model":"m","prompt":[[1,2]]}', "prompt", "unsupported_value", '"prompt": tokens are not taken',
    ),
    "no prompts": (b'{"model":"m","prompt":[]}', "prompt", "unsupported_value", '"prompt": a prompt is a string'),
    "a mixed prompt": (b'{"model":"m","prompt":["a",1]}', "prompt", "unsupported_value", '"prompt": a prompt is'),
    "best of two": (
        b'{"model":"m","prompt":"x","best_of":2}', "best_of", "unsupported_parameter",
        '"best_of": 2 is not taken here; leave it out, or ask for "n" answers.',
    ),
    "best of words": (b'{"model":"m","prompt":"x","best_of":"2"}', "best_of", "invalid_value", '"best_of": expected'),
    "logprobs of the chat": (
        b'{"model":"m","prompt":"x","logprobs":true}', "logprobs", "invalid_value", '"logprobs": expected `int | null`',
    ),
    "too many logprobs": (
        b'{"model":"m","prompt":"x","logprobs":21}', "logprobs", "invalid_value", '"logprobs": expected `int` <= 20.',
    ),
    "negative logprobs": (b'{"model":"m","prompt":"x","logprobs":-1}', "logprobs", "invalid_value", '"logprobs": '),
    "an echo that is none": (b'{"model":"m","prompt":"x","echo":1}', "echo", "invalid_value", '"echo": expected'),
    "a suffix that is none": (b'{"model":"m","prompt":"x","suffix":[]}', "suffix", "invalid_value", '"suffix": '),
    "a key twice": (b'{"model":"m","prompt":"x","prompt":"y"}', "prompt", "duplicate_key", 'The key "prompt" is amb'),
    "a key in disguise": (b'{"model":"m","prompt":"x","Model":"y"}', "model", "duplicate_key", 'The key "model" is'),
}  # fmt: skip


@pytest.mark.parametrize(("body", "param", "code", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_by_name(body: bytes, param: str | None, code: str, message: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        Completions().read(body)
    assert (refused.value.param, refused.value.code) == (param, code)
    assert refused.value.message.startswith(message)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", 5),
        ("model", ""),
        ("max_tokens", 0),
        ("max_tokens", "many"),
        ("temperature", 2.5),
        ("temperature", "hot"),
        ("top_p", 0),
        ("n", 0),
        ("stop", ["x"] * 17),
        ("stop", 5),
        ("seed", "x"),
        ("stream", "yes"),
        ("stream_options", {"include_usage": True}),
        ("stream_options", []),
        ("frequency_penalty", 3),
        ("presence_penalty", -3),
        ("logit_bias", {"1": 200}),
        ("thinking", "on"),
        ("reasoning_effort", "some"),
        ("user_id", "x" * 513),
    ],
)
def test_a_range_is_checked_where_every_chat_s_is_under_the_name_that_the_client_wrote(
    field: str, value: Any
) -> None:
    with pytest.raises(BadRequestError) as refused:
        parse_chat_request(read(**LEAST | {field: value}).body)
    assert str(refused.value.param).startswith(field)


@pytest.mark.parametrize("temperature", [0, 0.05, 1.01, 2, -1])
def test_generate_has_a_narrower_temperature(temperature: float) -> None:
    with pytest.raises(BadRequestError) as refused:
        read(GENERATE, prompt="x", temperature=temperature)
    assert (refused.value.param, refused.value.code) == ("temperature", "invalid_value")
    assert refused.value.message == f'"temperature": {temperature} is not between 0.1 and 1.0.'


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1, 1.0])
def test_generate_takes_its_own_range(temperature: float) -> None:
    assert asked(GENERATE, prompt="x", temperature=temperature)["temperature"] == temperature


@pytest.mark.parametrize(
    ("fields", "param"), [({"suffix": "x"}, "suffix"), ({"echo": True, "logprobs": 1}, "logprobs")]
)
@pytest.mark.parametrize("route", [GENERATE, COMPLETION])
def test_a_text_route_fills_in_nothing(route: Route, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        read(route, prompt="x", **fields)
    assert (refused.value.param, refused.value.code) == (param, "unsupported_parameter")
    assert "/v1/completions" in refused.value.message


def test_a_small_request_makes_no_huge_answer() -> None:
    prompt = "x" * (MOST_ECHOED // 127)
    assert read(model="m", prompt=prompt, echo=True, n=128).body
    assert read(model="m", prompt=prompt * 127, echo=True).body
    with pytest.raises(BadRequestError) as refused:
        read(model="m", prompt=prompt + "x", echo=True, n=128)
    assert (refused.value.param, refused.value.code) == ("echo", "invalid_value")


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(CompletionRequest.__struct_fields__), ANY), st.sampled_from(list(ROUTES))
)
def test_whatever_comes_is_a_chat_request_or_a_refusal(fields: dict[str, Any], route: str) -> None:
    param = None
    try:
        parse_chat_request(read(ROUTES[route], **{"model": "m", "prompt": "x"} | fields).body)
    except BadRequestError as error:
        param = error.param
    assert param is None or param.split(".")[0].split("[")[0] in fields
