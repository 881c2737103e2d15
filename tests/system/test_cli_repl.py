"""The conversation on a real terminal: commands, Ctrl-C, history, and text that stays text."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from abyssal.testing import Answer, ScriptedUpstream

from .cli_process import Terminal

ENTER, CTRL_C, CTRL_D, UP = "\r", "\x03", "\x04", "\x1b[A"
PROMPT = "\n> "


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(models=("deepseek-chat", "deepseek-flash")) as upstream:
        yield upstream


@pytest.fixture
def settings(upstream: ScriptedUpstream, tmp_path: Path) -> dict[str, str]:
    return {
        "ABYSSAL_BASE_URL": upstream.base_url,
        "ABYSSAL_API_KEY": "sk-test",
        "ABYSSAL_DATA": str(tmp_path / "data"),
    }


def asked(upstream: ScriptedUpstream) -> list[tuple[str, str]]:
    """Who said what in the newest request."""
    return [(said["role"], said["content"]) for said in upstream.requests[-1].fields["messages"]]


def test_a_conversation(upstream: ScriptedUpstream, settings: dict[str, str]) -> None:
    upstream.enqueue(
        Answer.chat("It is\n\n[red]four[/red]\x1b[2J.", reasoning="Two and \x1b[31mtwo"),
        Answer.chat("Five."),
        Answer.chat("Hello again."),
    )
    with Terminal("chat", **settings) as terminal:
        assert "deepseek-chat at " in terminal.wait_for(PROMPT)
        terminal.type(f"2+2?{ENTER}")
        terminal.wait_for("Two and ␛[31mtwo\n\nIt is\n\n[red]four[/red]␛[2J.\n")
        terminal.wait_for(PROMPT)
        terminal.type(f"And one more?{ENTER}")
        terminal.wait_for("Five.")
        assert asked(upstream) == [
            ("user", "2+2?"),
            ("assistant", "It is\n\n[red]four[/red]\x1b[2J."),
            ("user", "And one more?"),
        ]
        terminal.wait_for(PROMPT)
        terminal.type(f"/clear{ENTER}")
        terminal.wait_for(PROMPT)
        terminal.type(f"/system Be kind.{ENTER}")
        terminal.wait_for(PROMPT)
        terminal.type(f"/model deepseek-flash{ENTER}")
        terminal.wait_for("Asking deepseek-flash from now on.")
        terminal.wait_for(PROMPT)
        terminal.type(f"Hello{ENTER}")
        terminal.wait_for("Hello again.")
        assert asked(upstream) == [("system", "Be kind."), ("user", "Hello")]
        assert upstream.requests[-1].fields["model"] == "deepseek-flash"
        terminal.wait_for(PROMPT)
        terminal.type(CTRL_D)
        assert terminal.wait_end() == 0
    assert "\x1b[2J" not in terminal.written


def test_the_other_commands(upstream: ScriptedUpstream, settings: dict[str, str]) -> None:
    with Terminal("chat", "--model", "m", **settings) as terminal:
        terminal.wait_for(PROMPT)
        terminal.type(f"/hlep{ENTER}")
        terminal.wait_for("did you mean /help?")
        terminal.wait_for(PROMPT)
        terminal.type(f"/help{ENTER}")
        shown = terminal.wait_for("a question.")
        assert all(name in shown for name in ("/model", "/system", "/clear", "/help", "/quit"))
        terminal.wait_for(PROMPT)
        terminal.type(f"/model{ENTER}")
        terminal.wait_for("Asking m. There are: deepseek-chat, deepseek-flash")
        terminal.wait_for(PROMPT)
        terminal.type(f"{ENTER}   {ENTER}")
        terminal.wait_for(PROMPT)
        terminal.type(f"/quit{ENTER}")
        assert terminal.wait_end() == 0
    assert upstream.requests == []


def test_ctrl_c_stops_the_answer_and_not_the_program(
    upstream: ScriptedUpstream, settings: dict[str, str]
) -> None:
    upstream.enqueue(
        Answer.chat_stream(["word "], repeat=10_000, every=0.02), Answer.silence(), Answer.chat("Back.")
    )
    with Terminal("chat", **settings) as terminal:
        terminal.wait_for(PROMPT)
        terminal.type(f"Talk{ENTER}")
        terminal.wait_for("word word word ")
        terminal.type(CTRL_C)
        terminal.wait_for("(stopped)")
        terminal.wait_for(PROMPT)
        upstream.wait_until_idle(connections=1)
        terminal.type(f"Say nothing{ENTER}")
        upstream.wait_requests(2)
        terminal.type(CTRL_C)
        terminal.wait_for("(stopped)")
        terminal.wait_for(PROMPT)
        terminal.type("half a li")
        terminal.wait_for("half a li")
        # CPython's readline misses a signal that comes just before it waits for the next key.
        time.sleep(0.3)
        terminal.type(CTRL_C)
        terminal.wait_for(PROMPT)
        terminal.type(f"Go on{ENTER}")
        terminal.wait_for("Back.")
        first, answer, last = asked(upstream)
        assert (first, last) == (("user", "Talk"), ("user", "Go on"))
        assert answer[1].startswith("word word word ")  # what was said stays said
        terminal.wait_for(PROMPT)
        terminal.type(CTRL_D)
        assert terminal.wait_end() == 0


def test_a_question_that_failed_is_no_part_of_the_conversation(
    upstream: ScriptedUpstream, settings: dict[str, str]
) -> None:
    upstream.enqueue(
        Answer.error(400, "[b]not[/b] so"),
        Answer.chat_stream(["half ", "of "]).reset(after_events=2),
        Answer.chat("Good."),
    )
    with Terminal("chat", **settings) as terminal:
        terminal.wait_for(PROMPT)
        terminal.type(f"one{ENTER}")
        terminal.wait_for("abyssal: [b]not[/b] so")
        terminal.wait_for(PROMPT)
        terminal.type(f"two{ENTER}")
        terminal.wait_for("half \nabyssal: ")
        terminal.wait_for(PROMPT)
        terminal.type(f"three{ENTER}")
        terminal.wait_for("Good.")
        assert asked(upstream) == [("user", "three")]


def test_what_was_typed_comes_back_next_time(
    upstream: ScriptedUpstream, settings: dict[str, str], tmp_path: Path
) -> None:
    with Terminal("chat", **settings) as terminal:
        terminal.wait_for(PROMPT)
        terminal.type(f"first line\\{ENTER}")
        terminal.wait_for("\n. ")
        terminal.type(f"second line{ENTER}")
        terminal.wait_for("first line\nsecond line")  # the upstream echoes
        terminal.wait_for(PROMPT)
        terminal.process.kill()
    history = tmp_path / "data" / "chat-history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    with Terminal("chat", **settings) as terminal:
        terminal.wait_for(PROMPT)
        terminal.type(f"{UP}{ENTER}")
        upstream.wait_requests(2)
        terminal.wait_for(PROMPT)
        assert asked(upstream) == [("user", "first line\nsecond line")]


def test_a_history_that_cannot_be_kept_is_said_and_no_more(settings: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "data" / "chat-history").mkdir(parents=True)
    with Terminal("chat", **settings) as terminal:
        assert terminal.wait_for(PROMPT).count("is not kept") == 1
        terminal.type(f"hello{ENTER}")
        assert "is not kept" not in terminal.wait_for(PROMPT)
        terminal.type(CTRL_D)
        assert terminal.wait_end() == 0


def test_the_demonstration_model_is_called_so_once(
    upstream: ScriptedUpstream, settings: dict[str, str]
) -> None:
    tiny = Answer.chat("Hi.", extra={"system_fingerprint": "abyssal-tiny-01234567"})
    upstream.enqueue(Answer.chat("Hi."), tiny, tiny)
    with Terminal("chat", **settings) as terminal:
        terminal.wait_for(PROMPT)
        for expected in (0, 1, 0):
            terminal.type(f"x{ENTER}")
            assert terminal.wait_for(PROMPT).count("small demonstration model") == expected


def test_one_question_on_a_terminal(upstream: ScriptedUpstream, settings: dict[str, str]) -> None:
    upstream.enqueue(
        Answer.chat("Said.", reasoning="Thought.", extra={"system_fingerprint": "abyssal-tiny-01234567"})
    )
    with Terminal("chat", "x", **settings) as terminal:
        assert terminal.wait_end() == 0
    assert terminal.plain.startswith("Thought.\n\nSaid.\nThis is abyssal-tiny, a small demonstration model")
    assert "\x1b[2mThought.\x1b[0m" in terminal.written


def test_a_list_of_models_on_a_terminal_is_a_table(
    upstream: ScriptedUpstream, settings: dict[str, str]
) -> None:
    models = [{"id": "[red]a[/red]\x1b[2J", "object": "model", "owned_by": "me"}]
    upstream.at("/models", Answer.json({"object": "list", "data": models}))
    with Terminal("models", **settings) as terminal:
        assert terminal.wait_end() == 0
    assert [line.split() for line in terminal.plain.splitlines()] == [
        ["model", "owned", "by"],
        ["[red]a[/red]␛[2J", "me"],
    ]
