"""A run of tools, asynchronous: asks the model, calls what it asks for. What comes next `tools.steps` knows.

Functions that have to be awaited run in the event loop, plain ones in a thread: they may take their time.
"""

from __future__ import annotations

import asyncio
import inspect
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
            result, error = await _outcome(ready)
            if error is not None:
                steps.failed(call, error)
            else:
                steps.finished(call, result)


async def _outcome(ready: Ready) -> tuple[Any, Exception | None]:
    """What the tool gave, or the error that it raised: the model is told of it, or it is raised again."""
    try:
        if ready.tool.is_async:
            return await ready.tool(**ready.arguments), None
        result, error = await asyncio.to_thread(_outcome_here, ready)
        return (await result if inspect.isawaitable(result) else result), error
    except Exception as error:  # noqa: BLE001 - see above
        return None, error


def _outcome_here(ready: Ready) -> tuple[Any, Exception | None]:
    # Raised in a thread, a StopIteration would never come out of it: no future takes one.
    try:
        return ready.tool(**ready.arguments), None
    except Exception as error:  # noqa: BLE001 - see above
        return None, error
