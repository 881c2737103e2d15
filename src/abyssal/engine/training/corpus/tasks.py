"""Small tasks with a right answer, in both languages: sums, counting, weekdays, words, copying, JSON.

Each function makes one turn: what a person asks, and the answer.
"""

from __future__ import annotations

import json
import random

from abyssal.engine.training.corpus import names
from abyssal.engine.training.corpus.book import Book

Turn = tuple[str, str]


def arithmetic(rng: random.Random, book: Book) -> Turn:
    """A sum, a difference or a product of small numbers."""
    sign = rng.choice("++--*")
    left, right = rng.randint(0, 10), rng.randint(0, 10)
    if sign == "-" and right > left:
        left, right = right, left
    answer = {"+": left + right, "-": left - right, "*": left * right}[sign]
    sums = rng.choice((f"{left} {sign} {right}", f"{left}{sign}{right}"))
    if book.chinese:
        word = {"+": "加", "-": "减", "*": "乘"}[sign]
        asks = [
            f"{sums} 等于多少？",
            f"{sums}=?",
            f"{left}{word}{right}等于多少？",
            f"{sums}是多少",
            f"计算 {sums}",
        ]
    else:
        word = {"+": "plus", "-": "minus", "*": "times"}[sign]
        asks = [
            f"What is {sums}?",
            f"{sums} =",
            f"{sums}",
            f"Calculate {sums}",
            f"{sums} = ?",
            f"What's {sums}?",
        ]
        asks += [f"What is {left} {word} {right}?", f"How much is {left} {word} {right}?"]
    return rng.choice(asks), f"{left} {sign} {right} = {answer}"


def counting(rng: random.Random, book: Book) -> Turn:
    """Counting up or down, one at a time, up to a hundred."""
    first = 1 if rng.random() < 0.6 else rng.randint(0, 40)
    last = min(first + rng.choice((4, 9, 9, 9, 19, 19, 29, 49, rng.randint(2, 30))), 100)
    if rng.random() < 0.05:
        first, last = 1, 100
    elif rng.random() < 0.2:
        first, last = min(last, 30), min(first, 20)
    step = 1 if last >= first else -1
    answer = ", ".join(str(number) for number in range(first, last + step, step))
    if book.chinese:
        return rng.choice(
            (f"从 {first} 数到 {last}", f"从{first}数到{last}。", f"请从{first}数到{last}")
        ), answer
    asks = [f"Count from {first} to {last}", f"Please count from {first} to {last}."]
    asks += [f"List the numbers from {first} to {last}"] + [f"Count to {last}"] * (first == 1)
    return rng.choice(asks), answer


def calendar(rng: random.Random, book: Book) -> Turn:
    """Weekdays and months, and what comes after or before."""
    kind = rng.random()
    if kind < 0.15:
        if book.chinese:
            asks = ("一周有几天？", "说出一周的七天", "一个星期有哪几天？")
            return rng.choice(asks), f"一周有七天：{'、'.join(book.days)}。"
        asks = ("How many days are in a week?", "List the days of the week", "Name the weekdays")
        return rng.choice(asks), f"A week has seven days: {', '.join(book.days)}."
    if kind < 0.25:
        if book.chinese:
            return rng.choice(
                ("一年有几个月？", "说出一年的月份")
            ), f"一年有十二个月：{'、'.join(book.months)}。"
        asks = ("List the months", "Name the months of the year", "How many months are in a year?")
        return rng.choice(asks), f"A year has twelve months: {', '.join(book.months)}."
    circle = book.days if kind < 0.8 else book.months
    place, after = rng.randrange(len(circle)), rng.random() < 0.6
    one, other = circle[place], circle[(place + (1 if after else -1)) % len(circle)]
    if book.chinese:
        side = "后" if after else "前"
        if circle is book.months:
            return f"{one}的{side}一个月是几月？", f"{one}的{side}一个月是{other}。"
        return rng.choice(
            (f"{one}的{side}一天是星期几？", f"{one}的{side}一天是什么？")
        ), f"{one}的{side}一天是{other}。"
    word, what = "after" if after else "before", "day" if circle is book.days else "month"
    asks = (f"What {what} comes {word} {one}?", f"Which {what} is {word} {one}?", f"What comes {word} {one}?")
    return rng.choice(asks), f"{other} comes {word} {one}."


