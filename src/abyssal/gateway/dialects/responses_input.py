"""The `input` of a Responses request as chat messages.

1. Reasoning, an assistant's messages and function calls in a row are one assistant message: the chat format
   has them together, and a call's outputs must follow the message that made it.
2. A second message without a call between begins an assistant message of its own.
3. `instructions` come first; developer messages are system messages, the only ones that the official
   service knows.
"""

from __future__ import annotations

from typing import Any

from abyssal.gateway.dialects.responses_request import Item, Part, check_item_type, missing
from abyssal.wire.errors import BadRequestError

_TEXT = frozenset(("input_text", "output_text", "text", "reasoning_text", "summary_text"))

Message = dict[str, Any]


class _Turn:
    """The assistant message under way."""

    def __init__(self) -> None:
        self.reasoning: list[str] = []
        self.said: list[str] = []
        self.calls: list[dict[str, Any]] = []

    def message(self) -> Message:
        said: Message = {"role": "assistant", "content": "\n".join(self.said)}
        if self.reasoning:
            said["reasoning_content"] = "\n".join(self.reasoning)
        if self.calls:
            said["tool_calls"] = self.calls
            if not self.said:
                said["content"] = None
        return said


def messages_of(instructions: str | None, given: str | list[Item]) -> list[Message]:
    """Chat messages for a request's `instructions` and `input`. Raises BadRequestError."""
    messages: list[Message] = []
    if instructions:
        messages.append({"role": "system", "content": instructions})
    if isinstance(given, str):
        messages.append({"role": "user", "content": given})
        return messages
    turn: _Turn | None = None
    for index, item in enumerate(given):
        where, kind = f"input[{index}]", item.type or "message"
        check_item_type(kind, where)
        if kind == "function_call_output" or (kind == "message" and item.role != "assistant"):
            if turn is not None:
                messages.append(turn.message())
                turn = None
            output = kind == "function_call_output"
            messages.append(_output(item, where) if output else _message(item, where))
            continue
        if turn is not None and turn.said and not turn.calls and kind != "function_call":
            messages.append(turn.message())
            turn = None
        if turn is None:
            turn = _Turn()
        if kind == "function_call":
            turn.calls.append(_call(item, where))
        elif kind == "reasoning":
            thought = _texts(item.content, f"{where}.content") or _texts(item.summary, f"{where}.summary")
            if thought:
                turn.reasoning.append(thought)
        else:
            if item.content is None:
                raise missing(f"{where}.content")
            turn.said.append(_texts(item.content, f"{where}.content"))
    if turn is not None:
        messages.append(turn.message())
    return messages


def _message(item: Item, where: str) -> Message:
    if item.role is None:
        raise missing(f"{where}.role")
    if item.content is None:
        raise missing(f"{where}.content")
    role = "system" if item.role == "developer" else item.role
    return {"role": role, "content": _content(item.content, f"{where}.content")}


def _call(item: Item, where: str) -> dict[str, Any]:
    if item.call_id is None:
        raise missing(f"{where}.call_id")
    if item.name is None:
        raise missing(f"{where}.name")
    if item.arguments is None:
        raise missing(f"{where}.arguments")
    function = {"name": item.name, "arguments": item.arguments}
    return {"id": item.call_id, "type": "function", "function": function}


def _output(item: Item, where: str) -> Message:
    if item.call_id is None:
        raise missing(f"{where}.call_id")
    if item.output is None:
        raise missing(f"{where}.output")
    content = _content(item.output, f"{where}.output")
    return {"role": "tool", "tool_call_id": item.call_id, "content": content}


def _content(given: str | list[Part], where: str) -> str | list[dict[str, Any]]:
    """Chat content: one text stays a string, since every upstream takes that."""
    if isinstance(given, str):
        return given
    if len(given) == 1 and given[0].type in _TEXT:
        return _text(given[0], f"{where}[0]")
    return [_part(part, f"{where}[{index}]") for index, part in enumerate(given)]


def _part(part: Part, where: str) -> dict[str, Any]:
    if part.type in _TEXT or part.type == "refusal":
        return {"type": "text", "text": _text(part, where)}
    if part.type == "input_image" and part.image_url is not None:
        image = {"url": part.image_url}
        if part.detail is not None:
            image["detail"] = part.detail
        return {"type": "image_url", "image_url": image}
    if part.type in ("input_image", "input_file"):
        if part.file_url is not None:
            raise BadRequestError(
                f'"{where}.file_url": files are not fetched; send file_data, or upload it and send file_id.',
                param=f"{where}.file_url",
                code="unsupported_parameter",
            )
        file = {"file_id": part.file_id, "file_data": part.file_data, "filename": part.filename}
        if part.file_id is None and part.file_data is None:
            raise missing(f"{where}.{'image_url' if part.type == 'input_image' else 'file_id'}")
        return {"type": "file", "file": {name: value for name, value in file.items() if value is not None}}
    raise _unserved(part, where, "input_text, input_image, input_file")


def _texts(given: str | list[Part] | None, where: str) -> str:
    """The texts of what an assistant said or thought, joined."""
    if not isinstance(given, list):
        return given or ""
    return "".join(_text(part, f"{where}[{index}]") for index, part in enumerate(given))


def _text(part: Part, where: str) -> str:
    if part.type == "refusal":
        if part.refusal is None:
            raise missing(f"{where}.refusal")
        return part.refusal
    if part.type not in _TEXT:
        raise _unserved(part, where, "output_text, refusal")
    if part.text is None:
        raise missing(f"{where}.text")
    return part.text


def _unserved(part: Part, where: str, served: str) -> BadRequestError:
    return BadRequestError(
        f'"{where}.type": parts of type "{part.type}" are not served here, only {served}.',
        param=f"{where}.type",
        code="unsupported_content",
    )
