"""Short stories and a few lines of Python, from templates."""

from __future__ import annotations

import random

from abyssal.engine.training.corpus.book import Book

# What the lines do, in English and in Chinese, and the lines.
_SNIPPETS: tuple[tuple[str, str, str], ...] = (
    ("adds two numbers", "把两个数相加", "def add(a, b):\n    return a + b"),
    ("multiplies two numbers", "把两个数相乘", "def multiply(a, b):\n    return a * b"),
    ("reverses a string", "反转字符串", "def reverse(text):\n    return text[::-1]"),
    (
        "returns the larger of two numbers",
        "返回两个数中较大的",
        "def larger(a, b):\n    return a if a > b else b",
    ),
    ("sums a list", "对列表求和", "def total(numbers):\n    return sum(numbers)"),
    (
        "checks whether a number is even",
        "判断一个数是不是偶数",
        "def is_even(number):\n    return number % 2 == 0",
    ),
    (
        "computes the factorial",
        "计算阶乘",
        "def factorial(n):\n    return 1 if n < 2 else n * factorial(n - 1)",
    ),
    (
        "computes Fibonacci numbers",
        "计算斐波那契数",
        "def fibonacci(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a",
    ),
    (
        "counts the words in a text",
        "统计文本的单词数",
        "def count_words(text):\n    return len(text.split())",
    ),
    ("prints hello world", "打印 hello world", 'print("Hello, world!")'),
    ("prints the numbers from one to ten", "打印一到十", "for number in range(1, 11):\n    print(number)"),
    ("reads a file", "读取文件", "def read(path):\n    with open(path) as file:\n        return file.read()"),
    ("sorts a list", "给列表排序", "def in_order(items):\n    return sorted(items)"),
)


def story(rng: random.Random, book: Book) -> str:
    """A story of five or six sentences."""
    parts = book.story
    name, animal = rng.choice(book.names), rng.choice(parts.animals)
    return parts.text.format(
        name=name,
        animal=animal,
        beast=animal.split()[-1],
        place=rng.choice(parts.places),
        thing=rng.choice(parts.things),
        deed=rng.choice(parts.deeds),
        end=rng.choice(parts.ends),
    )


def told_story(rng: random.Random, book: Book) -> tuple[str, str]:
    """A request for a story, perhaps about something, and a story."""
    return rng.choice(book.story.ask).format(rng.choice(book.unknown.topics)), story(rng, book)


def code(rng: random.Random, book: Book) -> tuple[str, str]:
    """A request for a few lines of Python, and a fenced block of them."""
    what, shenme, lines = rng.choice(_SNIPPETS)
    block = f"```python\n{lines}\n```"
    if book.chinese:
        asks = (f"用 Python {shenme}", f"写一段 Python 代码，{shenme}", f"写一个 Python 函数，{shenme}")
        return rng.choice(asks), block
    asks = (
        f"Write a Python function that {what}",
        f"Write Python code that {what}.",
        f"Python: a function that {what}",
        f"Show me Python that {what}",
        f"Write a function that {what}",
    )
    return rng.choice(asks), block
