"""Each example of docs/sdk.md runs as it stands there, and its table of exceptions is the tree that there is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.calls import upstream
from tests.system.identities import Identities

import abyssal
from abyssal.client.retry import is_retryable
from abyssal.testing import Answer, ReceivedRequest, RunningServer, ScriptedUpstream, tool_call

PAGE = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def model(request: ReceivedRequest) -> Answer:
    """Asks for a tool if there is one and it was not asked yet; knows the vectors of texts."""
    asked = request.json()
    if "input" in asked:
        return Answer.embeddings()
    if "tools" not in asked or asked["messages"][-1]["role"] == "tool":
        return Answer.chat("Hello from the model.", reasoning="Hm.")
    function = asked["tools"][0]["function"]
    (first, *_) = function["parameters"]["required"]
    return Answer.chat(None, tool_calls=[tool_call(function["name"], {first: "Beijing"}, id="call_0")])


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(models=("upstream-model",), default=model) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def environ(scripted: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    config = upstream("deepseek-chat", scripted.base_url, kind="deepseek")
    config += upstream("abyssal-tiny", scripted.base_url)
    with RunningServer(config, tmp_path_factory.mktemp("sdk-docs"), grace=0) as server:
        ours = Identities(server)
        yield {
            "BASE": server.url,
            "KEY": server.api_key,
            "CLIENT_ID": ours.client["id"],
            "CLIENT_SECRET": ours.client["secret"],
            "SIGNING_ID": ours.signing["id"],
            "SIGNING_SECRET": ours.signing["secret"],
        }


def test_there_is_an_example_for_everything() -> None:
    assert len(EXAMPLES) == 17
    names = "create_session send_message fork reset messages run_tools AsyncDeepSeekClient auth= key_id"
    names += " completions.create text.generate embeddings.create client.stream( conversations. files.create"
    names += " resumable=True server=True conversation_id= wire_format="
    for name in names.split():
        assert name in "".join(EXAMPLES)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example(environ: dict[str, str], scripted: ScriptedUpstream, number: int) -> None:
    before = len(scripted.requests)
    command = [sys.executable, "-W", "error", "-c", EXAMPLES[number]]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    if "tools=" in EXAMPLES[number]:
        last = json.loads(scripted.requests[-1].body)
        assert [message["role"] for message in last["messages"]] == ["user", "assistant", "tool"]
        assert len(scripted.requests) == before + 2


def table() -> dict[str, list[str]]:
    section = PAGE.partition("## Exceptions\n")[2]
    rows = [re.split(r" \| ", line.strip("| ")) for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): [cell.strip("` |") for cell in row[1:]] for row in rows}


def test_the_table_of_exceptions_is_the_tree() -> None:
    exported = {
        name: getattr(abyssal, name)
        for name in abyssal.__all__
        if isinstance(getattr(abyssal, name), type) and issubclass(getattr(abyssal, name), Exception)
    }
    rows = table()
    assert {"AbyssalError", *rows} == set(exported)
    for name, (below, when, *retried) in rows.items():
        kind = exported[name]
        assert kind.__base__ is exported[below], name
        if retried and retried[0] in ("yes", "no"):
            error = kind("", []) if name == "ToolStepsError" else kind("")
            assert is_retryable(error) is (retried[0] == "yes"), name
        if below == "ApiError":
            assert when.startswith(str(kind.status)), name
