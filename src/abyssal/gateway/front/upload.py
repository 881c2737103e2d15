"""A body that goes on as it comes: its pieces to whoever takes it, and their pressure back to the client.

1. Until it is taken, one read of it is held and the client is not read on.
2. A client that sends nothing for too long, breaks the framing or sends too much is answered at once.
3. Once the answer has begun, the rest of the body is nobody's, and the connection ends with the answer.
"""

from __future__ import annotations

from typing import Protocol

from abyssal.gateway.exchange import Exchange, UploadSink
from abyssal.wire.errors import ApiError, PayloadTooLargeError


class Carrier(Protocol):
    """The connection that it comes in on."""

    def is_at_work(self, exchange: Exchange) -> bool:
        """Whether the exchange has not been answered."""
        ...

    def read_on(self, wanted: bool) -> None:
        """Go on reading from the client, with a deadline for what comes next, or stop."""
        ...

    def break_off(self, error: ApiError) -> None:
        """Answer with `error`, whatever is at work on the upload."""
        ...


class Upload:
    """See the module. `length` is the body's bytes, None when only its end will tell; `most` bounds it."""

    __slots__ = ("_carrier", "_exchange", "_held", "_sink", "_size", "_whole", "answered", "length", "most")

    def __init__(self, carrier: Carrier, exchange: Exchange, length: int | None, most: int) -> None:
        self._carrier, self._exchange = carrier, exchange
        self._sink: UploadSink | None = None
        self._held: list[bytes] = []
        self._size = 0
        self._whole = False
        self.length, self.most = length, most
        self.answered = False

    @property
    def is_open(self) -> bool:
        """Whether somebody still wants the body."""
        return not self.answered and self._carrier.is_at_work(self._exchange)

    # --- the reader's side ----------------------------------------------------------------------------

    def append(self, data: bytes) -> None:
        """The next piece."""
        if not self.is_open:
            return
        self._size += len(data)
        if self._size > self.most:
            self._carrier.break_off(PayloadTooLargeError(f"The upload is over {self.most} bytes; send less."))
            return
        if self._sink is None:
            self._held.append(data)
            self._carrier.read_on(False)
            return
        self._carrier.read_on(True)
        self._sink.on_piece(data)

    def end(self) -> None:
        """That was all of it."""
        self._whole = True
        if self._sink is not None and self.is_open:
            self._sink.on_whole()

    # --- the side of who takes it ---------------------------------------------------------------------

    def take(self, sink: UploadSink) -> None:
        """Give what has come to `sink`, and from now on what comes."""
        self._sink = sink
        held, self._held = self._held, []
        for data in held:
            sink.on_piece(data)
        if self._whole:
            sink.on_whole()
        else:
            self._carrier.read_on(True)

    def press(self, pressed: bool) -> None:
        """Whether too much of it is on the way."""
        if self.is_open and not self._whole:
            self._carrier.read_on(not pressed)
