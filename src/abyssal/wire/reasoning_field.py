"""What a model thought, which newer servers call `reasoning`, under the official name `reasoning_content`.

Inside a JSON string every quote is escaped, so what is looked for is always a key.
"""

from __future__ import annotations

import re

_NEWER = re.compile(rb'"reasoning"(\s*:\s*)(?=["n])')  # a text, or null
_OFFICIAL = rb'"reasoning_content"\1'


def with_official_reasoning(data: bytes) -> bytes:
    """`data` (JSON, or whole events of it) under the official name; as it came where that is in it."""
    if data.find(b'"reasoning"') < 0 or data.find(b'"reasoning_content"') >= 0:
        return data
    return _NEWER.sub(_OFFICIAL, data)
