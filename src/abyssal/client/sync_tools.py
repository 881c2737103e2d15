"""A run of tools, blocking: asks the model, calls what it asks for. What comes next `tools.steps` knows."""

from __future__ import annotations

from abyssal.client.sync_chat import Completions
from abyssal.client.tools.steps import ToolRun, ToolSteps
from abyssal.wire.errors import ConfigurationError


def run_steps(completions: Completions, steps: ToolSteps) -> ToolRun:
    """The end of the run. Raises what a call of the model raises, and ToolStepsError."""
    for tool in steps.tools:
        if tool.is_async:
            raise ConfigurationError(
                f"The tool {tool.name} has to be awaited; use AsyncDeepSeekClient, or give a plain function."
            )
    while True:
        calls = steps.take(completions.create(**steps.params()))
        if isinstance(calls, ToolRun):
            return calls
        for call in calls:
            ready = steps.prepare(call)
            if ready is None:
                continue
            try:
                result = ready.tool(**ready.arguments)
            except Exception as error:  # noqa: BLE001 - the model is told of it, or it is raised again
                steps.failed(call, error)
            else:
                steps.finished(call, result)
