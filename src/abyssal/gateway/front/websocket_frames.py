"""Where frames of a client end in its bytes (RFC 6455 §5.2), and the usual read: one whole message. Pure.

It judges nothing: what is not the usual read is for the library, which knows all rules.
"""

from __future__ import annotations

try:
    from websockets.speedups import apply_mask
except ImportError:  # a build without the C extension
    from websockets.utils import apply_mask

_FINAL_TEXT = 0x81  # FIN, opcode 1
_MASKED = 0x80


def only_message(data: bytes) -> bytes | None:
    """The text when `data` is one masked text frame of less than 64 KiB and nothing else; else None.

    `data` must begin with a frame.
    """
    if len(data) < 6 or data[0] != _FINAL_TEXT:
        return None
    length, start = data[1] - _MASKED, 6
    if length == 126:
        length, start = int.from_bytes(data[2:4], "big"), 8
    elif length == 127:
        return None
    if len(data) != start + length:
        return None
    return apply_mask(data[start:], data[start - 4 : start])


def left_after(left: int | None, data: bytes) -> int | None:
    """Bytes that the frame at the end of `data` still misses, when the one before it missed `left`.

    0 when `data` ends with a frame. None, and from then on, when a frame's header is cut: that is rare, and
    all it costs is the short way.
    """
    if left is None:
        return None
    at, end = left, len(data)
    while at < end:
        if end - at < 2:
            return None
        length, head = data[at + 1] & 0x7F, 6
        if length >= 126:
            digits = 2 if length == 126 else 8
            head += digits
            if end - at < 2 + digits:
                return None
            length = int.from_bytes(data[at + 2 : at + 2 + digits], "big")
        at += head + length
    return at - end
