"""Which patterns of a schema the engine's grammar can hold; llama.cpp takes others for "any text", or stalls.

1. `^…$` of characters, classes, groups and alternatives, repeated with `?`, `*`, `+` and `{m,n}`.
2. No class by a letter (`\\d`), no `.`, which llama.cpp lets end the text, no assertion, no reference.
3. Nothing that repeats inside of what repeats (but for `?`), counts that go up, and few of all of it.
"""

from __future__ import annotations

import re
from typing import Any

_PATTERN = re.compile(
    r"""\[\^?(?:\\[^dDwWsSbBpP]|[^\]\\])+\]    # a class
      | \\[^0-9A-Za-z]                          # an escaped sign
      | \((?:\?:)? | \) | \|
      | [?*+] | \{[0-9]{1,4}(?:,[0-9]{0,4})?\}
      | [^\\.^$\[\](){}?*+|]                    # a character""",
    re.VERBOSE,
)


def pattern_trouble(pattern: Any) -> str:
    """What is wrong with `pattern`, as the end of a sentence; "" for nothing."""
    if not isinstance(pattern, str) or len(pattern) > 512 or pattern[:1] != "^" or pattern[-1:] != "$":
        return "must be a text of at most 512 characters that begins with ^ and ends with $"
    inner, at, repeats = pattern[1:-1], 0, 0
    inside = [False]  # of each open group: whether something in it repeats
    closed = False  # whether what was read last is such a group
    previous = ""
    while at < len(inner):
        found = _PATTERN.match(inner, at)
        if found is None:
            return f"has {inner[at : at + 10]!r}, which is not known here (write [0-9] for \\d)"
        piece, at = found[0], found.end()
        if piece.startswith("("):
            inside.append(False)
        elif piece == ")":
            if len(inside) == 1 or previous.startswith(("(", "|")):
                return "has a group that is empty or was never opened"
            closed = inside.pop()
            inside[-1] = inside[-1] or closed
        elif piece[0] in "?*+{":
            low, _, high = piece.strip("{}").partition(",") if piece[0] == "{" else ("0", "", "0")
            repeats += 1
            if not previous or previous[0] in "(|?*+{" or (closed and piece != "?") or repeats > 32:
                return "repeats nothing, what repeats already, or too often"
            if int(low) > int(high or low) or max(int(low), int(high or 0)) > 256:
                return f"has {piece}: counts go up, to 256 at most"
            inside[-1] = True
        if piece != ")":
            closed = False
        previous = piece
    if len(inside) != 1:
        return "has a group that is not closed"
    return ""
