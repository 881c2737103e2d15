"""Anthropic's system prompt and turns as chat messages. Pure; knows nothing of the rest of a request.

1. Blocks that are all text become one string, a line each, as servers join parts themselves: some take
   nothing else. With an image or a file among them they stay parts.
2. `thinking` goes back as `reasoning_content`, `tool_use` as `tool_calls`; the chat form has no place for
   their order among the text.
3. A `tool_result` is a message of its own, and comes before what else its turn says: the chat form wants it
   right after the call. Its images follow in the user's message, since a tool's message is text. `is_error`
   becomes the first word of the text.
4. The last turn may be the assistant's: it is what the answer begins with (`prefix`).
5. Blocks that only Anthropic's own tools produce are passed over; nothing here ever made them.
"""

from __future__ import annotations

import msgspec

from abyssal.gateway.dialects.anthropic_request import Block, Prompt, Source, missing, wrong

Fields = dict[str, object]

_TAKEN = "text, image, document, search_result or tool_result"
_PASSED_OVER = frozenset({"container_upload", "tool_reference", "browser_state", "redacted_thinking"})

_encode = msgspec.json.Encoder().encode


def chat_messages(prompt: Prompt) -> list[Fields]:
    """The chat messages. Raises BadRequestError whose `param` names the field as the client wrote it."""
    out: list[Fields] = []
    system = prompt.system
    if system:
        text = system if isinstance(system, str) else _text(system, "system")
        out.append({"role": "system", "content": text})
    for at, message in enumerate(prompt.messages):
        content = message.content
        if isinstance(content, str):
            out.append({"role": message.role, "content": content})
        elif len(content) == 1 and content[0].type == "text" and content[0].text is not None:
            out.append({"role": message.role, "content": content[0].text})  # the usual turn
        elif message.role == "user":
            _user_turn(content, f"messages[{at}].content", out)
        elif message.role == "assistant":
            out.append(_assistant_turn(content, f"messages[{at}].content"))
        else:
            out.append({"role": "system", "content": _text(content, f"messages[{at}].content")})
    last = out[-1]
    if last["role"] == "assistant" and last["content"] and "tool_calls" not in last:
        last["prefix"] = True
    return out


def _user_turn(blocks: list[Block], where: str, out: list[Fields]) -> None:
    parts: list[Fields] = []
    begun = len(out)
    for at, block in enumerate(blocks):
        if block.type == "tool_result":
            out.append(_tool_message(block, f"{where}[{at}]", parts))
        else:
            _add_parts(block, where, at, parts)
    if parts or len(out) == begun:
        out.append({"role": "user", "content": _content(parts)})


def _assistant_turn(blocks: list[Block], where: str) -> Fields:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Fields] = []
    for at, block in enumerate(blocks):
        if block.type == "text":
            texts.append(_needed(block.text, where, at, "text"))
        elif block.type == "thinking":
            thoughts.append(_needed(block.thinking, where, at, "thinking"))
        elif block.type == "tool_use":
            name = _needed(block.name, where, at, "name")
            function = {"name": name, "arguments": _encode(block.input or {}).decode()}
            calls.append({"id": _needed(block.id, where, at, "id"), "type": "function", "function": function})
    message: Fields = {"role": "assistant", "content": "".join(texts)}
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message


def _tool_message(block: Block, where: str, parts: list[Fields]) -> Fields:
    """The message of a tool's result; what is not text goes to `parts`."""
    if block.tool_use_id is None:
        raise missing(f"{where}.tool_use_id")
    content = block.content
    if isinstance(content, dict):
        raise wrong(f"{where}.content", "a result is a string or an array of blocks.")
    if isinstance(content, list):
        found: list[Fields] = []
        for at, inner in enumerate(content):
            _add_parts(inner, f"{where}.content", at, found)
        texts = [str(part["text"]) for part in found if part["type"] == "text"]
        others = [part for part in found if part["type"] != "text"]
        parts += others
        content = "\n".join(texts) or ("(shown in the next message)" if others else "")
    text = content or ""
    if block.is_error:
        text = f"Error: {text}"
    return {"role": "tool", "tool_call_id": block.tool_use_id, "content": text}


