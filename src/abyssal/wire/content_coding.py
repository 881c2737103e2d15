"""Content codings: bodies inflated within a limit, and compressed. Source: RFC 9110 §8.4, RFC 1952, RFC 8878.

1. gzip, deflate and zstd are read, one of them at a time. `deflate` is the zlib format; the raw one that some
   send under that name is recognised by its first bytes.
2. A body is inflated in steps and never beyond the limit: memory is bounded by it, whatever the bytes hold.
   A zstd frame that says that it is larger is refused at once, and may ask for a window of 8 MiB at most
   (RFC 9659).
3. What is cut off, or goes on behind its end, is refused: nothing but the whole body is one. gzip members and
   zstd frames may follow each other, up to `MOST_MEMBERS`.
4. gzip and zstd are written. Which of them decides `Accept-Encoding` with its q-values; at equal ones zstd.
"""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Any, Protocol

from abyssal.wire.errors import BadRequestError, PayloadTooLargeError, UnsupportedMediaTypeError

if TYPE_CHECKING or sys.version_info < (3, 14):

    def _zstd() -> Any:
        from backports import zstd

        return zstd

else:

    def _zstd() -> Any:
        from compression import zstd

        return zstd


MOST_MEMBERS = 1000
_PIECE = 64 * 1024  # bytes given to a decompressor at once: what it leaves over is copied
_WINDOW_LOG = 23
_FRAME_HEAD = 18  # bytes, at most (RFC 8878 §3.1.1.1)
_LEVEL = 1  # of both: a higher one takes twice the time for a tenth of the bytes


class Inflater:
    """One body on its way out of its coding. `most` is the limit in bytes.

    Raises UnsupportedMediaTypeError for a coding that is not known here.
    """

    def __init__(self, coding: bytes, body: bytes, most: int) -> None:
        names = [name.strip().lower() for name in coding.split(b",")]
        known = names[0] if len(names) == 1 else b""
        if known not in (b"gzip", b"x-gzip", b"deflate", b"zstd"):
            shown = coding.decode("latin-1")[:100]
            are = "are more than one" if len(names) > 1 else "are not known here"
            raise UnsupportedMediaTypeError(
                f'The content codings "{shown}" {are}; send the body in gzip, deflate or zstd, or as it is.'
            )
        self._coding = known.removeprefix(b"x-")
        self._body = body
        self._most = most
        self._place = 0
        self._members = 0
        self._rest = b""  # what the decompressor has not looked at
        self._current: Any = None
        self._out: list[bytes] = []
        self._size = 0
        self._told: int | None = None  # what the size is to be at the end of this frame

    def run(self, budget: int) -> bool:
        """Inflate about `budget` bytes more; whether that was all.

        Raises BadRequestError for what is not in its coding, PayloadTooLargeError over the limit.
        """
        until = min(self._size + budget, self._most + 1)
        try:
            while self._size < until:
                if self._current is None or self._current.eof:
                    if self._at_end():
                        return True
                    self._next_member()
                self._step(until - self._size)
                if self._size > self._most:
                    self._out.clear()  # an error lives as long as its traceback, and that holds this
                    raise self._too_large()
        except (zlib.error, ValueError, EOFError) as error:
            raise self._bad(str(error)) from None
        except Exception as error:
            if type(error).__name__ != "ZstdError":  # it is of a module that is loaded when it is needed
                raise
            raise self._bad(str(error)) from None
        return False

    def body(self) -> bytes:
        """The inflated body, once, when `run` has said that this is all."""
        out, self._out = self._out, []
        return out[0] if len(out) == 1 else b"".join(out)

    def _step(self, room: int) -> None:
        data, current = self._rest, self._current
        if not data:
            data = self._body[self._place : self._place + _PIECE]
            self._place += len(data)
        out = current.decompress(data, room)
        if current.eof:
            self._rest = current.unused_data
        else:
            self._rest = getattr(current, "unconsumed_tail", b"")  # zstd's holds it itself
            if not data and not out:
                raise EOFError("it is cut off")
        if out:
            self._out.append(out)
            self._size += len(out)
        if current.eof and self._told is not None and self._told != self._size:
            raise ValueError("a frame is not as long as it says")  # the library notices that not always

    def _at_end(self) -> bool:
        if self._current is None:
            return False
        if not self._rest and self._place >= len(self._body):
            return True
        if self._coding == b"deflate":
            raise ValueError("something follows its end")
        return False

    def _next_member(self) -> None:
        self._members += 1
        if self._members > MOST_MEMBERS:
            raise ValueError(f"it has more than {MOST_MEMBERS} members")
        if self._coding == b"zstd":
            zstd = _zstd()
            head = (self._rest + self._body[self._place : self._place + _FRAME_HEAD])[:_FRAME_HEAD]
            told: int | None = zstd.get_frame_info(head).decompressed_size
            if told is not None:
                if told > self._most - self._size:
                    raise self._too_large()
                self._told = self._size + told
            else:
                self._told = None
            options = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
            self._current = zstd.ZstdDecompressor(options=options)
        elif self._coding == b"gzip":
            self._current = zlib.decompressobj(zlib.MAX_WBITS | 16)
        else:
            first = int.from_bytes(self._body[:2], "big")
            is_zlib = first >> 8 & 0x0F == 8 and first % 31 == 0  # RFC 1950 §2.2
            self._current = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)

    def _too_large(self) -> PayloadTooLargeError:
        return PayloadTooLargeError(f"The body is over {self._most} bytes when inflated; send less.")

    def _bad(self, why: str) -> BadRequestError:
        return BadRequestError(
            f"The body is not in the coding {self._coding.decode()}: {why}; compress it anew.",
            code="invalid_encoding",
        )


class Compressor(Protocol):
    """Takes a body in pieces."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def compressor(coding: bytes) -> Compressor:
    """What compresses one body in `coding`, which `choose_coding` gave."""
    if coding == b"zstd":
        return _zstd().ZstdCompressor(level=_LEVEL)
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)


def choose_coding(accept: bytes) -> bytes:
    """The coding in which to answer `accept`, an Accept-Encoding field: b"zstd", b"gzip", or b"" for none.

    RFC 9110 §12.5.3: the one with the highest q-value, of equal ones the better; q=0 forbids.
    """
    weights: dict[bytes, float] = {}
    for item in accept.lower().split(b","):
        name, _, parameters = item.partition(b";")
        weights[name.strip()] = weight_of(parameters)
    gzip = max(weights.get(b"gzip", weights.get(b"*", 0.0)), weights.get(b"x-gzip", 0.0))
    zstd = weights.get(b"zstd", 0.0)  # not for `*`: who does not say zstd seldom reads it
    best = max(gzip, zstd)
    if best <= 0 or weights.get(b"identity", 0.0) > best:
        return b""
    return b"zstd" if zstd == best else b"gzip"


def weight_of(parameters: bytes) -> float:
    """The q-value among `parameters` (`q=0.5; v=1`); 1 when there is none, 0 when it is none."""
    for parameter in parameters.split(b";"):
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0 <= weight <= 1 else 0.0
    return 1.0
