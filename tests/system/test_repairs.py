"""Repairs as programs meet them: the unchanged OpenAI SDK, a running gateway, upstreams with their troubles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel, Field

from abyssal.engine.bundled import bundled_path
from abyssal.testing import Answer, RunningServer, ScriptedUpstream, tool_call

from .calls import Gateway, body, chunks, table, text_of, upstream

HI: list[Any] = [{"role": "user", "content": "hi"}]
LEAKED = '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{"city":"北京"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>'


class Person(BaseModel):
    """An answer in a shape."""

    name: Annotated[str, Field(max_length=12)]
    age: int
    sex: Literal["f", "m"]


class Weather(BaseModel):
    """Arguments of a function."""

    city: str


ADA = Person(name="Ada", age=36, sex="f")
TOOLS: list[Any] = [openai.pydantic_function_tool(Weather, name="weather")]
LOOSE: list[Any] = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


@pytest.fixture(scope="module")
def repairing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Models: `official` and `open`, of a kind each, `engine`, and `plain`, with all repairs switched off."""
    with ScriptedUpstream(models=("upstream-model",)) as scripted:
        url = scripted.base_url
        off = "{ empty_json = false, json_schema = false, error_label = false, thinking_tool_choice = false }"
        config = (
            upstream("official", url, kind="deepseek")
            + upstream("open", url)
            + upstream("plain", url, kind="deepseek").replace("[[models]]", f"repairs = {off}\n[[models]]", 1)
            + table("[[upstreams]]", name="engine", kind="engine", threads=1)
            + table("[[models]]", name="engine")
            + 'targets = [{ upstream = "engine", model = "abyssal-tiny" }]\n'
        )
        with RunningServer(config, tmp_path_factory.mktemp("repairs")) as server:
            yield Gateway(server, scripted)


@pytest.fixture
def client(repairing: Gateway) -> Iterator[OpenAI]:
    server = repairing.server
    with OpenAI(api_key=server.api_key, base_url=server.base_url, max_retries=0, timeout=20) as client:
        yield client
    assert repairing.upstream.unused_answers == 0


needs_model = pytest.mark.skipif(not bundled_path().exists(), reason="the bundled model is not made yet")


@pytest.mark.parametrize("model", ["official", "open", pytest.param("engine", marks=needs_model)])
def test_parse_gives_an_object_of_the_shape_that_was_asked_for(
    repairing: Gateway, client: OpenAI, model: str
) -> None:
    if model != "engine":
        repairing.upstream.enqueue(Answer.chat(ADA.model_dump_json()))
    answer = client.chat.completions.parse(
        model=model, messages=HI, response_format=Person, max_tokens=300, temperature=0
    )
    person = answer.choices[0].message.parsed
    assert person is not None
    if model != "engine":
        assert person == ADA
        form = repairing.upstream.requests[-1].json()["response_format"]["type"]
        assert form == ("json_object" if model == "official" else "json_schema")


def test_parse_of_a_stream(repairing: Gateway, client: OpenAI) -> None:
    repairing.upstream.enqueue(Answer.chat('{"name": "Ada"}'), Answer.chat(ADA.model_dump_json()))
    with client.chat.completions.stream(model="official", messages=HI, response_format=Person) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == ADA


def test_parse_of_what_never_conforms_is_an_error(repairing: Gateway, client: OpenAI) -> None:
    repairing.upstream.enqueue(Answer.chat("{}"), Answer.chat("no JSON"))
    with pytest.raises(openai.InternalServerError) as refused:
        client.chat.completions.parse(model="official", messages=HI, response_format=Person)
    assert (refused.value.status_code, refused.value.code) == (502, "schema_not_met")


@pytest.mark.parametrize("model", ["official", "open"])
def test_strict_tools_parse(repairing: Gateway, client: OpenAI, model: str) -> None:
    bad, good = tool_call("weather", {"town": "Paris"}), tool_call("weather", {"city": "Paris"})
    repairing.upstream.enqueue(Answer.chat(None, tool_calls=[bad]), Answer.chat(None, tool_calls=[good]))
    answer = client.chat.completions.parse(model=model, messages=HI, tools=TOOLS)
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.function.parsed_arguments == Weather(city="Paris")


