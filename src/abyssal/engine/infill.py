"""Whether a model can fill in the middle: the tokens that mark prefix, suffix and middle, read from its file.

Metadata that names the tokens counts first; without it their usual texts are looked for in the vocabulary,
as llama.cpp does.
"""

from __future__ import annotations

from pathlib import Path

from abyssal.engine.gguf_head import model_head

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
_ALL_TEXTS = frozenset(text for texts in _TEXTS for text in texts)


def infill_tokens(file: Path) -> tuple[int, int, int] | None:
    """The ids of the tokens for prefix, suffix and middle of the model in `file`.

    None when the model has not all three, and for what cannot be read: to say why is the engine's matter.
    """
    head = model_head(file, _ALL_TEXTS)
    if head is None:
        return None
    found: list[int] = []
    for keys, texts in zip(_KEYS, _TEXTS, strict=True):
        ids = [head.integers[key] for key in keys if key in head.integers] or [
            head.tokens[text] for text in texts if text in head.tokens
        ]
        if not ids:
            return None
        found.append(ids[0])
    return found[0], found[1], found[2]
