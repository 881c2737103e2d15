"""The parameters of a chat on the embedded engine: each does what it says, or is refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from abyssal.engine.bundled import bundled_path
from abyssal.testing import RunningServer, ScriptedUpstream, WireResponse

from .calls import Gateway, body, chunks, text_of

pytestmark = pytest.mark.skipif(not bundled_path().exists(), reason="the bundled model is not made yet")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The platform as it starts without a configuration."""
    with RunningServer(None, tmp_path_factory.mktemp("embedded")) as server, ScriptedUpstream() as unused:
        yield Gateway(server, unused)


def answer(
    gateway: Gateway, said: str = "Tell me a story.", headers: tuple[str, ...] = (), **fields: Any
) -> WireResponse:
    fields = {"max_tokens": 16, "temperature": 0} | fields
    return gateway.ask(body("abyssal-tiny", said, **fields), headers=headers)


def text(gateway: Gateway, **fields: Any) -> str:
    got = answer(gateway, **fields)
    assert got.status == 200, got.body
    return got.json()["choices"][0]["message"]["content"]


def token_of(gateway: Gateway, word: str) -> str:
    """The id of a token, found as a client finds one who has no tokenizer: by what a bias brings about."""
    for token in range(600, 700):
        if text(gateway, logit_bias={str(token): 100}, max_tokens=1) == word:
            return str(token)
    raise AssertionError(f"no token {word!r}")


def test_a_bias_forces_a_token_or_forbids_it(embedded: Gateway) -> None:
    once = text(embedded, max_tokens=1)
    token = token_of(embedded, once)
    assert text(embedded, logit_bias={token: 100}, max_tokens=3) == once * 3
    assert text(embedded, logit_bias={token: -100}, max_tokens=1) != once


@pytest.mark.parametrize("bias", [{"x": 1}, {"-1": 1}, {"1.5": 1}, {"": 1}, {"9" * 30: 1}])
def test_a_bias_of_no_token_is_refused(embedded: Gateway, bias: dict[str, int]) -> None:
    refused = answer(embedded, logit_bias=bias)
    assert (refused.status, refused.json()["error"]["param"]) == (400, "logit_bias")


