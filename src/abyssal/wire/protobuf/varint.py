"""Varints: unsigned numbers in groups of seven bits, the lowest first (Protocol Buffers, "Encoding").

A number has at most 64 bits and therefore ten bytes; a signed one is its two's complement.
"""

from __future__ import annotations

_SMALL = tuple(bytes((number,)) for number in range(0x80))
_MOST_BYTES = 10
_WRAP = 1 << 64
_SIGN = 1 << 63


class WireError(Exception):
    """Bytes that are no message. `code` and `param` are for the error object; `path` grows as it rises."""

    default_code = "invalid_protobuf"

    def __init__(self, message: str, *, code: str = default_code) -> None:
        super().__init__(message)
        self.message, self.code = message, code
        self.path: list[str] = []

    @property
    def param(self) -> str | None:
        """The place as `messages[3].content`, None for the message as a whole."""
        return ".".join(reversed(self.path)).replace(".[", "[") or None


def encode_varint(number: int) -> bytes:
    """`number` (0 to 2**64 - 1) as a varint."""
    if number < 0x80:
        return _SMALL[number]
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode_int64(number: int) -> bytes:
    """`number` (-2**63 to 2**63 - 1) as a varint."""
    return encode_varint(number if number >= 0 else number + _WRAP)


def read_varint(data: bytes, start: int, end: int) -> tuple[int, int]:
    """The number at `start` and the place behind it. Raises WireError."""
    if start < end and data[start] < 0x80:
        return data[start], start + 1
    number = shift = 0
    for place in range(start, min(end, start + _MOST_BYTES)):
        byte = data[place]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if number >= _WRAP:
                raise WireError("a number has more than 64 bits")
            return number, place + 1
        shift += 7
    if end - start >= _MOST_BYTES:
        raise WireError("a number has more than ten bytes")
    raise WireError("the bytes end within a number")


def as_int64(number: int) -> int:
    """The signed number whose two's complement `number` is."""
    return number - _WRAP if number >= _SIGN else number
