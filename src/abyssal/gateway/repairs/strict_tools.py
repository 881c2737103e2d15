"""Strict tools: their rules, and repair `strict_tools` for upstreams that do not hold to them.

1. On the beta route every function is strict or none is, requires all of its properties and allows no others,
   in every object of its schema.
2. Elsewhere an answer that calls a strict function is held back until it is whole, and its arguments must
   conform; if they do not, it is asked for once more, and if they do not either, the client is told.

Source: DeepSeek API, "Function Calling", strict mode (beta).
"""

from __future__ import annotations

from typing import Any

import msgspec

from abyssal.gateway.repairs.whole_answer import Said, WholeAnswer
from abyssal.wire.chat_request import ChatRequest, Tool
from abyssal.wire.errors import BadRequestError
from abyssal.wire.json_schema import MOST_NODES, Validator
from abyssal.wire.schema_tree import as_list, as_schema, nodes

_encode = msgspec.json.Encoder().encode


def has_strict(request: ChatRequest) -> bool:
    """Whether a function of the request is strict."""
    return any(tool.function.strict for tool in request.tools or ())


def check_strict(request: ChatRequest) -> None:
    """Raise BadRequestError where strict functions break rule 1."""
    tools = request.tools or []
    if not any(tool.function.strict for tool in tools):
        return
    for place, tool in enumerate(tools):
        where = f"tools[{place}].function"
        if not tool.function.strict:
            raise _refusal(f"{where}.strict", "must be true, since another function's is")
        for path, node in nodes(_parameters(tool), f"{where}.parameters", MOST_NODES):
            properties = as_schema(node.get("properties"))
            if not properties and node.get("type") != "object":
                continue
            missing = [name for name in properties if name not in as_list(node.get("required"))]
            if missing:
                raise _refusal(
                    f"{path}.required", f'must name every property of a strict function: "{missing[0]}"'
                )
            if node.get("additionalProperties") is not False:
                raise _refusal(f"{path}.additionalProperties", "must be false in a strict function")


def validators_of(request: ChatRequest) -> dict[str, Validator]:
    """What judges the arguments of each strict function, by its name."""
    return {
        tool.function.name: Validator(_parameters(tool), f"tools[{place}].function.parameters")
        for place, tool in enumerate(request.tools or ())
        if tool.function.strict
    }


def _parameters(tool: Tool) -> dict[str, Any]:
    return as_schema(msgspec.json.decode(_encode(tool.function.parameters or {})))


class StrictReview(WholeAnswer):
    """Judges one answer."""

    name = "strict_tools"
    where = "tools"

    def __init__(self, validators: dict[str, Validator]) -> None:
        super().__init__()
        self._validators = validators

    def conforms(self, said: Said) -> bool:
        if said.finish_reason not in ("tool_calls", "stop"):
            return True
        return all(self._fits(*call) for call in said.calls)

    def _fits(self, name: str, arguments: str) -> bool:
        validator = self._validators.get(name)
        if validator is None:
            return True
        try:
            value = msgspec.json.decode(arguments or "{}")
        except (msgspec.DecodeError, RecursionError):
            return False
        return validator.accepts(value)


def _refusal(where: str, why: str) -> BadRequestError:
    return BadRequestError(f"{where} {why}.", param=where[:300], code="invalid_value")
