"""The Chinese guides say what the English ones say: the same headings, the same examples, the same rows of each table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = sorted(path.name.removesuffix(".zh-CN.md") for path in DOCS.glob("*.zh-CN.md"))

FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
COMMENT = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)
CODE = re.compile(r"`+([^`]+)`+")
LINK = re.compile(r"\]\(([^)\s]+)\)")
CHINESE = re.compile(r"[\u3400-\u9fff]")


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def pair(name: str) -> tuple[str, str]:
    return page(name), page(f"{name}.zh-CN")


def prose(text: str) -> str:
    return FENCE.sub("", text)


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ .*$", prose(text), flags=re.MULTILINE)


def levels(text: str) -> list[int]:
    return [len(heading.partition(" ")[0]) for heading in headings(text)]


def rows(text: str) -> list[list[str]]:
    """The cells of each row of each table, without the rows that head them."""
    lines = prose(text).splitlines()
    found = [
        line for line, after in zip(lines, [*lines[1:], ""], strict=True) if not after.startswith("| ---")
    ]
    cells = [line.strip("|").split(" | ") for line in found if re.match(r"\|(?! ---)", line)]
    return [[cell.strip() for cell in row] for row in cells]


def tables(text: str) -> int:
    return len(re.findall(r"^\| ---", prose(text), flags=re.MULTILINE))


def facts(row: list[str]) -> set[str]:
    """The code and the numbers in a row: what no translation changes."""
    text = " ".join(row)
    return {*CODE.findall(text), *re.findall(r"\d+", text)}


def test_the_guides_are_there_in_chinese() -> None:
    assert {"api", "cli", "configuration", "engine", "errors", "identity", "testing"} <= set(GUIDES)
    readme = (DOCS.parent / "README.zh-CN.md").read_text(encoding="utf-8")
    for name in GUIDES:
        assert f"(docs/{name}.zh-CN.md)" in readme
        assert f"(docs/{name}.md)" not in readme


@pytest.mark.parametrize("name", GUIDES)
def test_each_page_begins_with_the_way_to_the_other(name: str) -> None:
    english, chinese = pair(name)
    assert chinese.splitlines()[0] == f"English: [{name}.md]({name}.md)"
    assert english.splitlines()[2] == f"中文：[{name}.zh-CN.md]({name}.zh-CN.md)"


@pytest.mark.parametrize("name", GUIDES)
def test_the_headings_are_the_same(name: str) -> None:
    english, chinese = pair(name)
    assert levels(chinese) == levels(english)
    for ours, theirs in zip(headings(chinese), headings(english), strict=True):
        assert CODE.findall(ours) == CODE.findall(theirs)


@pytest.mark.parametrize("name", GUIDES)
def test_the_examples_are_the_same_but_for_their_comments(name: str) -> None:
    english, chinese = (FENCE.findall(text) for text in pair(name))
    assert [language for language, _ in chinese] == [language for language, _ in english]
    for (language, ours), (_, theirs) in zip(chinese, english, strict=True):
        if not language and CHINESE.search(ours):  # a drawing
            assert ours.count("\n") == theirs.count("\n")
        else:
            assert COMMENT.sub("", ours) == COMMENT.sub("", theirs)


@pytest.mark.parametrize("name", GUIDES)
def test_the_tables_have_the_same_rows(name: str) -> None:
    english, chinese = pair(name)
    assert tables(chinese) == tables(english)
    for ours, theirs in zip(rows(chinese), rows(english), strict=True):
        assert len(ours) == len(theirs), ours
        if CHINESE.search(ours[0]):  # a phrase
            assert CODE.findall(ours[0]) == CODE.findall(theirs[0])
        else:
            assert ours[0].replace("、", ", ") == theirs[0]
        assert facts(ours) == facts(theirs), ours


@pytest.mark.parametrize("name", GUIDES)
def test_the_links_lead_somewhere_and_stay_in_chinese(name: str) -> None:
    for link in LINK.findall(prose(page(f"{name}.zh-CN")))[1:]:
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        assert target == "" or (DOCS / target).is_file(), link
        assert target.removesuffix(".md") not in GUIDES, f"{link} is in English, and there is a Chinese page"
        if anchor:
            there = (DOCS / (target or f"{name}.zh-CN.md")).read_text(encoding="utf-8")
            assert f'<a id="{anchor}"></a>' in there, link
