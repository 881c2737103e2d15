"""`abyssal chat` and `abyssal models` in pipes: what comes out, what goes up, what is said when it fails."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from abyssal.testing import Answer, RunningServer, ScriptedUpstream, gateway_config

from .cli_process import COMMAND, PATIENCE, abyssal, environment

MODELS = ("deepseek-chat", "deepseek-flash")


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    config = gateway_config(upstream, MODELS)
    with RunningServer(config, tmp_path_factory.mktemp("cli"), environ={"ABYSSAL_API_KEY": ""}) as server:
        yield server


@pytest.fixture
def settings(server: RunningServer) -> dict[str, str]:
    """The environment of somebody whose platform this is: its data directory says the rest."""
    return {"ABYSSAL_DATA": str(server.data)}


def test_a_question_gets_its_answer(upstream: ScriptedUpstream, settings: dict[str, str]) -> None:
    upstream.enqueue(Answer.chat("The answer,\n[bold]plain[/bold]. ", reasoning="not shown in a pipe"))
    done = abyssal("chat", "--system", "Be brief.", "What", "is it?", **settings)
    assert (done.returncode, done.stdout, done.stderr) == (0, "The answer,\n[bold]plain[/bold]. \n", "")
    asked = upstream.requests[-1].fields
    assert asked["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is it?"},
    ]
    assert asked["stream"] is True


def test_the_text_in_a_pipe_is_as_it_came(upstream: ScriptedUpstream, settings: dict[str, str]) -> None:
    text = "\x1b[31m你好\r\n\x07 :smile:"
    upstream.enqueue(Answer.chat(text))
    done = subprocess.run([*COMMAND, "chat", "x"], capture_output=True, env=environment(settings))
    assert done.stdout.decode() == text + "\n"


def test_the_answer_comes_as_it_is_written(upstream: ScriptedUpstream, settings: dict[str, str]) -> None:
    upstream.enqueue(Answer.chat_stream(["one "], repeat=1000, every=0.05))
    command = [*COMMAND, "chat", "x"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env=environment(settings),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(12) == b"one one one "
        process.send_signal(signal.SIGINT)  # 50 s before the answer's end
        assert process.wait(PATIENCE) == 130
        assert process.stderr.read() == b""
    upstream.wait_until_idle(connections=8)


def test_json_is_one_object(upstream: ScriptedUpstream, settings: dict[str, str]) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    upstream.enqueue(Answer.chat("said", reasoning="thought", usage=usage, finish_reason="length"))
    done = abyssal("chat", "--json", "x", **settings)
    assert done.stderr == ""
    shown = json.loads(done.stdout)
    assert shown.pop("usage").items() >= usage.items()
    assert shown == {
        "content": "said",
        "reasoning_content": "thought",
        "finish_reason": "length",
        "model": "upstream-model",
        "system_fingerprint": "fp_scripted",
    }
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "stdin", "asked"),
    [
        ((), "from a file\n", "from a file"),
        (("-",), "\ufeffmarked", "marked"),
        (("Explain", "this:", "-"), "a\nb\n", "Explain this:\n\na\nb"),
        (("--", "-x", "--help"), "", "-x --help"),
        (("only words",), "not read", "only words"),
    ],
)
def test_where_the_question_comes_from(
    upstream: ScriptedUpstream, settings: dict[str, str], arguments: tuple[str, ...], stdin: str, asked: str
) -> None:
    done = abyssal("chat", *arguments, stdin=stdin, **settings)
    assert done.returncode == 0, done.stderr
    assert upstream.requests[-1].fields["messages"] == [{"role": "user", "content": asked}]


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        ((), "", "empty"),
        (("  ",), "", "empty"),
        ((), "\n\n", "empty"),
        ((), b"\xff\xfe\x00", "not UTF-8"),
        (("chat", "\udcff"), "", "not UTF-8"),
        (("--modle", "x"), "", "--model"),
        (("--base-url", "nonsense", "--api-key", "k", "x"), "", "nonsense"),
        (("--api-key", "two words", "x"), "", "copy it again"),
    ],
)
def test_what_is_the_user_s_to_fix_is_said_and_is_2(
    settings: dict[str, str], arguments: tuple[str, ...], stdin: str | bytes, said: str
) -> None:
    done = abyssal("chat", *arguments, stdin=stdin, **settings)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_closed_standard_input_is_no_question(settings: dict[str, str]) -> None:
    shell = ["sh", "-c", '"$@" <&-', "sh", *COMMAND, "chat"]
    done = subprocess.run(shell, capture_output=True, text=True, env=environment(settings))
    assert done.returncode == 2
    assert "question is missing" in done.stderr


def test_a_mistyped_command_names_the_nearest() -> None:
    done = abyssal("chta")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'chta'" in done.stderr
    assert "'chat'" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--help",), ("keys",), ("chat", "--help")])
def test_help_is_no_error(arguments: tuple[str, ...]) -> None:
    done = abyssal(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: abyssal")


def test_an_error_of_the_other_side_is_one_sentence_and_1(
    upstream: ScriptedUpstream, settings: dict[str, str]
) -> None:
    upstream.enqueue(Answer.error(400, "Too \x1b[2J[red]bold\n\nfor us", param="messages"))
    done = abyssal("chat", "x", **settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "abyssal: Too ␛[2J[red]bold for us\n"


def test_an_answer_that_breaks_off_is_shown_as_far_as_it_came(
    upstream: ScriptedUpstream, settings: dict[str, str]
) -> None:
    upstream.enqueue(Answer.chat_stream(["half ", "an ", "answer"]).reset(after_events=2))
    done = abyssal("chat", "x", **settings)
    assert (done.returncode, done.stdout) == (1, "half \n")
    assert done.stderr.startswith("abyssal: ")


def test_an_answer_that_ends_early_is_told_of(upstream: ScriptedUpstream, settings: dict[str, str]) -> None:
    upstream.enqueue(Answer.chat("It was", finish_reason="length"))
    done = abyssal("chat", "x", **settings)
    assert (done.returncode, done.stdout) == (0, "It was\n")
    assert "ends early" in done.stderr


def test_an_unknown_model_is_answered_with_near_names(settings: dict[str, str]) -> None:
    done = abyssal("chat", "--model", "deepseek-chta", "x", **settings)
    assert done.returncode == 1
    assert "deepseek-chat" in done.stderr


def test_a_reader_who_leaves_ends_it_silently(upstream: ScriptedUpstream, settings: dict[str, str]) -> None:
    upstream.enqueue(Answer.chat_stream(["word "], repeat=1000, every=0.02))
    with subprocess.Popen(
        [*COMMAND, "chat", "x"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env=environment(settings),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(5)
        process.stdout.close()
        assert process.wait(PATIENCE) == 1
        assert process.stderr.read() == b""


def test_characters_that_the_output_cannot_have_do_not_end_it(
    upstream: ScriptedUpstream, settings: dict[str, str]
) -> None:
    upstream.enqueue(Answer.chat("Grüße 你好"))
    done = abyssal("chat", "x", PYTHONIOENCODING="ascii", **settings)
    assert (done.returncode, done.stdout) == (0, "Gr??e ??\n")


def test_the_models(settings: dict[str, str]) -> None:
    assert abyssal("models", **settings).stdout.splitlines() == list(MODELS)
    listed = json.loads(abyssal("models", "--json", **settings).stdout)
    assert [model["id"] for model in listed] == list(MODELS)
    assert {model["object"] for model in listed} == {"model"}


def test_without_a_name_a_model_is_asked_that_there_is(tmp_path: Path) -> None:
    with ScriptedUpstream(models=("llama", "qwen")) as other:
        done = abyssal(
            "chat", "x", ABYSSAL_BASE_URL=other.base_url, ABYSSAL_API_KEY="k", ABYSSAL_DATA=str(tmp_path)
        )
        assert done.returncode == 0, done.stderr
        assert other.requests[0].fields["model"] == "llama"
        other.at("/models", Answer.error(404, "no such route"))
        abyssal("chat", "x", ABYSSAL_BASE_URL=other.base_url, ABYSSAL_API_KEY="k", ABYSSAL_DATA=str(tmp_path))
        assert other.requests[1].fields["model"] == "deepseek-chat"


def test_the_first_key_reaches_no_other_service(settings: dict[str, str]) -> None:
    with ScriptedUpstream() as other:
        for how in ({"ABYSSAL_BASE_URL": other.base_url}, {"DEEPSEEK_BASE_URL": other.base_url}):
            done = abyssal("chat", "x", **settings, **how)
            assert done.returncode == 2
            assert "ABYSSAL_API_KEY" in done.stderr
        assert abyssal("chat", "--base-url", other.base_url, "x", **settings).returncode == 2
        assert other.statistics().accepted_connections == 0


def test_a_platform_that_does_not_run_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "node.json").write_text(
        '{"url": "http://127.0.0.1:9", "pid": 1}'
    )  # the discard service's port
    done = abyssal("chat", "x", ABYSSAL_API_KEY="k", ABYSSAL_DATA=str(tmp_path))
    assert done.returncode == 1
    assert "abyssal serve" in done.stderr


def test_a_wrong_key_is_said_to_be_wrong_and_is_not_shown(settings: dict[str, str]) -> None:
    done = abyssal("models", ABYSSAL_API_KEY="sk-wrong-but-long-enough-to-be-one", **settings)
    assert done.returncode == 1
    assert "key" in done.stderr
    assert "sk-wrong" not in done.stderr
