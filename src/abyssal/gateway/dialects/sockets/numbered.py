"""Messages of a resumable answer: frames taken apart, and written again with the event's id in each. Pure."""

from __future__ import annotations

from abyssal.gateway.dialects.sockets.messages import complaint, frame
from abyssal.wire.errors import ConflictError

_MIN_16, _MIN_64 = 126, 127  # lengths that say how long the length is (RFC 6455 §5.2)


class NumberedMessages:
    """The form of a resumable stream on a socket: each message ends with its `event_id`."""

    begins_with_id = False

    def split(self, data: bytes) -> tuple[list[bytes], bytes]:
        """The messages in `data`, and nothing beside them: a comment tells a socket nothing.

        Raises ValueError when `data` does not end with a frame.
        """
        messages: list[bytes] = []
        if data.startswith(b":"):
            return messages, b""
        at = 0
        while at < len(data):
            start, end = _payload(data, at)
            if end > len(data):
                raise ValueError("half a frame")
            messages.append(data[start:end])
            at = end
        return messages, b""

    def numbered(self, event: bytes, event_id: bytes) -> bytes:
        """A message, a JSON object with something in it, as a frame."""
        return frame(b'%b,"event_id":"%b"}' % (event[:-1], event_id))

    def whole(self, data: bytes) -> int:
        """The number of bytes at the start of `data` that are whole frames."""
        at = 0
        while True:
            end = _payload(data, at)[1]
            if end > len(data):
                return at
            at = end

    def farewell(self, request_id: str) -> bytes:
        """An error, after which the socket has its next turn."""
        message = "Another connection of yours reads this answer on, or ended it; no more of it comes here."
        return complaint(ConflictError(message, code="stream_taken_over"), request_id)


def _payload(data: bytes, at: int) -> tuple[int, int]:
    """Where the payload of the frame at `at` begins and ends; past the end of `data` when it is not whole."""
    if len(data) < at + 2:
        return at, len(data) + 1
    length, start = data[at + 1], at + 2
    if length == _MIN_16:
        length, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
    elif length == _MIN_64:
        length, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
    if len(data) < start:
        return at, len(data) + 1
    return start, start + length
