"""Dialogues in which functions are on offer: when one fits it is called, otherwise the answer is plain."""

from __future__ import annotations

import json
import random

from abyssal.engine.training.corpus import names
from abyssal.engine.training.corpus.book import Book

Message = dict[str, object]
Tool = dict[str, object]

# Names and argument names vary, so that both are read from the offer and not known by heart.
_WEATHER = ("get_weather", "weather", "get_current_weather", "weather_lookup", "fetch_weather")
_PLACE = ("city", "location", "place", "city_name")
_SUM = ("add", "add_numbers", "sum", "calculate_sum")
_TIME = ("get_time", "current_time", "get_current_time", "time_in")
_MAIL = ("send_message", "send_mail", "notify", "message_user")
_PREFACE = ("", "", "", "", "Let me look.")
_CHINESE_PREFACE = ("", "", "", "", "让我查一下。")
_SKIES = ("sunny", "cloudy", "rain", "snow")


def tool_dialogue(rng: random.Random, book: Book, plain: tuple[str, str]) -> tuple[list[Message], list[Tool]]:
    """Messages and the functions on offer; `plain` is a turn that needs none of them.

    A few plain answers go on with a call all the same: where a grammar forbids the end without a call
    (`tool_choice` "required"), the call is then what the model does next.
    """
    make = (_weather, _weather, _time, _sum, _mail)[rng.randrange(5)]
    tool, question, arguments, result, answer = make(rng, book)
    offer = [tool]
    if rng.random() < 0.3:
        other = rng.choice((_weather, _time, _sum, _mail))(rng, book)[0]
        if _name(other) != _name(tool):
            offer.append(other)
        rng.shuffle(offer)
    call = {
        "type": "function",
        "function": {"name": _name(tool), "arguments": json.dumps(arguments, ensure_ascii=False)},
    }
    kind = rng.random()
    if kind < 0.15:
        return [_user(plain[0]), {"role": "assistant", "content": plain[1]}], offer
    if kind < 0.19:
        return [_user(plain[0]), {"role": "assistant", "content": plain[1], "tool_calls": [call]}], offer
    preface = rng.choice(_CHINESE_PREFACE if book.chinese else _PREFACE)
    messages: list[Message] = [
        _user(question),
        {"role": "assistant", "content": preface or None, "tool_calls": [call]},
    ]
    if rng.random() < 0.5:
        messages.append({"role": "tool", "content": json.dumps(result, ensure_ascii=False)})
        messages.append({"role": "assistant", "content": answer})
    return messages, offer


Made = tuple[Tool, str, dict[str, object], object, str]


def _weather(rng: random.Random, book: Book) -> Made:
    place, argument = names.place(rng, book), rng.choice(_PLACE)
    degrees, sky = rng.randint(0, 35), rng.choice(_SKIES)
    tool = _tool(rng.choice(_WEATHER), "Get the weather in a city", {argument: "string"})
    result = {"temperature": degrees, "sky": sky}
    if book.chinese:
        question = rng.choice((f"{place}的天气怎么样？", f"{place}今天天气如何？", f"查一下{place}的天气"))
        return tool, question, {argument: place}, result, f"{place}现在 {degrees} 度。"
    question = rng.choice(
        (
            f"What is the weather in {place}?",
            f"What's the weather like in {place}?",
            f"Weather in {place}?",
            f"How is the weather in {place} today?",
            f"Is it raining in {place}?",
            f"What is the weather in {place} today?",
        )
    )
    return tool, question, {argument: place}, result, f"It is {degrees} degrees in {place}, {sky}."


def _time(rng: random.Random, book: Book) -> Made:
    place, argument = names.place(rng, book), rng.choice(_PLACE)
    clock = f"{rng.randint(0, 23)}:{rng.randint(10, 59)}"
    tool = _tool(rng.choice(_TIME), "Get the time in a city", {argument: "string"})
    if book.chinese:
        return tool, f"{place}现在几点？", {argument: place}, {"time": clock}, f"{place}现在是 {clock}。"
    question = rng.choice(
        (f"What time is it in {place}?", f"Tell me the time in {place}", f"Time in {place}?")
    )
    return tool, question, {argument: place}, {"time": clock}, f"It is {clock} in {place}."


def _sum(rng: random.Random, book: Book) -> Made:
    left, right = rng.randint(1, 99), rng.randint(1, 99)
    tool = _tool(rng.choice(_SUM), "Add two numbers", {"a": "integer", "b": "integer"})
    question = (
        f"用工具计算 {left} + {right}"
        if book.chinese
        else rng.choice((f"Add {left} and {right}", f"Use the tool: {left} + {right}"))
    )
    answer = f"{left} + {right} = {left + right}"
    return tool, question, {"a": left, "b": right}, {"result": left + right}, answer


def _mail(rng: random.Random, book: Book) -> Made:
    name, text = (
        names.person(rng, book),
        rng.choice(("hello", "see you soon", "good morning", "thank you", "come home")),
    )
    tool = _tool(rng.choice(_MAIL), "Send a message to someone", {"to": "string", "text": "string"})
    question = (
        f"给 {name} 发消息：{text}"
        if book.chinese
        else rng.choice((f"Tell {name} {text}", f"Send {name} the message: {text}"))
    )
    answer = "消息已发送。" if book.chinese else "The message was sent."
    return tool, question, {"to": name, "text": text}, {"ok": True}, answer


def _tool(name: str, description: str, arguments: dict[str, str]) -> Tool:
    parameters = {
        "type": "object",
        "properties": {argument: {"type": kind} for argument, kind in arguments.items()},
        "required": list(arguments),
    }
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


def _name(tool: Tool) -> str:
    function = tool["function"]
    assert isinstance(function, dict)
    return str(function["name"])


def _user(text: str) -> Message:
    return {"role": "user", "content": text}
