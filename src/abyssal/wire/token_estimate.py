"""How many tokens a text may come to, without a tokenizer: a model's own is not here. Pure.

0.3 tokens for an ASCII character, 0.2 for each UTF-8 byte of any other: so 0.6 for a Chinese character
(DeepSeek API, "Token & Token Usage") and 0.4 for a Cyrillic or Arabic one. What frames a message counts
`FRAME_TOKENS`, a part that is no text `PART_TOKENS`, whatever its size.
"""

from __future__ import annotations

PART_TOKENS = 1_000
FRAME_TOKENS = 4


def text_tokens(text: str) -> float:
    """Tokens that `text` may come to."""
    size = len(text.encode("utf-8", "surrogatepass"))
    plain = size if size == len(text) else len(text.encode("ascii", "ignore"))
    return 0.3 * plain + 0.2 * (size - plain)
