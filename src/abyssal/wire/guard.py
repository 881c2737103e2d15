"""Guards over a JSON body that two parsers will read: ours and the upstream's.

1. A body is UTF-8 (RFC 8259 §8.1) and nests at most `MAX_DEPTH` deep, so that no parser is in trouble.
2. A top-level key that the gateway reads stands there once, whatever its spelling: escapes
   (`"mod\\u0065l"`) and letter case count as the same key, since some servers fold them.

Both are nearly free for ordinary bodies: few brackets, and keys and values that fill the body to its last
byte, prove them. Only a body that could break a rule is looked at exactly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping

import msgspec

from abyssal.wire.errors import BadRequestError

MAX_DEPTH = 128

# Only the shape of a body: every bracket is a square one, quotes stay, all else goes.
_SHAPE = bytes.maketrans(b"{}", b"[]")
_NO_SHAPE = bytes(sorted(set(range(256)) - set(b'"[]{}')))
_SHORT = 2048  # bytes; counting in shorter bodies is quicker than searching
_top_level = msgspec.json.Decoder(dict[str, msgspec.Raw])


def check_text(body: bytes) -> None:
    """Raise BadRequestError unless `body` is UTF-8 and nests at most MAX_DEPTH deep."""
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise BadRequestError(
                f"The body is not UTF-8: byte {error.start} is invalid; send JSON encoded as UTF-8.",
                code="invalid_utf8",
            ) from None
    brackets = body.count(b"[") + body.count(b"{") if len(body) <= _SHORT else _brackets(body, MAX_DEPTH)
    if brackets > MAX_DEPTH and nests_deeper_than(body, MAX_DEPTH):
        raise BadRequestError(
            f"The body nests more than {MAX_DEPTH} levels deep; flatten it.", code="nested_too_deeply"
        )


def _brackets(body: bytes, most: int) -> int:
    """How many opening brackets there are, counted as far as `most` and one."""
    found = 0
    for bracket in (b"[", b"{"):
        at = body.find(bracket)  # memchr(3), which is ten times as fast as counting
        while at >= 0 and found <= most:
            found += 1
            at = body.find(bracket, at + 1)
    return found


def nests_deeper_than(body: bytes, depth: int) -> bool:
    """Whether JSON nests more than `depth` levels deep. Linear and in C: no string can slow it down."""
    shape = body
    if b"\\" in shape:
        shape = shape.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Now every quote begins or ends a string.
    shape = shape.translate(_SHAPE, _NO_SHAPE).replace(b'""', b"")
    shape = b"".join(shape.split(b'"')[::2])  # what is left between quotes are brackets in strings
    for _ in range(depth):
        outer = shape.replace(b"[]", b"")  # without the innermost level of everything
        if len(outer) == len(shape):
            return shape.count(b"[") > depth  # empty; or not closed, for a parser to say so
        shape = outer
    return bool(shape)


class KeyGuard:
    """Finds doubled top-level keys among `names`, the keys that the gateway reads."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = frozenset(names)
        self._needles = {name: f'"{name}"'.encode() for name in names}

    def check(self, body: bytes) -> None:
        """Raise BadRequestError when a key of `names` could be read as two values.

        `body` must be a valid JSON object already.
        """
        top = _top_level.decode(body)
        if len(body) > _SHORT and _fills(body, top):
            self.check_case(top)
            return
        needles = self._needles
        exact = body.find(b"\\u00") >= 0  # a key may be spelled with escapes of ASCII letters
        for key in top:
            needle = needles.get(key)
            if needle is None:
                self.check_case((key,))
            elif body.count(needle) != 1:
                exact = True
        if exact:
            self._check_exactly(body)

    def check_case(self, keys: Collection[str]) -> None:
        """Raise BadRequestError when one of `keys` is one of the names but for letter case."""
        names = self._names
        if names.issuperset(keys):
            return
        for key in keys:
            if key not in names:
                folded = key.casefold()
                if folded in names:
                    raise _doubled(folded, f'"{key}" differs from it only in letter case')

    def _check_exactly(self, body: bytes) -> None:
        last: list[tuple[str, object]] = []

        def remember(pairs: list[tuple[str, object]]) -> None:
            nonlocal last
            last = pairs  # the outermost object is finished last

        # Numbers stay text: their size is nobody's trouble here.
        json.loads(body, object_pairs_hook=remember, parse_int=str, parse_float=str)
        seen: set[str] = set()
        for key, _ in last:
            if key in seen and key in self._needles:
                raise _doubled(key, "it stands there twice")
            seen.add(key)


def _fills(body: bytes, top: Mapping[str, msgspec.Raw]) -> bool:
    """Whether the object `body` has no byte beside the pairs of `top`, so none for a pair that they hide.

    Known are the two usual ways to write: without blanks, and with one after each comma and colon. A key is
    never shorter in JSON than it is, and what hides another is not in `top`: the length alone is proof.
    """
    pairs = len(top)
    size = 4 * pairs + 1 + sum(map(len, top)) + sum(map(len, top.values()))
    if size == len(body):  # as above: it would be less where a key has letters of several bytes
        return True
    if size + 2 * pairs - 1 != len(body):
        return False
    at, lead = 0, b'{"'
    for key, value in top.items():
        name = b'%b%b": ' % (lead, key.encode())
        if not body.startswith(name, at):
            return False
        at, lead = at + len(name) + len(value), b', "'
    return at == len(body) - 1


def _doubled(key: str, how: str) -> BadRequestError:
    return BadRequestError(
        f'The key "{key}" is ambiguous: {how}. Send each key once.', param=key, code="duplicate_key"
    )


def replace_string(body: bytes, key: str, value: str) -> bytes:
    """`body` with the string value of its top-level `key` replaced, every other byte kept where possible.

    The guard must have passed `body`. When the key's bytes are not unique in it (nested objects have it
    too, or it is spelled with escapes), the top level is written anew; values below it keep their bytes.
    """
    needle = b'"%b"' % key.encode()
    if body.count(needle) == 1 and b"\\u00" not in body:
        start = body.index(needle) + len(needle)
        match = _STRING_VALUE.match(body, start)
        if match:
            return body[: match.start(1)] + msgspec.json.encode(value) + body[match.end(1) :]
    return with_fields(body, **{key: value})


_STRING_VALUE = re.compile(rb'\s*:\s*("(?:[^"\\]|\\.)*")')


def with_fields(body: bytes, **fields: object) -> bytes:
    """`body` with top-level keys set to `fields` (JSON-encodable values); other values keep their bytes."""
    top: dict[str, object] = dict(_top_level.decode(body))
    top.update(fields)
    return msgspec.json.encode(top)
