"""What the next request says, and what there is to say about an answer."""

from __future__ import annotations

import pytest

from abyssal import ChatCompletion, Choice
from abyssal.cli.conversation import Conversation, default_model, is_demonstration, why_cut_short


def said(conversation: Conversation, question: str) -> list[tuple[object, object]]:
    return [(message["role"], message["content"]) for message in conversation.with_question(question)]


def test_a_request_holds_what_was_said_before() -> None:
    talk = Conversation("m")
    assert said(talk, "one?") == [("user", "one?")]
    talk.add("one?", "1")
    assert said(talk, "two?") == [("user", "one?"), ("assistant", "1"), ("user", "two?")]


def test_asking_alone_is_not_yet_part_of_the_conversation() -> None:
    talk = Conversation("m")
    talk.with_question("lost")
    assert said(talk, "again") == [("user", "again")]


def test_the_system_prompt_comes_first_and_may_change_in_between() -> None:
    talk = Conversation("m", "be brief")
    talk.add("a", "b")
    assert said(talk, "c")[0] == ("system", "be brief")
    talk.system = "be long"
    assert said(talk, "c")[0] == ("system", "be long")
    talk.system = None
    assert said(talk, "c")[0] == ("user", "a")


def test_clearing_keeps_the_system_prompt() -> None:
    talk = Conversation("m", "be brief")
    talk.add("a", "b")
    talk.clear()
    assert said(talk, "c") == [("system", "be brief"), ("user", "c")]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["x", "deepseek-flash", "deepseek-chat"], "deepseek-chat"),
        (["deepseek-v4-pro", "deepseek-flash"], "deepseek-flash"),  # what the official service has
        (["llama", "qwen"], "llama"),
        ([], "deepseek-chat"),
    ],
)
def test_the_model_that_is_asked_when_nobody_named_one(offered: list[str], chosen: str) -> None:
    assert default_model(offered) == chosen


@pytest.mark.parametrize(
    ("fingerprint", "expected"),
    [("abyssal-tiny-0a1b2c3d", True), ("abyssal-tiny", True), ("fp_1", False), ("", False), (None, False)],
)
def test_the_bundled_model_is_known_by_its_fingerprint(fingerprint: str | None, expected: bool) -> None:
    assert is_demonstration(ChatCompletion(system_fingerprint=fingerprint)) is expected


def test_only_answers_that_end_early_are_said_to() -> None:
    def why(reason: str | None) -> str | None:
        return why_cut_short(ChatCompletion(choices=[Choice(finish_reason=reason)]))

    assert "tokens" in (why("length") or "")
    assert "filter" in (why("content_filter") or "")
    assert [why(reason) for reason in ("stop", "tool_calls", None, "news")] == [None] * 4
    assert why_cut_short(ChatCompletion()) is None
