"""Heads of GGUF files, and more metadata for a file that has some (gguf.md, "File structure")."""

from __future__ import annotations

import struct
from collections.abc import Sequence

U32, STRING, ARRAY = 4, 8, 9
_ALIGNMENT = 32


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def pair(key: str, value: int | str | Sequence[str], *, code: str = "I", kind: int = U32) -> bytes:
    """One entry; a number is of the type that `kind` and `code` (of `struct`) say."""
    if isinstance(value, int):
        return text(key) + struct.pack(f"<I{code}", kind, value)
    if isinstance(value, str):
        return text(key) + struct.pack("<I", STRING) + text(value)
    items = b"".join(map(text, value))
    return text(key) + struct.pack("<IIQ", ARRAY, STRING, len(value)) + items


def head(*pairs: bytes, version: int = 3, count: int | None = None) -> bytes:
    """A file without tensors; `count` is how many pairs it says to have."""
    return b"GGUF" + struct.pack("<IQQ", version, 0, len(pairs) if count is None else count) + b"".join(pairs)


def with_infill_tokens(file: bytes, prefix: int, suffix: int, middle: int) -> bytes:
    """A model's file that says which of its tokens mark the places; its tensors stay aligned."""
    named = {"fim_pre": prefix, "fim_suf": suffix, "fim_mid": middle}
    more = b"".join(pair(f"tokenizer.ggml.{name}_token_id", token) for name, token in named.items())
    empty = len(pair("padding", ""))
    more += pair("padding", "x" * (-(len(more) + empty) % _ALIGNMENT))
    (count,) = struct.unpack_from("<Q", file, 16)
    return file[:16] + struct.pack("<Q", count + 4) + more + file[24:]