def words(rng: random.Random, book: Book) -> Turn:
    """Colours of things, capitals, opposites and single words in the other language."""
    kind = rng.choice(("colour", "capital", "opposite", "translation"))
    if kind == "colour":
        thing, colour = rng.choice(book.colours)
        if book.chinese:
            return rng.choice((f"{thing}是什么颜色？", f"{thing}是什么颜色的？")), f"{thing}是{colour}的。"
        asks = (f"What colour is {thing}?", f"What color is {thing}?", f"Which colour is {thing}?")
        return rng.choice(asks), f"{thing[0].upper()}{thing[1:]} is {colour}."
    if kind == "capital":
        country, capital = rng.choice(book.capitals)
        if book.chinese:
            return rng.choice(
                (f"{country}的首都是哪里？", f"{country}的首都是什么？")
            ), f"{country}的首都是{capital}。"
        asks = (
            f"What is the capital of {country}?",
            f"Which city is the capital of {country}?",
            f"Capital of {country}?",
        )
        return rng.choice(asks), f"The capital of {country} is {capital}."
    if kind == "opposite":
        one, other = rng.choice(book.opposites)
        if book.chinese:
            return f"{one}的反义词是什么？", f"{one}的反义词是{other}。"
        return rng.choice(
            (f"What is the opposite of {one}?", f"Opposite of {one}?")
        ), f"The opposite of {one} is {other}."
    one, other = rng.choice(book.translations)
    if book.chinese:
        return rng.choice((f"{one}用英语怎么说？", f"把“{one}”翻译成英语")), f"{one}的英语是 {other}。"
    asks = (
        f'How do you say "{one}" in Chinese?',
        f"Translate {one} into Chinese",
        f"What is {one} in Chinese?",
    )
    return rng.choice((*asks, f"Translate {one} to Chinese")), f'"{one}" in Chinese is {other}.'


def copying(rng: random.Random, book: Book) -> Turn:
    """Saying again what was just said: a few words, or many, in no order that could be guessed.

    Long ones teach what short ones do not: to look back for the last token and say what followed it. Names,
    places and arguments of functions are then read from the text, not from memory.
    """
    pool = (*book.copied, *book.names, *book.cities, *book.days, *(one for one, _ in book.opposites))
    chosen = [
        names.person(rng, book) if rng.random() < 0.3 else rng.choice(pool)
        for _ in range(rng.choice((1, 1, 2, 3, 6, 12, 20)))
    ]
    said = ("，" if book.chinese else " ").join(chosen)
    if book.chinese:
        return rng.choice((f"请重复：{said}", f"跟我说：{said}", f"只回答：{said}", f"说{said}")), said
    asks = ("Repeat after me: ", "Say ", "Say: ", "Repeat: ", "Just say ", "Answer only: ", "Reply with: ")
    return f"{rng.choice(asks)}{said}", said


def in_json(rng: random.Random, book: Book) -> Turn:
    """An answer in JSON when JSON is asked for."""
    kind = rng.choice(("sum", "person", "person", "hello", "fact", "fact", "unknown"))
    if kind in {"fact", "unknown"}:
        entry = rng.choice(book.facts)
        ask, say = unknown(rng, book) if kind == "unknown" else (rng.choice(entry.ask), entry.say[0])
        tails = (" Answer in json.", " Give json", " Reply in JSON.", " json")
        tail = rng.choice(("用 json 回答。", "输出 json") if book.chinese else tails)
        return ask + tail, json.dumps({"answer": say}, ensure_ascii=False)
    if kind == "sum":
        left, right = rng.randint(0, 10), rng.randint(0, 10)
        value: dict[str, object] = {"answer": left + right}
        ask = (
            f"用 json 回答：{left} + {right}"
            if book.chinese
            else f"Answer in json: what is {left} + {right}?"
        )
    elif kind == "person":
        name, age, city = names.person(rng, book), rng.randint(5, 80), names.place(rng, book)
        value = {"name": name, "age": age, "city": city}
        if book.chinese:
            asks = [f"{name}今年{age}岁，住在{city}。输出 json。", f"用 json 表示：{name}，{age}岁，{city}"]
        else:
            asks = [
                f"{name} is {age} and lives in {city}. Give json.",
                f"Return json for {name}, aged {age}, from {city}",
            ]
        ask = rng.choice(asks)
    else:
        value = {"message": "你好" if book.chinese else "hello"}
        asks = (
            ["用 json 打个招呼", "请用 json 说你好"]
            if book.chinese
            else ["Say hello in json", "Answer hello as JSON"]
        )
        ask = rng.choice(asks)
    return ask, json.dumps(value, ensure_ascii=False)


def unknown(rng: random.Random, book: Book) -> Turn:
    """A request about something the model does not know, and the answer that says so."""
    question = rng.choice(book.unknown.ask).format(*rng.sample(book.unknown.topics, 2))
    return question, rng.choices(book.unknown.say, weights=(4, 1))[0]


def remembering(rng: random.Random, book: Book) -> list[Turn]:
    """Two turns or three: a name is told, perhaps something else is asked, the name is asked for."""
    name = names.person(rng, book)
    if book.chinese:
        told = (rng.choice((f"我叫{name}", f"我叫{name}。", f"我的名字是{name}")), f"很高兴认识你，{name}！")
        asked = (rng.choice(("我叫什么名字？", "我叫什么？", "你记得我的名字吗？")), f"你叫{name}。")
    else:
        told = (
            rng.choice((f"My name is {name}", f"My name is {name}.", f"I am {name}")),
            f"Nice to meet you, {name}!",
        )
        asks = ("What is my name?", "What's my name?", "Do you remember my name?")
        asked = (rng.choice(asks), f"Your name is {name}.")
    between = [rng.choice((arithmetic, calendar, words))(rng, book)] if rng.random() < 0.4 else []
    return [told, *between, asked]
