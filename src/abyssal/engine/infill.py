"""Whether a model can fill in the middle: the tokens that mark prefix, suffix and middle, read from its file.

It knows the head of a GGUF file (gguf.md, "File structure") and loads nothing else of it. Metadata that
names the tokens counts first; without it their usual texts are looked for in the vocabulary, as llama.cpp
does.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_MAGIC, _VERSIONS = b"GGUF", (2, 3)
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_STRING, _ARRAY = 8, 9
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes, by type
_INTEGERS = (0, 2, 4, 10)  # unsigned

# For prefix, suffix and middle: keys of the metadata, and texts of models that name none.
_KEYS = tuple(
    (f"tokenizer.ggml.fim_{short}_token_id".encode(), f"tokenizer.ggml.{old}_token_id".encode())
    for short, old in (("pre", "prefix"), ("suf", "suffix"), ("mid", "middle"))
)
_TEXTS = tuple(
    tuple(text.encode() for text in texts)
    for texts in (
        (
            "<｜fim▁begin｜>",
            "<|fim_prefix|>",
            "<fim_prefix>",
            "<fim-prefix>",
            "<|code_prefix|>",
            "▁<PRE>",
            "<PRE>",
        ),
        (
            "<｜fim▁hole｜>",
            "<|fim_suffix|>",
            "<fim_suffix>",
            "<fim-suffix>",
            "<|code_suffix|>",
            "▁<SUF>",
            "<SUF>",
        ),
        (
            "<｜fim▁end｜>",
            "<|fim_middle|>",
            "<fim_middle>",
            "<fim-middle>",
            "<|code_middle|>",
            "▁<MID>",
            "<MID>",
        ),
    )
)


def infill_tokens(file: Path) -> tuple[int, int, int] | None:
    """The ids of the tokens for prefix, suffix and middle of the model in `file`.

    None when the model has not all three, and for what cannot be read: to say why is the engine's matter.
    """
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Head(data).infill_tokens()
    except (OSError, ValueError, struct.error, LookupError, EOFError):
        return None


class _Head:
    """A GGUF file's metadata; `struct.error`, KeyError or EOFError where it is damaged."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def infill_tokens(self) -> tuple[int, int, int] | None:
        data = self._data
        if data[:4] != _MAGIC or _U32.unpack_from(data, 4)[0] not in _VERSIONS:
            return None
        (pairs,) = _U64.unpack_from(data, 16)
        self._at = 24
        named: dict[bytes, int] = {}
        tokens: dict[bytes, int] = {}
        for _ in range(pairs):
            key = self._string()
            kind = self._u32()
            if key == b"tokenizer.ggml.tokens" and kind == _ARRAY:
                tokens = self._vocabulary()
            elif key.endswith(b"_token_id") and kind in _INTEGERS:
                named[key] = int.from_bytes(self._bytes(_SIZES[kind]), "little")
            else:
                self._skip(kind)
        found: list[int] = []
        for keys, texts in zip(_KEYS, _TEXTS, strict=True):
            ids = [named[key] for key in keys if key in named] or [
                tokens[text] for text in texts if text in tokens
            ]
            if not ids:
                return None
            found.append(ids[0])
        return found[0], found[1], found[2]

    def _bytes(self, count: int) -> bytes:
        start = self._move(count)
        return self._data[start : self._at]

    def _move(self, count: int) -> int:
        """Pass over `count` bytes; gives where they began."""
        start = self._at
        if count > len(self._data) - start:
            raise EOFError
        self._at += count
        return start

    def _u32(self) -> int:
        (value,) = _U32.unpack_from(self._data, self._move(4))
        return value

    def _u64(self) -> int:
        (value,) = _U64.unpack_from(self._data, self._move(8))
        return value

    def _string(self) -> bytes:
        return self._bytes(self._u64())

    def _vocabulary(self) -> dict[bytes, int]:
        """The wanted texts of an array of strings, and where they stand in it."""
        kind, count = self._u32(), self._u64()
        if kind != _STRING:
            raise KeyError(kind)
        wanted = {text for texts in _TEXTS for text in texts}
        found: dict[bytes, int] = {}
        for index in range(count):
            text = self._string()
            if text in wanted:
                found.setdefault(text, index)
        return found

    def _skip(self, kind: int) -> None:
        if kind == _STRING:
            self._string()
        elif kind == _ARRAY:
            item, count = self._u32(), self._u64()
            if item == _STRING:
                for _ in range(count):
                    self._string()
            else:
                self._move(count * _SIZES[item])
        else:
            self._move(_SIZES[kind])
