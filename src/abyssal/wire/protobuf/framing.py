"""A sequence of messages, each preceded by its length in bytes as a varint. Bytes in, however they were cut.

Source: Protocol Buffers, "Streaming Multiple Messages"; what `parseDelimitedFrom` of its libraries reads.
"""

from __future__ import annotations

from abyssal.wire.protobuf.varint import WireError, encode_varint

MAX_MESSAGE_BYTES = 32 * 1024 * 1024
_MOST_LENGTH_BYTES = 5  # more than any limit needs


class FrameDecoder:
    """Takes a stream's bytes in pieces of any size; knows nothing of what the messages mean."""

    __slots__ = ("_held", "_limit", "_need")

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = max_message_bytes
        self._held = bytearray()
        self._need = 0  # bytes that must be there before it is worth looking again

    @property
    def midway(self) -> bool:
        """Whether a message has begun and is not whole."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that end in `data`, in order.

        Raises WireError for a length that is none or is over the limit, before anything is held for it; the
        decoder is of no use after that.
        """
        held = self._held
        held += data
        if len(held) < self._need:
            return []
        messages: list[bytes] = []
        place, size = 0, len(held)
        self._need = 0
        while place < size:
            length, start = self._length(held, place)
            if start < 0:
                break
            if start + length > size:
                self._need = start + length - place
                break
            messages.append(bytes(held[start : start + length]))
            place = start + length
        del held[:place]
        return messages

    def _length(self, held: bytearray, place: int) -> tuple[int, int]:
        """The length at `place` and where its message begins, -1 when more bytes must tell."""
        length = shift = 0
        for here in range(place, min(len(held), place + _MOST_LENGTH_BYTES)):
            length |= (held[here] & 0x7F) << shift
            if held[here] < 0x80:
                if length > self._limit:
                    raise WireError(f"a message of {length} bytes is over the limit of {self._limit}")
                return length, here + 1
            shift += 7
        if len(held) - place >= _MOST_LENGTH_BYTES:
            raise WireError("a message's length has more than five bytes")
        return 0, -1


def frame(message: bytes) -> bytes:
    """`message` with its length before it."""
    return encode_varint(len(message)) + message
