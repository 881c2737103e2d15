"""What a file may be called and be for, and how long it is kept. Pure.

1. An id is `file-api-` and 96 random bits; the bits alone are the key of its bytes.
2. A name is what is left of it behind the last slash of either kind, without what cannot be printed, cut at
   255 characters. It is shown and sent, and never part of a path.
3. The purpose is kept as it was given; without one it is `user_data`. Nothing here depends on it.
4. A file is kept until it is deleted, or for the seconds that `expires_after` says (an hour to 30 days).
"""

from __future__ import annotations

import re
import secrets

from abyssal.wire.errors import BadRequestError, NotFoundError

PREFIX = "file-api-"
PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
USUAL_PURPOSE = "user_data"
LONGEST_NAME = 255  # characters
SHORTEST_LIFE, LONGEST_LIFE = 3600, 30 * 86_400  # seconds

_ID = re.compile(rf"{PREFIX}[0-9a-f]{{24}}")
_SECONDS = re.compile(r"[0-9]{1,9}")


def new_file_id() -> str:
    """A fresh one."""
    return f"{PREFIX}{secrets.token_hex(12)}"


def is_file_id(text: str) -> bool:
    """Whether `text` may be one; what may not is not looked up."""
    return _ID.fullmatch(text) is not None


def key_of(file_id: str) -> str:
    """Under which key the bytes of a file rest."""
    return file_id.removeprefix(PREFIX)


def id_of(key: str) -> str:
    """The other way."""
    return f"{PREFIX}{key}"


def checked_purpose(given: str) -> str:
    """The purpose. Raises BadRequestError for one that is not known."""
    if given not in PURPOSES:
        raise BadRequestError(
            f'"purpose": {given[:40]!r} is none of {", ".join(PURPOSES)}; choose one.',
            param="purpose",
            code="invalid_value",
        )
    return given


def clean_name(given: str) -> str:
    """What a file is called from now on; `file` where nothing of its name is left."""
    name = re.split(r"[/\\]", given)[-1]
    name = "".join(character for character in name if character.isprintable()).strip()[:LONGEST_NAME]
    return "file" if name in ("", ".", "..") else name


def expiry(anchor: str | None, seconds: str | None, now_ns: int) -> int | None:
    """When a file ends (Unix nanoseconds), None for never, by the form fields of `expires_after`."""
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise BadRequestError(
            '"expires_after[anchor]": it can be "created_at", and must be there with the seconds.',
            param="expires_after[anchor]",
            code="invalid_value",
        )
    life = int(seconds) if seconds is not None and _SECONDS.fullmatch(seconds) else 0
    if not SHORTEST_LIFE <= life <= LONGEST_LIFE:
        raise BadRequestError(
            f'"expires_after[seconds]": an integer from {SHORTEST_LIFE} to {LONGEST_LIFE}.',
            param="expires_after[seconds]",
            code="invalid_value",
        )
    return now_ns + life * 10**9


def no_such_file(file_id: str) -> NotFoundError:
    """The answer for what does not exist, and, to the byte, for what is another project's."""
    shown = file_id[:80] if file_id.isprintable() else "of that id"
    return NotFoundError(
        f"There is no file {shown} that these credentials can see; list the files, or upload it again.",
        param="file_id",
    )
