"""The head of a GGUF file (gguf.md, "File structure"): its metadata, read without loading anything else."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

_MAGIC, _VERSIONS = b"GGUF", (2, 3)
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_STRING, _ARRAY = 8, 9
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes, by type
_INTEGERS = (0, 2, 4, 10)  # unsigned


class ModelHead(NamedTuple):
    """What a head said: its unsigned integers, and the ids of those tokens that were asked for."""

    architecture: bytes
    integers: dict[bytes, int]
    tokens: dict[bytes, int]

    def of_architecture(self, key: bytes) -> int | None:
        """The integer `key` among those of the model's own architecture."""
        return self.integers.get(b"%b.%b" % (self.architecture, key))


def model_head(file: Path, tokens: Collection[bytes] = ()) -> ModelHead | None:
    """The head of `file`; `tokens` are texts to be looked for in the vocabulary.

    None for what cannot be read: to say why is the engine's matter.
    """
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reading(data, tokens).head()
    except (OSError, ValueError, struct.error, LookupError, EOFError):
        return None


class _Reading:
    """A file being read; `struct.error`, KeyError or EOFError where it is damaged."""

    def __init__(self, data: mmap.mmap, tokens: Collection[bytes]) -> None:
        self._data = data
        self._wanted = tokens
        self._at = 0

    def head(self) -> ModelHead | None:
        data = self._data
        if data[:4] != _MAGIC or _U32.unpack_from(data, 4)[0] not in _VERSIONS:
            return None
        (pairs,) = _U64.unpack_from(data, 16)
        self._at = 24
        architecture = b""
        integers: dict[bytes, int] = {}
        tokens: dict[bytes, int] = {}
        for _ in range(pairs):
            key = self._string()
            kind = self._u32()
            if key == b"tokenizer.ggml.tokens" and kind == _ARRAY and self._wanted:
                tokens = self._vocabulary()
            elif key == b"general.architecture" and kind == _STRING:
                architecture = self._string()
            elif kind in _INTEGERS:
                integers[key] = int.from_bytes(self._bytes(_SIZES[kind]), "little")
            else:
                self._skip(kind)
        return ModelHead(architecture, integers, tokens)

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
        found: dict[bytes, int] = {}
        for index in range(count):
            text = self._string()
            if text in self._wanted:
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
