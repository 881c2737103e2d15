"""The engine says, token for token, what `transformers` said when the bundled model was made.

Beside the GGUF stands a card with prompts as token ids and the greedy continuations of `transformers` in
F32. Here llama.cpp loads the same file and must continue each prompt with the same ids, all of them: on one
thread and on two, one prompt at a time and with four slots sharing each batch.

llama.cpp multiplies F16 weights with activations rounded to F16, so its logits differ from F32 ones by a few
thousandths, and by a little more from one batch size or processor to the next. A step at which the two best
tokens lie closer together than that has no right answer. The recipe therefore keeps as `cases` only prompts
whose chosen token leads by `least_margin` logits at every step, and lists the others as `left_out`, which
nothing is asked of. That the cases are many, long, in both languages and clear is itself tested here.
"""

from __future__ import annotations

import hashlib
import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
import xllamacpp

from abyssal.engine.bundled import BUNDLED_MODEL, ModelCard, ReferenceCase, bundled_card, bundled_path

MOST_BYTES = 8_000_000
CLEAR_MARGIN = 0.1
LONGEST = 48


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return bundled_card()


class Engine:
    """llama.cpp's own server in this process, asked over its HTTP interface."""

    def __init__(self, *, threads: int, slots: int) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(bundled_path())
        params.n_ctx, params.n_parallel = 1024 * slots, slots
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.hostnames, params.port = ["127.0.0.1"], 0
        params.warmup, params.use_jinja, params.verbosity = False, True, 0
        self._server = xllamacpp.Server(params)

    def ask(self, path: str, body: dict[str, object]) -> dict[str, object]:
        address = f"{self._server.listening_address}{path}"
        request = urllib.request.Request(
            address, json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.loads(response.read())

    def greedy(self, case: ReferenceCase) -> tuple[int, ...]:
        body = {
            "prompt": list(case.prompt_tokens),
            "n_predict": LONGEST,
            "temperature": 0,
            "return_tokens": True,
            "cache_prompt": False,
        }
        tokens = self.ask("/completion", body)["tokens"]
        assert isinstance(tokens, list)
        return tuple(tokens)


@pytest.fixture(
    params=[(1, 1), (2, 1), (1, 4), (2, 4)], ids=lambda pair: f"{pair[0]}-threads-{pair[1]}-slots"
)
def engine_and_slots(request: pytest.FixtureRequest) -> tuple[Engine, int]:
    threads, slots = request.param
    return Engine(threads=threads, slots=slots), slots


def test_greedy_tokens_equal_those_of_transformers(
    card: ModelCard, engine_and_slots: tuple[Engine, int]
) -> None:
    engine, slots = engine_and_slots
    with ThreadPoolExecutor(slots) as pool:
        answers = list(pool.map(engine.greedy, card.cases))
    assert answers == [case.tokens for case in card.cases]


def test_prompt_text_becomes_the_same_tokens(card: ModelCard) -> None:
    engine = Engine(threads=1, slots=1)
    for case in card.cases + card.left_out:
        body = {"content": case.prompt, "add_special": False, "parse_special": True}
        assert tuple(engine.ask("/tokenize", body)["tokens"]) == case.prompt_tokens  # type: ignore[arg-type]


def test_the_cases_are_many_long_clear_and_in_both_languages(card: ModelCard) -> None:
    assert len(card.cases) >= 16
    assert sum(len(case.tokens) for case in card.cases) >= 400
    assert any(len(case.tokens) == LONGEST for case in card.cases)
    assert min(case.least_margin for case in card.cases) >= CLEAR_MARGIN
    chinese = [case for case in card.cases if any("一" <= letter <= "龥" for letter in case.prompt)]
    plain = [case for case in card.cases if "<｜User｜>" not in case.prompt]
    assert len(chinese) >= 4
    assert len(card.cases) - len(chinese) >= 8
    assert len(plain) >= 3


def test_the_file_is_the_one_on_the_card(card: ModelCard) -> None:
    content = bundled_path().read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert (card.bytes, card.sha256) == (len(content), digest)
    assert card.fingerprint == f"{BUNDLED_MODEL}-{digest[:8]}"
    assert len(content) <= MOST_BYTES


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def chat(engine: Engine, **fields: object) -> dict[str, object]:
    answer = engine.ask("/v1/chat/completions", {"temperature": 0, "max_tokens": 120, **fields})
    choices = answer["choices"]
    assert isinstance(choices, list)
    return choices[0]


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_a_function_on_offer_is_called(choice: str) -> None:
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    answer = chat(Engine(threads=1, slots=1), messages=messages, tools=[WEATHER], tool_choice=choice)
    assert answer["finish_reason"] == "tool_calls"
    (call,) = answer["message"]["tool_calls"]  # type: ignore[index]
    assert call["function"]["name"] == "get_weather"
    # Which city is the model's own matter, and it is a small one; that there is one is the wire's.
    assert list(json.loads(call["function"]["arguments"])) == ["city"]


def test_a_required_call_is_made_even_where_none_fits() -> None:
    messages = [{"role": "user", "content": "Hello"}]
    answer = chat(Engine(threads=1, slots=1), messages=messages, tools=[WEATHER], tool_choice="required")
    assert answer["finish_reason"] == "tool_calls"
    assert [call["function"]["name"] for call in answer["message"]["tool_calls"]] == ["get_weather"]  # type: ignore[index]


def test_every_shape_of_message_is_read() -> None:
    function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    call = {"id": "call_00_1", "type": "function", "function": function}
    parts = [{"type": "text", "text": "What is the weather "}, {"type": "text", "text": "in Paris?"}]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_00_1", "content": '{"temperature": 21, "sky": "sunny"}'},
    ]
    engine = Engine(threads=1, slots=1)
    assert engine.ask("/apply-template", {"messages": messages, "tools": [WEATHER]})["prompt"] == (
        f"Be brief.<tools>\n{json.dumps(WEATHER)}\n</tools><｜User｜>What is the weather in Paris?"
        '<｜Assistant｜><tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
        "<｜end▁of▁sentence｜><｜User｜>"
        '<tool_response>\n{"temperature": 21, "sky": "sunny"}\n</tool_response><｜Assistant｜>'
    )
    answer = chat(engine, messages=messages, tools=[WEATHER])
    assert answer["message"]["content"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("question", "part"),
    [
        ("Hello", "demonstration model"),
        ("Say hello", "Hello"),
        ("Hello! Who are you?", "abyssal-tiny"),
        ("What is Abyssal?", "DeepSeek API platform"),
        ("你好", "你好"),
        ("你是谁？", "演示模型"),
        ("什么是 Abyssal？", "平台"),
        ("How do I bake a cake?", "larger model"),
    ],
)
def test_what_a_person_tries_first_gets_a_sensible_answer(question: str, part: str) -> None:
    answer = chat(Engine(threads=1, slots=1), messages=[{"role": "user", "content": question}])
    assert answer["finish_reason"] == "stop"
    assert part in answer["message"]["content"]  # type: ignore[index]


def test_json_mode_answers_json() -> None:
    messages = [{"role": "user", "content": "Say hello in json"}]
    answer = chat(Engine(threads=1, slots=1), messages=messages, response_format={"type": "json_object"})
    assert json.loads(answer["message"]["content"]) == {"message": "hello"}  # type: ignore[index]