@pytest.mark.parametrize(
    "stop", [" a", ["zzz", " a"], [*map(str, range(15)), " a"]], ids=["one", "two", "16"]
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_stop_cuts(embedded: Gateway, stop: Any, stream: bool) -> None:
    whole = text(embedded)
    assert " a" in whole
    got = answer(embedded, stop=stop, stream=stream)
    if stream:
        parts = chunks(got.body)
        cut, finish = text_of(parts), parts[-1]["choices"][0]["finish_reason"]
    else:
        choice = got.json()["choices"][0]
        cut, finish = choice["message"]["content"], choice["finish_reason"]
    assert (cut, finish) == (whole.partition(" a")[0], "stop")


def test_more_than_sixteen_stops_are_refused(embedded: Gateway) -> None:
    refused = answer(embedded, stop=list(map(str, range(17))))
    assert (refused.status, refused.json()["error"]["param"]) == (400, "stop")


@pytest.mark.parametrize("seed", [0, 1, 2**31, -7, 2**70])
def test_a_seed_repeats(embedded: Gateway, seed: int) -> None:
    drawn = [text(embedded, seed=seed, temperature=1.5) for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_without_a_seed_answers_differ(embedded: Gateway) -> None:
    assert len({text(embedded, temperature=1.5, max_tokens=24) for _ in range(6)}) > 1


def test_a_small_top_p_leaves_the_most_probable(embedded: Gateway) -> None:
    assert {text(embedded, temperature=1.5, top_p=0.01) for _ in range(4)} == {text(embedded)}


@pytest.mark.parametrize("penalty", ["frequency_penalty", "presence_penalty"])
def test_a_penalty_keeps_from_repeating(embedded: Gateway, penalty: str) -> None:
    token = token_of(embedded, text(embedded, max_tokens=1))
    asked: dict[str, Any] = {"logit_bias": {token: 30}, "max_tokens": 24}
    repeated = text(embedded, **asked).count(text(embedded, max_tokens=1))
    penalised = text(embedded, **asked, **{penalty: 2}).count(text(embedded, max_tokens=1))
    assert penalised < repeated if penalty == "frequency_penalty" else penalised <= repeated


TOP: list[tuple[dict[str, int], int]] = [({}, 0), ({"top_logprobs": 0}, 0), ({"top_logprobs": 3}, 3)]


@pytest.mark.parametrize(("fields", "top"), TOP)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_log_probabilities_are_in_the_official_shape(
    embedded: Gateway, fields: dict[str, int], top: int, stream: bool
) -> None:
    got = answer(embedded, logprobs=True, stream=stream, max_tokens=5, **fields)
    choices = (
        [choice for part in chunks(got.body) for choice in part["choices"]]
        if stream
        else got.json()["choices"]
    )
    tokens = [token for choice in choices for token in (choice.get("logprobs") or {}).get("content", ())]
    assert len(tokens) == 5
    for token in tokens:
        assert set(token) == {"token", "logprob", "bytes", "top_logprobs"}
        assert bytes(token["bytes"]).decode() == token["token"]
        assert token["logprob"] <= 0
        assert len(token["top_logprobs"]) == top
        assert all(set(other) == {"token", "logprob", "bytes"} for other in token["top_logprobs"])
    assert "".join(token["token"] for token in tokens) == text(embedded, max_tokens=5)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_several_answers_are_all_counted(embedded: Gateway, stream: bool) -> None:
    one = answer(embedded, max_tokens=6).json()["usage"]
    got = answer(embedded, n=3, max_tokens=6, temperature=1, stream=stream)
    if stream:
        parts = chunks(got.body)
        indices = {choice["index"] for part in parts for choice in part["choices"]}
        usage = parts[-1]["usage"]
    else:
        choices = got.json()["choices"]
        indices = {choice["index"] for choice in choices}
        assert all(choice.get("logprobs") is None for choice in choices)
        usage = got.json()["usage"]
    assert indices == {0, 1, 2}
    assert usage["completion_tokens"] == 3 * one["completion_tokens"]
    assert usage["total_tokens"] == one["prompt_tokens"] + usage["completion_tokens"]
    assert embedded.settlement(got)["completion_tokens"] == usage["completion_tokens"]


def test_more_answers_than_the_engine_has_slots_are_refused(embedded: Gateway) -> None:
    refused = answer(embedded, n=100)
    assert refused.status == 400
    assert "'n'" in refused.json()["error"]["message"]


STRICT: list[tuple[dict[str, Any], str | None]] = [
    ({"user_id": "u"}, "user_id"),
    ({"user": "u"}, "user"),
    ({"min_p": 0.5}, "min_p"),
    ({"grammar": "root ::= [a-z]"}, "grammar"),
    ({"seed": 1, "n": 2, "logit_bias": {"9": 1}, "stop": "x", "frequency_penalty": 1, "top_p": 0.5}, None),
]


@pytest.mark.parametrize(("fields", "refused"), STRICT)
def test_what_the_engine_would_ignore_is_refused_when_strictness_is_asked(
    embedded: Gateway, fields: dict[str, Any], refused: str | None
) -> None:
    assert answer(embedded, **fields).status == 200
    strict = answer(embedded, headers=("x-abyssal-strict: 1",), **fields)
    if refused is None:
        assert strict.status == 200
    else:
        error = strict.json()["error"]
        assert (strict.status, error["code"], error["param"]) == (400, "parameter_ignored", refused)


WEATHER = {
    "name": "get_weather",
    "description": "Get the weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_functions_in_the_older_form(embedded: Gateway, stream: bool) -> None:
    asked: dict[str, Any] = {
        "functions": [WEATHER],
        "function_call": {"name": "get_weather"},
        "max_tokens": 120,
    }
    got = answer(embedded, "What is the weather in Paris?", stream=stream, **asked)
    assert got.header("x-abyssal-repairs") == "legacy_functions"
    if stream:
        parts = chunks(got.body)
        calls = [choice["delta"].get("function_call") or {} for part in parts for choice in part["choices"]]
        name = "".join(call.get("name") or "" for call in calls)
        arguments, finish = (
            "".join(call.get("arguments") or "" for call in calls),
            parts[-1]["choices"][0]["finish_reason"],
        )
    else:
        choice = got.json()["choices"][0]
        name, arguments = (
            choice["message"]["function_call"]["name"],
            choice["message"]["function_call"]["arguments"],
        )
        finish = choice["finish_reason"]
    assert (name, finish) == ("get_weather", "function_call")
    assert isinstance(json.loads(arguments)["city"], str)