def _add_parts(block: Block, where: str, at: int, parts: list[Fields]) -> None:
    """Add what the block at `where[at]` says to `parts`."""
    kind = block.type
    if kind == "text":
        parts.append({"type": "text", "text": _needed(block.text, where, at, "text")})
    elif kind == "image":
        parts.append(_image(_source(block, where, at), f"{where}[{at}].source"))
    elif kind == "document":
        _add_document(block, _source(block, where, at), f"{where}[{at}].source", parts)
    elif kind == "search_result":
        parts.append({"type": "text", "text": _search_result(block, f"{where}[{at}]")})
    elif kind not in _PASSED_OVER:
        raise wrong(f"{where}[{at}].type", f'"{kind[:100]}" is not taken here; send {_TAKEN} blocks.')


def _image(source: Source, where: str) -> Fields:
    if source.type == "file":
        return _file_part(source, where)
    if source.type == "url":
        if source.url is None:
            raise missing(f"{where}.url")
        return {"type": "image_url", "image_url": {"url": source.url}}
    if source.type == "base64":
        return {"type": "image_url", "image_url": {"url": _data_url(source, where)}}
    raise wrong(f"{where}.type", f'"{source.type[:100]}" is no source of an image; use base64, url or file.')


def _add_document(block: Block, source: Source, where: str, parts: list[Fields]) -> None:
    title = block.title
    if source.type == "text":
        if source.data is None:
            raise missing(f"{where}.data")
        parts.append({"type": "text", "text": f"{title}\n{source.data}" if title else source.data})
    elif source.type == "content":
        if title:
            parts.append({"type": "text", "text": title})
        if isinstance(source.content, str):
            parts.append({"type": "text", "text": source.content})
        else:
            for at, inner in enumerate(source.content or ()):
                _add_parts(inner, f"{where}.content", at, parts)
    elif source.type == "base64":
        file = {"filename": title or "document.pdf", "file_data": _data_url(source, where)}
        parts.append({"type": "file", "file": file})
    elif source.type == "file":
        parts.append(_file_part(source, where))
    else:
        raise wrong(
            f"{where}.type",
            f'"{source.type[:100]}" is no source of a document here; use text, content, base64 or file.',
        )


def _search_result(block: Block, where: str) -> str:
    head = " ".join(item for item in (block.title, block.source) if isinstance(item, str))
    content = block.content
    body = _text(content, f"{where}.content") if isinstance(content, list) else str(content or "")
    return f"{head}\n{body}" if head else body


def _text(blocks: list[Block], where: str) -> str:
    """The text of blocks that may be nothing else."""
    texts: list[str] = []
    for at, block in enumerate(blocks):
        if block.type != "text":
            raise wrong(f"{where}[{at}].type", f'"{block.type[:100]}" is not taken here; send text blocks.')
        texts.append(_needed(block.text, where, at, "text"))
    return "\n".join(texts)


def _content(parts: list[Fields]) -> object:
    if all(part["type"] == "text" for part in parts):
        return "\n".join([str(part["text"]) for part in parts])
    return parts


def _source(block: Block, where: str, at: int) -> Source:
    if not isinstance(block.source, Source):
        raise missing(f"{where}[{at}].source")
    return block.source


def _data_url(source: Source, where: str) -> str:
    if source.media_type is None or source.data is None:
        raise missing(f"{where}.{'data' if source.media_type else 'media_type'}")
    return f"data:{source.media_type};base64,{source.data}"


def _file_part(source: Source, where: str) -> Fields:
    if source.file_id is None:
        raise missing(f"{where}.file_id")
    return {"type": "file", "file": {"file_id": source.file_id}}


def _needed(value: str | None, where: str, at: int, name: str) -> str:
    if value is None:
        raise missing(f"{where}[{at}].{name}")
    return value
