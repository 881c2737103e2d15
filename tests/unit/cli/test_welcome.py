"""The lines that quickstart offers for pasting are what they should be."""

from __future__ import annotations

import ast
import json
import shlex

from abyssal.cli.welcome import ShownKey, curl_line, python_lines

URL = "http://127.0.0.1:8000"


def test_the_curl_line_is_one_line_that_a_shell_reads_as_a_call() -> None:
    line = curl_line(URL, ShownKey("sk-1"), "deepseek-chat")
    words = shlex.split(line)
    assert "\n" not in line
    assert words[:2] == ["curl", f"{URL}/v1/chat/completions"]
    assert words[words.index("-H") + 1] == "Authorization: Bearer sk-1"
    body = json.loads(words[words.index("-d") + 1])
    assert body == {"model": "deepseek-chat", "messages": [{"role": "user", "content": "Hello!"}]}


def test_the_python_lines_are_five_that_compile() -> None:
    lines = python_lines(URL, ShownKey("sk-1"), "deepseek-chat")
    assert len(lines.splitlines()) == 5
    calls = [node for node in ast.walk(ast.parse(lines)) if isinstance(node, ast.Call)]
    client = next(call for call in calls if getattr(call.func, "id", "") == "DeepSeekClient")
    given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in client.keywords}
    assert given == {"api_key": "sk-1", "base_url": f"{URL}/v1"}


def test_a_key_in_the_environment_stays_there() -> None:
    key = ShownKey("")
    assert '"Authorization: Bearer $ABYSSAL_API_KEY"' in curl_line(URL, key, "m")  # the shell fills it in
    assert "api_key" not in python_lines(URL, key, "m")
