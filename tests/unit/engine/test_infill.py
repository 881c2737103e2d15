"""Which tokens a model's file has for filling in the middle."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.engine.bundled import bundled_path
from abyssal.engine.infill import infill_tokens

from .gguf_heads import ARRAY, head, pair, text, with_infill_tokens

NAMED = [
    pair(f"tokenizer.ggml.fim_{name}_token_id", token) for name, token in (("pre", 7), ("suf", 8), ("mid", 9))
]
OLDER = [
    pair(f"tokenizer.ggml.{name}_token_id", token)
    for name, token in (("prefix", 1), ("suffix", 2), ("middle", 3))
]
OTHERS = [
    pair("general.architecture", "deepseek2"),
    pair("a.byte", 1, code="B", kind=0),
    pair("a.short", 1, code="H", kind=2),
    pair("a.long", 1, code="Q", kind=10),
    pair("a.flag", 1, code="B", kind=7),
    text("a.float") + struct.pack("<If", 6, 0.5),
    text("a.double") + struct.pack("<Id", 12, 0.5),
    text("a.list") + struct.pack("<IIQ3i", ARRAY, 5, 3, 1, 2, 3),
    pair("tokenizer.ggml.merges", ["a b", "", "é ü"]),
]
DEEPSEEK = ["a", "<｜fim▁hole｜>", "<｜fim▁begin｜>", "b", "<｜fim▁end｜>"]
QWEN = ["<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>"]


def tokens(tmp_path: Path, data: bytes) -> tuple[int, int, int] | None:
    file = tmp_path / "m.gguf"
    file.write_bytes(data)
    return infill_tokens(file)


@pytest.mark.parametrize("version", [2, 3])
def test_metadata_names_them(tmp_path: Path, version: int) -> None:
    assert tokens(tmp_path, head(*OTHERS, *NAMED, version=version)) == (7, 8, 9)
    assert tokens(tmp_path, head(*OLDER, *OTHERS, version=version)) == (1, 2, 3)


@pytest.mark.parametrize(("vocabulary", "found"), [(DEEPSEEK, (2, 1, 4)), (QWEN, (0, 2, 1))])
def test_or_their_texts_are_in_the_vocabulary(
    tmp_path: Path, vocabulary: list[str], found: tuple[int, int, int]
) -> None:
    words = pair("tokenizer.ggml.tokens", vocabulary)
    assert tokens(tmp_path, head(words, *OTHERS)) == found
    assert tokens(tmp_path, head(words, *OTHERS, *NAMED)) == (7, 8, 9), "what is named counts first"


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_two_of_three_are_not_enough(tmp_path: Path, missing: int) -> None:
    assert tokens(tmp_path, head(*[one for at, one in enumerate(NAMED) if at != missing])) is None


def test_the_bundled_model_has_none_until_it_is_given_some(tmp_path: Path) -> None:
    assert infill_tokens(bundled_path()) is None
    assert tokens(tmp_path, with_infill_tokens(bundled_path().read_bytes(), 5, 6, 7)) == (5, 6, 7)


DAMAGED = {
    "nothing": b"",
    "another kind of file": b"PK\3\4" + bytes(60),
    "an older version": head(*NAMED, version=1),
    "the other byte order": b"GGUF" + struct.pack(">IQQ", 3, 0, 3) + b"".join(NAMED),
    "more pairs than there are": head(*NAMED, count=4),
    "pairs without end": head(*NAMED, count=2**63),
    "a key without end": head(struct.pack("<Q", 2**60) + b"x", *NAMED),
    "an unknown type": head(text("x") + struct.pack("<IQ", 13, 0), *NAMED),
    "a list without end": head(text("x") + struct.pack("<IIQ", ARRAY, 4, 2**62), *NAMED),
    "texts without end": head(text("x") + struct.pack("<IIQ", ARRAY, 8, 2**62), *NAMED),
    "lists in lists": head(
        text("x") + struct.pack("<I", ARRAY) + struct.pack("<IQ", ARRAY, 1) * 5000, *NAMED
    ),
    "a vocabulary of numbers": head(
        text("tokenizer.ggml.tokens") + struct.pack("<IIQI", ARRAY, 4, 1, 1), *NAMED
    ),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_has_none(tmp_path: Path, data: bytes) -> None:
    assert tokens(tmp_path, data) is None


def test_a_file_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert infill_tokens(tmp_path / "nothing.gguf") is None
    assert infill_tokens(tmp_path) is None


WHOLE = head(pair("tokenizer.ggml.tokens", DEEPSEEK), *OTHERS, *NAMED)


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=4), st.integers(0))
def test_no_file_breaks_it(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(WHOLE)
    for at, value in changes:
        data[at] = value
    found = tokens(tmp_path_factory.getbasetemp(), bytes(data[: cut % (len(WHOLE) + 1) or None]))
    assert found is None or len(found) == 3
