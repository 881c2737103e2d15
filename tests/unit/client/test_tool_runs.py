"""Runs of tools: what goes back and forth between a model and Python functions, blocking and asyncio."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

import abyssal
from abyssal import (
    AsyncDeepSeekClient,
    ConfigurationError,
    DeepSeekClient,
    OpenAICompatibilityError,
    ToolStepsError,
    UnavailableError,
)

from .face import ASK, KEY, Face
from .raw_server import RawServer, answer, completion

USAGE = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}


def asks(*calls: tuple[str, Any], **fields: Any) -> bytes:
    """A completion that asks for these tools."""
    wanted = [
        {
            "id": f"call_{number}",
            "type": "function",
            "index": number,
            "function": {"name": name, "arguments": text if isinstance(text, str) else json.dumps(text)},
        }
        for number, (name, text) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": "", "reasoning_content": "Hm.", "tool_calls": wanted}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return answer({"id": "1", "choices": [choice], "usage": USAGE} | fields)


DONE = answer(completion("It rains.", usage=USAGE))


def run(face: Face, *tools: Any, **options: Any) -> Any:
    return face.run(face.client.run_tools(**(ASK | options), tools=tools))


def told(server: RawServer, call: int = -1) -> list[str]:
    """The contents of the tool messages of a request."""
    return [one["content"] for one in server.requests[call].json["messages"] if one["role"] == "tool"]


def weather(city: str, days: int = 1) -> dict[str, Any]:
    """The weather."""
    if city == "nowhere":
        raise ValueError("no such city")
    return {"city": city, "days": days}


def test_a_run(server: RawServer, face: Face) -> None:
    server.will(asks(("weather", {"city": "北京"}), ("weather", {"city": "A", "days": 2})), DONE)
    done = run(face, weather, temperature=0)
    assert (done.content, str(done), done.steps) == ("It rains.", "It rains.", 2)
    assert done.usage.total_tokens == 24
    assert done.response.choices[0].message.content == "It rains."
    first, second = (request.json for request in server.requests)
    assert first["messages"] == ASK["messages"]
    assert first["tools"] == second["tools"]
    assert first["tools"][0]["function"]["name"] == "weather"
    assert (first["temperature"], second["temperature"]) == (0, 0)
    assert second["messages"][1:] == [
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "Hm.",
            "tool_calls": [
                {
                    "id": "call_0",
                    "type": "function",
                    "index": 0,
                    "function": {"name": "weather", "arguments": '{"city": "\\u5317\\u4eac"}'},
                },
                {
                    "id": "call_1",
                    "type": "function",
                    "index": 1,
                    "function": {"name": "weather", "arguments": '{"city": "A", "days": 2}'},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "call_0", "content": '{"city":"北京","days":1}'},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"city":"A","days":2}'},
    ]
    assert [getattr(one, "role", None) or one["role"] for one in done.messages] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
    ]
    assert len(ASK["messages"]) == 1


def test_an_answer_at_once(server: RawServer, face: Face) -> None:
    server.will(DONE)
    assert run(face, weather).steps == 1
    assert run(face).content == "It rains."
    assert "tools" not in server.requests[-1].json


def test_what_goes_wrong_is_told_to_the_model(server: RawServer, face: Face) -> None:
    server.will(
        asks(
            ("weather", {"city": "nowhere"}),
            ("weahter", {}),
            ("weather", {"town": "A"}),
            ("weather", "{oops"),
            ("weather", {"city": "A"}),
        ),
        DONE,
    )
    run(face, weather)
    errors = told(server)
    assert json.loads(errors[0]) == {"error": "ValueError: no such city"}
    assert "there is no tool 'weahter'; there are: weather" in errors[1]
    assert "unknown field `town`" in errors[2] or "missing required field `city`" in errors[2]
    assert "malformed" in errors[3]
    assert errors[4] == '{"city":"A","days":1}'


def test_any_exception_is_told(server: RawServer, face: Face) -> None:
    def run_out() -> str:
        return next(iter([]))

    def nest() -> str:
        return nest()

    server.will(asks(("run_out", {}), ("nest", {})), DONE)
    run(face, run_out, nest)
    assert "StopIteration" in told(server)[0]
    assert "RecursionError" in told(server)[1]


def test_errors_of_tools_are_raised_if_asked_for(server: RawServer, face: Face) -> None:
    server.will(asks(("other", {})), asks(("weather", {"city": "nowhere"})), DONE)
    with pytest.raises(ValueError, match="no such city"):
        run(face, weather, raise_tool_errors=True)
    assert "there is no tool" in told(server)[0]  # that one is the model's own


def test_a_strict_run(server: RawServer, face: Face) -> None:
    server.will(asks(("weather", '{"city":"Beijing","days":null}')), answer(completion("Rain.")))
    assert run(face, weather, strict=True).content == "Rain."
    (sent,) = server.requests[0].json["tools"]
    assert sent["function"]["strict"] is True
    assert sent["function"]["parameters"]["required"] == ["city", "days"]
    assert '"days":1' in told(server)[-1]


def test_steps_come_to_an_end(server: RawServer, face: Face) -> None:
    server.will(asks(("weather", {"city": "A"})))
    with pytest.raises(ToolStepsError, match="after 3 steps; allow more with max_steps") as caught:
        run(face, weather, max_steps=3)
    assert len(server.requests) == 3
    assert len(caught.value.messages) == 6
    server.will(DONE)
    assert run(face, weather, max_steps=1).steps == 1


def test_a_forced_choice_holds_for_the_first_step(server: RawServer, face: Face) -> None:
    for choice, later in (
        ("required", None),
        ({"type": "function"}, None),
        ("auto", "auto"),
        ("none", "none"),
    ):
        server.requests.clear()
        server.will(asks(("weather", {"city": "A"})), DONE)
        run(face, weather, tool_choice=choice)
        assert [one.json.get("tool_choice") for one in server.requests] == [choice, later]


@pytest.mark.parametrize(
    ("result", "content"),
    [
        ("text", "text"),
        (None, "null"),
        (1.5, "1.5"),
        ([1, "a"], '[1,"a"]'),
        (True, "true"),
        ({"a": (1,)}, '{"a":[1]}'),
    ],
)
def test_results(server: RawServer, face: Face, result: Any, content: str) -> None:
    def tell() -> Any:
        return result

    server.will(asks(("tell", {})), DONE)
    run(face, tell)
    assert told(server) == [content]


def test_a_result_without_a_json_form_is_the_programs_fault(server: RawServer, face: Face) -> None:
    def tell() -> Any:
        return object()

    server.will(asks(("tell", {})), DONE)
    with pytest.raises(ConfigurationError, match="The tool tell gave a object, which has no JSON form"):
        run(face, tell)


def test_faults_of_calls_are_raised_as_ever(server: RawServer, face: Face) -> None:
    server.will(asks(("weather", {"city": "A"})), answer(b"", 503))
    with pytest.raises(UnavailableError):
        run(face, weather)
    assert len(face.sleeps) == 2
    server.will(answer({"choices": []}))
    with pytest.raises(OpenAICompatibilityError):
        run(face, weather)


def test_wrong_arguments(face: Face) -> None:
    for options, said in [({"max_steps": 0}, "max_steps=0"), ({"tools": [5]}, "5, which cannot be called")]:
        with pytest.raises(ConfigurationError, match=said):
            face.run(face.client.run_tools(**(ASK | {"tools": []} | options)))
    with pytest.raises(ConfigurationError, match="Two tools are called weather"):
        run(face, weather, weather)
    for name in ("functions", "n"):
        with pytest.raises(TypeError, match=f"takes no {name}"):
            run(face, weather, **{name: 1})


def test_awaited_tools_are_for_the_asynchronous_client(server: RawServer) -> None:
    async def soon(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    server.will(asks(("soon", {"x": 1}), ("later", {})), DONE)
    client = DeepSeekClient(KEY, base_url=server.url)
    with client, pytest.raises(ConfigurationError, match="AsyncDeepSeekClient"):
        client.run_tools(**ASK, tools=[soon])
    assert server.requests == []

    async def main() -> None:
        async with AsyncDeepSeekClient(KEY, base_url=server.url) as client:
            await client.run_tools(**ASK, tools=[soon, abyssal.tool(lambda: soon(5), name="later")])

    asyncio.run(main())
    assert told(server) == ["2", "6"]


def test_a_plain_tool_does_not_hold_up_the_event_loop(server: RawServer) -> None:
    free = threading.Event()

    def slow() -> str:
        return "free" if free.wait(5) else "held up"

    server.will(asks(("slow", {})), DONE)

    async def main() -> None:
        async with AsyncDeepSeekClient(KEY, base_url=server.url) as client:
            loop = asyncio.get_running_loop()
            running = loop.create_task(client.run_tools(**ASK, tools=[slow]))
            while not server.requests:
                await asyncio.sleep(0.001)
            loop.call_later(0.01, free.set)
            await running

    asyncio.run(main())
    assert told(server) == ["free"]
