"""The names of the repairs: what a profile switches and what `x-abyssal-repairs` tells are the same words."""

from __future__ import annotations

from typing import Literal

import msgspec

from abyssal.config import Repairs

Repair = Literal[
    "reasoning_content",
    "thinking_tool_choice",
    "legacy_functions",
    "tools_as_functions",
    "flat_content",
    "leaked_tool_calls",
    "reasoning_field",
    "empty_json",
    "json_schema",
    "strict_tools",
    "usage",
    "blank_lines",
    "error_label",
]


def switched(by_kind: frozenset[Repair], config: Repairs) -> frozenset[Repair]:
    """The repairs of one upstream: those of its kind, with what its configuration switches on and off."""
    chosen = msgspec.structs.asdict(config)
    on: list[Repair] = [name for name, value in chosen.items() if value]  # pyright: ignore[reportAssignmentType]
    return by_kind.difference(name for name, value in chosen.items() if value is False).union(on)
