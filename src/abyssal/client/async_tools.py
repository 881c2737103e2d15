"""A run of tools, asynchronous: asks the model, calls what it asks for. What comes next `tools.steps` knows.

Functions that have to be awaited run in the event loop, plain ones in a thread: they may take their time.
"""

from __future__ import annotations

import asyncio
from typing import Any

from abyssal.client.async_chat import AsyncCompletions
from abyssal.client.tools.steps import Ready, ToolRun, ToolSteps


async def run_steps(completions: AsyncCompletions, steps: ToolSteps) -> ToolRun:
    """The end of the run. Raises what a call of the model raises, and ToolStepsError."""
    while True:
        calls = steps.take(await completions.create(**steps.params()))
        if isinstance(calls, ToolRun):
            return calls
        for call in calls:
            ready = steps.prepare(call)
            if ready is None:
                continue
            try:
                result = await _called(ready)
            except Exception as error:  # noqa: BLE001 - the model is told of it, or it is raised again
                steps.failed(call, error)
            else:
                steps.finished(call, result)


async def _called(ready: Ready) -> Any:
    if ready.tool.is_async:
        return await ready.tool(**ready.arguments)
    return await asyncio.to_thread(ready.tool, **ready.arguments)