@needs_model
def test_strict_tools_on_the_engine(client: OpenAI) -> None:
    said: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    answer = client.chat.completions.parse(
        model="engine", messages=said, tools=TOOLS, tool_choice="required", max_tokens=120, temperature=0
    )
    (call,) = answer.choices[0].message.tool_calls or []
    assert isinstance(call.function.parsed_arguments, Weather)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_agent_that_forgets_what_was_thought(repairing: Gateway, client: OpenAI, stream: bool) -> None:
    """The official service would refuse the second round: the SDK's own message has no reasoning in it."""
    called = Answer.chat(
        None, reasoning="They ask for weather.", tool_calls=[tool_call("weather", {"city": "北京"})]
    )
    repairing.upstream.enqueue(called, Answer.chat("Sunny."))
    messages = list(HI)
    if stream:
        with client.chat.completions.stream(model="official", messages=messages, tools=LOOSE) as answers:
            for _ in answers:
                pass
            said = answers.get_final_completion().choices[0].message
    else:
        said = (
            client.chat.completions.create(model="official", messages=messages, tools=LOOSE)
            .choices[0]
            .message
        )
    (call,) = said.tool_calls or []
    turn = {
        "role": "assistant",
        "content": said.content,
        "tool_calls": [
            call.model_dump(include={"id", "type"})
            | {"function": {"name": call.function.name, "arguments": call.function.arguments}}
        ],
    }  # type: ignore[union-attr]
    messages += [turn, {"role": "tool", "tool_call_id": call.id, "content": "clear"}]
    raw = client.chat.completions.with_raw_response.create(model="official", messages=messages, tools=LOOSE)
    assert raw.headers["x-abyssal-repairs"] == "reasoning_content"
    sent = repairing.upstream.requests[-1].json()["messages"]
    assert sent[1]["reasoning_content"] == "They ask for weather."


def test_a_forced_call(repairing: Gateway, client: OpenAI) -> None:
    for model, thinking in (("official", {"type": "disabled"}), ("plain", None)):
        repairing.upstream.enqueue(Answer.chat(None, tool_calls=[tool_call("weather", {})]))
        client.chat.completions.create(model=model, messages=HI, tools=LOOSE, tool_choice="required")
        assert repairing.upstream.requests[-1].json().get("thinking") == thinking


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_leaked_calls(repairing: Gateway, client: OpenAI, stream: bool) -> None:
    repairing.upstream.enqueue(Answer.chat("Let me see. " + LEAKED))
    if stream:
        with client.chat.completions.stream(model="open", messages=HI, tools=LOOSE) as answers:
            for _ in answers:
                pass
            choice: Any = answers.get_final_completion().choices[0]
    else:
        choice = client.chat.completions.create(model="open", messages=HI, tools=LOOSE).choices[0]
    (call,) = choice.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "北京"})
    assert (choice.finish_reason, choice.message.content.strip()) == ("tool_calls", "Let me see.")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("model", ["official", "open", "plain"])
def test_empty_json_is_asked_for_again(repairing: Gateway, model: str, stream: bool) -> None:
    repairing.upstream.enqueue(Answer.chat(" ", reasoning="Hm."))
    if model != "plain":
        repairing.upstream.enqueue(Answer.chat("{}", reasoning="Hm!"))
    form = {"type": "json_object"}
    answer = repairing.ask(body(model, "some json", response_format=form, stream=stream))
    text = text_of(chunks(answer.body)) if stream else answer.json()["choices"][0]["message"]["content"]
    if model == "plain":
        assert (text.strip(), answer.header("x-abyssal-repairs")) == ("", None)
        return
    assert (text, answer.header("x-abyssal-repairs")) == ("{}", "empty_json")
    told = chunks(answer.body)[-1]["usage"] if stream else answer.json()["usage"]
    assert repairing.settlement(answer)["prompt_tokens"] == 2 * told["prompt_tokens"]
    assert repairing.upstream.unused_answers == 0


def test_an_error_under_a_wrong_label(repairing: Gateway) -> None:
    for model, label in (("official", "application/json"), ("plain", "application/octet-stream")):
        wrong = Answer.error(400, "no", code="c").with_headers({"content-type": "application/octet-stream"})
        repairing.upstream.enqueue(wrong)
        answer = repairing.ask(body(model))
        assert (answer.status, answer.header("content-type"), answer.json()["error"]["code"]) == (
            400,
            label,
            "c",
        )


def test_blank_lines_while_the_service_is_busy(repairing: Gateway) -> None:
    repairing.upstream.enqueue(Answer.chat("hello").with_keep_alives(3, 0.01))
    answer = repairing.ask(body("official"))
    assert answer.body.startswith(b"{")
    assert answer.header("x-abyssal-repairs") == "blank_lines"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_usage_that_nobody_counted(repairing: Gateway, stream: bool) -> None:
    repairing.upstream.enqueue(Answer.chat("one two three", usage=False))
    answer = repairing.ask(body("open", stream=stream))
    usage = chunks(answer.body)[-1]["usage"] if stream else answer.json()["usage"]
    assert usage["estimated"] is True
    row = repairing.settlement(answer)
    assert (row["completion_tokens"], row["estimated"]) == (usage["completion_tokens"], 1)
    assert usage["completion_tokens"] >= 3
