"""What an id looks like and how one is made. Pure."""

from __future__ import annotations

import re
import secrets

_ID = re.compile(r"[a-z]{1,16}_[0-9a-f]{1,23}")


def new_id(prefix: str) -> str:
    """A fresh id such as `key_` and 80 random bits in hexadecimal."""
    return f"{prefix}_{secrets.token_hex(10)}"


def is_id(text: str) -> bool:
    """Whether `text` may be one. What may not is not looked up: PostgreSQL takes no NUL, for one."""
    return _ID.fullmatch(text) is not None
