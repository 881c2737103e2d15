"""Repairs on a node with several workers: what one of them saw, all of them know."""

from __future__ import annotations

from typing import Any

from openai import OpenAI

from abyssal.testing import Answer, RunningServer, ScriptedUpstream, tool_call

from .calls import table, upstream, wait_for

TOOLS: list[Any] = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
ASKED = {"role": "user", "content": "Is it sunny?"}
SAID = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "clear"}


def test_what_was_thought_is_put_back_by_any_worker(tmp_path: Any) -> None:
    with ScriptedUpstream(models=("upstream-model",)) as scripted:
        config = table("[server]", workers=3) + upstream("official", scripted.base_url, kind="deepseek")
        with RunningServer(config, tmp_path, workers=3) as server:

            def ask(*messages: Any) -> tuple[str, str | None]:
                """Who answered, and what was repaired."""
                with OpenAI(api_key=server.api_key, base_url=server.base_url, max_retries=0) as client:
                    raw = client.chat.completions.with_raw_response.create(
                        model="official", messages=list(messages), tools=TOOLS
                    )
                worker = raw.headers["x-request-id"].partition("-")[0]
                return worker, raw.headers.get("x-abyssal-repairs")

            scripted.enqueue(Answer.chat(None, reasoning="Hm.", tool_calls=[tool_call("weather", {})]))
            ask(ASKED)
            repairs: dict[str, str | None] = {}

            def all_know() -> bool:
                repairs.update([ask(ASKED, SAID, RESULT)])
                return len(repairs) == 3 and set(repairs.values()) == {"reasoning_content"}

            wait_for(all_know, "repair by each of three workers", 30.0)
            assert scripted.requests[-1].json()["messages"][1]["reasoning_content"] == "Hm."
