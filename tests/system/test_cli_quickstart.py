"""`abyssal quickstart`: from nothing to an answer, lines that really can be pasted, and a clean end.

The official service's place is taken by a scripted upstream, so that the answer is known.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from abyssal.testing import Answer, ScriptedUpstream
from abyssal.testing.processes import descendants, group_members

from .cli_process import PATIENCE, Terminal, abyssal, environment

SERVING = "Serving until Ctrl-C."


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
def settings(upstream: ScriptedUpstream, tmp_path: Path) -> dict[str, str]:
    return {
        "DEEPSEEK_API_KEY": "sk-official",
        "DEEPSEEK_BASE_URL": upstream.base_url,
        "ABYSSAL_DATA": str(tmp_path / "data"),
    }


def start(settings: dict[str, str]) -> Terminal:
    return Terminal("quickstart", "--listen", "127.0.0.1:0", **settings)


def node(settings: dict[str, str]) -> dict[str, object]:
    return json.loads((Path(settings["ABYSSAL_DATA"]) / "node.json").read_bytes())


def line_with(text: str, shown: str) -> str:
    return next(line for line in shown.splitlines() if text in line)


def test_from_nothing_to_an_answer_and_a_clean_end(
    upstream: ScriptedUpstream, settings: dict[str, str]
) -> None:
    upstream.enqueue(Answer.chat("Hello [bold]there[/bold].", reasoning="Say hello."))
    with start(settings) as terminal:
        shown = terminal.wait_for(SERVING)
        assert "> Say hello in one sentence.\nSay hello.\n\nHello [bold]there[/bold].\n" in shown
        key = (Path(settings["ABYSSAL_DATA"]) / "first-key").read_text().strip()
        assert re.search(rf"│ *URL +{node(settings)['url']} *│", shown)
        assert re.search(rf"│ *API key +{key} *│", shown)
        assert "small demonstration model" not in shown
        below = descendants(terminal.process.pid)
        assert below
        terminal.type("\x03")
        assert terminal.wait_end() == 0
    assert still_running(below) == []
    assert upstream.requests[0].header("authorization") == "Bearer sk-official"


def test_the_bundled_model_is_called_what_it_is(tmp_path: Path) -> None:
    with start({"ABYSSAL_DATA": str(tmp_path / "data")}) as terminal:
        shown = terminal.wait_for(SERVING)
        answer = shown.partition("> Say hello in one sentence.\n")[2].partition("\n")[0]
        assert answer.strip()
        assert "abyssal-tiny, a small demonstration model" in shown.partition("╰")[2]
        assert "DEEPSEEK_API_KEY" in shown
        assert "--model FILE.gguf" in shown
        terminal.type("\x03")
        assert terminal.wait_end() == 0


def test_what_it_offers_for_pasting_works(upstream: ScriptedUpstream, settings: dict[str, str]) -> None:
    with piped(settings) as process:
        shown = read_until(process, SERVING)
        assert "\x1b" not in shown
        upstream.default = Answer.chat("Pasted.")
        words = shlex.split(line_with("curl ", shown))
        headers = dict(words[at + 1].split(": ") for at, word in enumerate(words) if word == "-H")
        request = urllib.request.Request(words[1], words[words.index("-d") + 1].encode(), headers)
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            answer = json.loads(response.read())
        assert answer["choices"][0]["message"]["content"] == "Pasted."

        start_line = shown.index("from abyssal import")
        lines = shown[start_line : shown.index("\n\n", start_line)]
        done = subprocess.run(
            [sys.executable, "-c", lines], capture_output=True, text=True, env=environment({})
        )
        assert (done.stdout, done.stderr) == ("Pasted.\n", "")

        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_a_key_from_the_environment_is_named_and_not_shown(settings: dict[str, str]) -> None:
    key = "sk-from-the-environment-0123456789"
    with piped({**settings, "ABYSSAL_API_KEY": key}) as process:
        shown = read_until(process, SERVING)
        assert "in ABYSSAL_API_KEY" in shown
        assert "$ABYSSAL_API_KEY" in line_with("curl ", shown)
        assert key not in shown
        process.terminate()
        assert process.wait(PATIENCE) == 0
    with piped(settings) as process:  # the next time without it: there is no key that could be used
        shown = read_until(process, SERVING)
        process.terminate()
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        assert "keys create" in process.stderr.read().decode()


def test_an_answer_that_fails_does_not_end_it(upstream: ScriptedUpstream, settings: dict[str, str]) -> None:
    upstream.default = Answer.error(402, "Insufficient Balance")
    with piped(settings) as process:
        read_until(process, SERVING)
        process.send_signal(signal.SIGHUP)
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        assert "abyssal: Insufficient Balance\n" in process.stderr.read().decode()


def test_a_platform_that_dies_ends_it_with_its_exit_code(settings: dict[str, str]) -> None:
    with piped(settings) as process:
        read_until(process, SERVING)
        pid = node(settings)["pid"]
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGKILL)
        assert process.wait(PATIENCE) == 128 + signal.SIGKILL
        assert process.stderr is not None
        assert "ended by itself" in process.stderr.read().decode()


def test_an_address_that_is_taken_is_the_server_s_sentence(settings: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = abyssal("quickstart", "--listen", address, **settings)
    assert done.returncode == 2
    assert "--listen" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_model_file_that_is_not_there_is_named(settings: dict[str, str], tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.gguf")
    done = abyssal("quickstart", "--listen", "127.0.0.1:0", "--model", missing, **settings)
    assert done.returncode == 2
    assert missing in done.stderr


def test_a_second_ctrl_c_does_not_wait_for_answers(
    upstream: ScriptedUpstream, settings: dict[str, str]
) -> None:
    with start(settings) as terminal:
        terminal.wait_for(SERVING)
        upstream.default = Answer.chat_stream(["word "], repeat=10_000, every=0.02)
        asking = subprocess.Popen(
            [sys.executable, "-m", "abyssal", "chat", "x"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment({"ABYSSAL_DATA": settings["ABYSSAL_DATA"]}),
        )
        with asking:
            assert asking.stdout is not None
            asking.stdout.read(4)
            below = descendants(terminal.process.pid)
            terminal.type("\x03")
            terminal.wait_for("Ctrl-C again stops at once")
            asking.stdout.read(100)  # the answer goes on
            terminal.type("\x03")
            assert terminal.wait_end() == 128 + signal.SIGKILL
            assert asking.wait(PATIENCE) == 1
    deadline = time.monotonic() + PATIENCE
    while still_running(below):  # the engine sees for itself that its owner is gone
        assert time.monotonic() < deadline, still_running(below)
        time.sleep(0.05)


def test_a_stop_while_it_starts_is_a_clean_end(settings: dict[str, str]) -> None:
    with piped(settings) as process:
        read_until(process, "Starting the platform")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read().decode()


def piped(settings: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "abyssal", "quickstart", "--listen", "127.0.0.1:0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(settings),
        process_group=0,
    )


def read_until(process: subprocess.Popen[bytes], text: str) -> str:
    """What it printed up to the line with `text`."""
    assert process.stdout is not None
    shown = ""
    for line in process.stdout:
        shown += line.decode()
        if text in shown:
            return shown
    raise AssertionError(f"it ended without {text!r}: {shown!r}")


def still_running(pids: list[int]) -> list[int]:
    """Which of these processes of one platform have not ended. Engines have groups of their own."""
    groups = {os.getpgid(pid) for pid in pids if exists(pid)}
    members = {pid for group in groups for pid in group_members(group)}
    return [pid for pid in pids if pid in members]


def exists(pid: int) -> bool:
    """Whether there is such a process, be it only one that nobody waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
