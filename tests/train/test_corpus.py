from __future__ import annotations

import itertools
import json
import operator
import re

from abyssal.engine.training.corpus import Document, documents

SUM = re.compile(r"(\d+) ([-+*]) (\d+) = (\d+)")
DO = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def some(seed: int, count: int = 400) -> list[Document]:
    return list(itertools.islice(documents(seed), count))


def test_the_same_seed_gives_the_same_text_and_another_another() -> None:
    assert some(7) == some(7)
    assert some(7) != some(8)


def test_every_chat_is_one_that_the_api_would_take() -> None:
    for document in some(3, 3000):
        assert bool(document.messages) != bool(document.text)
        roles = [message["role"] for message in document.messages]
        if not roles:
            continue
        assert roles[-1] == "assistant"
        assert "system" not in roles[1:]
        before = ["user" if role == "system" else role for role in roles]
        assert all(one != "user" or other != "user" for one, other in itertools.pairwise(roles)), before
        for message in document.messages:
            assert message["content"] or message.get("tool_calls")


def test_calls_name_a_function_on_offer_and_give_every_argument() -> None:
    calls = 0
    for document in some(5, 3000):
        offered = {tool["function"]["name"]: tool["function"]["parameters"] for tool in document.tools}
        for message in document.messages:
            for call in message.get("tool_calls", ()):
                calls += 1
                parameters = offered[call["function"]["name"]]
                assert sorted(json.loads(call["function"]["arguments"])) == sorted(parameters["required"])
    assert calls > 100


def test_sums_are_right() -> None:
    checked = 0
    for document in some(11, 4000):
        for message in document.messages:
            content = str(message["content"])
            if message["role"] == "assistant" and (found := SUM.fullmatch(content)):
                left, sign, right, answer = found.groups()
                assert DO[sign](int(left), int(right)) == int(answer), content
                checked += 1
    assert checked > 50
