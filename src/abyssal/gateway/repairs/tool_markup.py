"""DeepSeek's own markup for tool calls, which servers should have parsed: text to calls. Pure.

    V3, R1   <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME⏎```json⏎{…}⏎```<｜tool▁ca…
    V3.1     <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>NAME<｜tool▁sep｜>{…}<｜tool▁call▁end｜>…
    V3.2     <｜DSML｜function_calls><｜DSML｜invoke name="NAME"><｜DSML｜parameter name="P" string="true">…
    V4       the same within <｜DSML｜tool_calls>

Some servers write the bars and the underscores in ASCII. Sources: the chat templates of the models, and the
tool parsers of vLLM and SGLang.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

Call = tuple[str, str]
"""A function's name, and its arguments as JSON text."""

_BAR, _GAP = "[｜|]", "[▁_]"
_WORDS = (
    "tool▁calls▁begin｜>",
    "tool▁call▁begin｜>",
    "DSML｜function_calls>",
    "DSML｜tool_calls>",
    "DSML｜invoke ",
)
_OPENERS = tuple(
    f"<｜{word}".replace("▁", gap).replace("｜", bar) for bar in "｜|" for gap in "▁_" for word in _WORDS
)
_LONGEST = max(map(len, _OPENERS))


def _mark(name: str) -> str:
    return f"<{_BAR}{name.replace(' ', _GAP)}{_BAR}>"


_OPENER = re.compile("|".join(re.escape(opener) for opener in dict.fromkeys(_OPENERS)))
_CALL = re.compile(
    rf"{_mark('tool call begin')}(?P<first>[^<]*){_mark('tool sep')}(?P<rest>.*?){_mark('tool call end')}",
    re.DOTALL,
)
_FENCED = re.compile(r"(?P<name>[^\n`]+)\n```(?:json)?\n(?P<arguments>.*?)\n?```\s*", re.DOTALL)
_AROUND = re.compile(f"{_mark('tool calls begin')}|{_mark('tool calls end')}|\\s+")
_INVOKE = re.compile(
    rf'<{_BAR}DSML{_BAR}invoke\s+name="(?P<name>[^"]+)"\s*>(?P<body>.*?)</{_BAR}DSML{_BAR}invoke>', re.DOTALL
)
_PARAMETER = re.compile(
    rf'<{_BAR}DSML{_BAR}parameter\s+name="(?P<name>[^"]+)"(?:\s+string="(?P<string>true|false)")?\s*>'
    rf"(?P<value>.*?)</{_BAR}DSML{_BAR}parameter>",
    re.DOTALL,
)
_DSML_AROUND = re.compile(rf"</?{_BAR}DSML{_BAR}(?:function_calls|tool_calls)>|\s+")
_encode = msgspec.json.Encoder().encode


def split_at_markup(text: str) -> tuple[str, str]:
    """`text` before markup begins, or may begin with what follows, and from there on."""
    found = _OPENER.search(text)
    if found is not None:
        return text[: found.start()], text[found.start() :]
    at = text.rfind("<", max(0, len(text) - _LONGEST))
    if at >= 0 and any(opener.startswith(text[at:]) for opener in _OPENERS):
        return text[:at], text[at:]
    return text, ""


def begins_markup(text: str) -> bool:
    """Whether `text` begins with markup, and not only with what may become it."""
    return _OPENER.match(text) is not None


def parse_markup(text: str) -> list[Call]:
    """The calls in `text`, which begins with markup; none unless all of it can be understood."""
    pattern, around, read = (
        (_INVOKE, _DSML_AROUND, _invoked) if "DSML" in text[:8] else (_CALL, _AROUND, _called)
    )
    if around.sub("", pattern.sub("", text)):
        return []
    calls = [read(found) for found in pattern.finditer(text)]
    return [call for call in calls if call is not None] if all(calls) else []


def _called(found: re.Match[str]) -> Call | None:
    fenced = _FENCED.fullmatch(found["rest"])
    if fenced is not None:
        return _with_arguments(fenced["name"].strip(), fenced["arguments"])
    return _with_arguments(found["first"].strip(), found["rest"])


def _invoked(found: re.Match[str]) -> Call | None:
    body = found["body"]
    if body.lstrip()[:1] == "{":
        return _with_arguments(found["name"], body)
    if _PARAMETER.sub("", body).strip():
        return None
    arguments = {one["name"]: _value(one["value"], one["string"]) for one in _PARAMETER.finditer(body)}
    return found["name"], _encode(arguments).decode()


def _value(text: str, is_string: str) -> Any:
    if is_string == "true":
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _with_arguments(name: str, text: str) -> Call | None:
    try:
        arguments = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return (name, text.strip()) if name and isinstance(arguments, dict) else None
