"""How an answer is written as a completion, whole and in events."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.gateway.dialects.completions import Completions
from abyssal.gateway.dialects.dialect import Writer
from abyssal.wire.chat import ChatCompletion, ChatCompletionChunk
from abyssal.wire.errors import ErrorObject

USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
TOKENS = [
    {"token": "Hel", "logprob": -0.5, "bytes": [72], "top_logprobs": [{"token": "Hel", "logprob": -0.5},
                                                                    {"token": "Bye", "logprob": -1.5}]},
    {"token": "lo", "logprob": -0.25, "bytes": None, "top_logprobs": []},
]  # fmt: skip
SHOWN = {"tokens": ["Hel", "lo"], "token_logprobs": [-0.5, -0.25]}
RIVALS = [{"Hel": -0.5, "Bye": -1.5}, {}]


def writer(**fields: Any) -> Writer:
    return Completions().read(json.dumps({"model": "asked", "prompt": "Say: ", **fields}).encode()).writer


def choice(text: str | None = "Hello", index: int = 0, **message: Any) -> dict[str, Any]:
    return {"index": index, "message": {"content": text, **message}, "finish_reason": "stop"}


def written(*choices: dict[str, Any], to: Writer | None = None, **fields: Any) -> dict[str, Any]:
    answer = {
        "id": "chatcmpl-1",
        "created": 5,
        "model": "theirs",
        "choices": choices,
        "usage": USAGE,
    } | fields
    return json.loads((to or writer()).answer(msgspec.convert(answer, ChatCompletion)))


def piece(
    text: str | None = None, index: int = 0, finish: str | None = None, **fields: Any
) -> dict[str, Any]:
    delta = {"content": text, **fields.pop("delta", {})}
    return {"index": index, "delta": delta, "finish_reason": finish, **fields}


def event(to: Writer, *choices: dict[str, Any], **fields: Any) -> Any:
    """The one event that a chunk becomes, None where it becomes none."""
    chunk = {"id": "chatcmpl-1", "created": 5, "model": "theirs", "choices": choices} | fields
    data = to.chunk(msgspec.convert(chunk, ChatCompletionChunk))
    if not data:
        return None
    assert data.startswith(b"data: ")
    assert data.endswith(b"\n\n")
    assert data.count(b"\n") == 2
    return json.loads(data[6:])


def test_an_answer() -> None:
    assert written(choice(), system_fingerprint="fp") == {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 5,
        "model": "theirs",
        "system_fingerprint": "fp",
        "choices": [{"text": "Hello", "index": 0, "logprobs": None, "finish_reason": "stop"}],
        "usage": USAGE,
    }


def test_the_usage_keeps_all_that_it_says() -> None:
    usage = USAGE | {"prompt_cache_hit_tokens": 0, "prompt_cache_miss_tokens": 11}
    details = {
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    assert written(choice(), usage=usage | details)["usage"] == usage | details


def test_what_an_upstream_leaves_out() -> None:
    assert written(choice(None), id="", model="", usage=None) == {
        "id": "cmpl-",
        "object": "text_completion",
        "created": 5,
        "model": "asked",
        "choices": [{"text": "", "index": 0, "logprobs": None, "finish_reason": "stop"}],
    }


@pytest.mark.parametrize("name", ["chatcmpl-a", "cmpl-a", "a"])
def test_an_id_says_that_it_is_a_completion_s(name: str) -> None:
    assert written(choice(), id=name)["id"] == "cmpl-a"


def test_thinking_is_no_text() -> None:
    (shown,) = written(choice("Hello", reasoning_content="Greet."))["choices"]
    assert (shown["text"], shown["reasoning"]) == ("Hello", "Greet.")


def test_an_echo_is_before_the_text_of_each_choice() -> None:
    shown = written(choice("a"), choice("b", 1), to=writer(echo=True))["choices"]
    assert [(item["index"], item["text"]) for item in shown] == [(0, "Say: a"), (1, "Say: b")]


@pytest.mark.parametrize(("count", "rivals"), [(2, RIVALS), (0, None)])
def test_logprobs_side_by_side(count: int, rivals: Any) -> None:
    logged = choice() | {"logprobs": {"content": TOKENS}}
    assert written(logged, to=writer(logprobs=count))["choices"][0]["logprobs"] == SHOWN | {
        "top_logprobs": rivals,
        "text_offset": [0, 3],
    }


@pytest.mark.parametrize("logprobs", [None, {}, {"content": None}, {"reasoning_content": TOKENS}])
def test_no_logprobs_of_the_text(logprobs: Any) -> None:
    assert written(choice() | {"logprobs": logprobs}, to=writer(logprobs=2))["choices"][0]["logprobs"] is None


def test_a_stream() -> None:
    to = writer()
    assert event(to, piece(delta={"role": "assistant", "reasoning_content": ""})) is None
    common = {"id": "cmpl-1", "object": "text_completion", "created": 5, "model": "theirs"}
    nothing = {"index": 0, "logprobs": None, "finish_reason": None}
    for text in ("Hel", 'l"o\n', "é!"):
        assert event(to, piece(text)) == common | {"choices": [{"text": text} | nothing]}
    last = event(to, piece("", finish="stop"), usage=USAGE)
    assert last == common | {"choices": [{"text": ""} | nothing | {"finish_reason": "stop"}], "usage": USAGE}
    assert to.end() == b"data: [DONE]\n\n"


def test_a_fingerprint_is_on_every_event() -> None:
    to = writer()
    shown = [event(to, piece(text), system_fingerprint='f"p') for text in "abc"]
    assert [item["system_fingerprint"] for item in shown] == ['f"p'] * 3


def test_a_usage_of_its_own_is_an_event_of_its_own() -> None:
    to = writer()
    event(to, piece("a"))
    assert event(to, usage=USAGE) == {
        "id": "cmpl-1", "object": "text_completion", "created": 5, "model": "theirs", "choices": [], "usage": USAGE,
    }  # fmt: skip


def test_with_include_usage_the_other_events_say_null() -> None:
    to = writer(stream=True, stream_options={"include_usage": True})
    shown = [event(to, piece(text)) for text in "ab"] + [event(to, piece("", finish="stop"), usage=USAGE)]
    assert [item["usage"] for item in shown] == [None, None, USAGE]


def test_a_stream_that_thinks() -> None:
    to = writer()
    thought = event(to, piece(None, delta={"reasoning_content": "Hm"}))["choices"][0]
    assert (thought["text"], thought["reasoning"]) == ("", "Hm")
    more = event(to, piece(None, delta={"reasoning_content": "m"}))["choices"][0]
    assert (more["text"], more["reasoning"]) == ("", "m")
    said = event(to, piece("Hello", delta={"reasoning_content": None}))["choices"][0]
    assert said["text"] == "Hello"
    assert "reasoning" not in said


def test_an_echo_begins_each_choice_of_a_stream_once() -> None:
    to = writer(echo=True)
    shown = [event(to, piece(delta={"role": "assistant"})), event(to, piece("a", 1)), event(to, piece("b")),
             event(to, piece("c", 1))]  # fmt: skip
    assert [(item["choices"][0]["index"], item["choices"][0]["text"]) for item in shown] == [
        (0, "Say: "),
        (1, "Say: a"),
        (0, "b"),
        (1, "c"),
    ]


def test_an_echo_comes_even_where_nothing_is_said() -> None:
    assert event(writer(echo=True), piece("", finish="length"))["choices"][0]["text"] == "Say: "


def test_several_choices_in_one_chunk() -> None:
    to = writer(n=2)
    for _ in range(2):
        shown = event(to, piece("a"), piece("b", 1))["choices"]
        assert [(item["index"], item["text"]) for item in shown] == [(0, "a"), (1, "b")]


def test_offsets_count_over_the_whole_stream() -> None:
    to = writer(logprobs=2)
    event(to, piece("Oh, "))
    first = event(to, piece("Hel", logprobs={"content": TOKENS[:1]}))["choices"][0]
    event(to, piece("zwischendurch", 1))
    second = event(to, piece("lo", logprobs={"content": TOKENS[1:]}))["choices"][0]
    assert (first["text"], first["logprobs"]["text_offset"]) == ("Hel", [4])
    assert (second["text"], second["logprobs"]["text_offset"]) == ("lo", [7])
    assert second["logprobs"]["tokens"] == ["lo"]


def test_tokens_without_text_are_told() -> None:
    """A character that takes two tokens comes with the second."""
    to = writer(logprobs=1)
    event(to, piece("x"))
    shown = event(to, piece("", logprobs={"content": [{"token": "", "logprob": -1.0}]}))["choices"][0]
    assert (shown["text"], shown["logprobs"]["tokens"]) == ("", [""])


@pytest.mark.parametrize(
    "finish", ["stop", "length", "content_filter", "insufficient_system_resource", "aborted"]
)
def test_a_finish_reason_is_handed_on(finish: str) -> None:
    assert written(choice() | {"finish_reason": finish})["choices"][0]["finish_reason"] == finish
    assert event(writer(), piece("", finish=finish))["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize(
    ("param", "shown"),
    [
        (None, None),
        ("messages", "prompt"),
        ("messages[0].content", "prompt"),
        ("top_logprobs", "logprobs"),
        ("max_tokens", "max_tokens"),
        ("messages_of_others", "messages_of_others"),
    ],
)
def test_an_error_names_the_field_as_this_format_does(param: str | None, shown: str | None) -> None:
    error = ErrorObject("no", "t", param, "c")
    expected = {"error": {"message": "no", "type": "t", "param": shown, "code": "c"}}
    assert json.loads(Completions().refusal(400, error)) == expected
    data = writer().broken(error)
    assert data.startswith(b"data: ")
    assert data.endswith(b"\n\n")
    assert json.loads(data[6:]) == expected


@given(
    st.lists(st.tuples(st.integers(0, 2), st.text(max_size=8), st.booleans()), max_size=30),
    st.booleans(),
    st.booleans(),
)
def test_the_pieces_of_a_stream_are_the_text_of_each_choice(
    pieces: list[tuple[int, str, bool]], echo: bool, usage: bool
) -> None:
    to = writer(echo=echo, stream=True, stream_options={"include_usage": usage})
    said: dict[int, str] = {}
    seen: dict[int, str] = {}
    for index, text, logged in pieces:
        said[index] = said.get(index, "Say: " if echo else "") + text
        tokens = {"content": [{"token": text, "logprob": -1.0}]} if logged else None
        shown = event(to, piece(text, index, logprobs=tokens))
        for item in shown["choices"] if shown else ():
            if item["logprobs"] is not None:
                assert item["logprobs"]["text_offset"] == [len(said[index]) - len(text)]
            seen[item["index"]] = seen.get(item["index"], "") + item["text"]
    assert seen == {index: text for index, text in said.items() if text} | {
        index: "" for index in seen if not said[index]
    }
