"""Where frames end, found by another library's frames; and the short way for the usual read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from abyssal.gateway.front.websocket_frames import left_after, only_message


def framed(data: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True, mask: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=mask)


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 128, 133, 65535])
def test_one_message_is_read_at_once(length: int) -> None:
    message = bytes(at % 251 for at in range(length))
    assert only_message(framed(message)) == message


NOT_USUAL = {
    "nothing": b"",
    "two": framed(b"{}") * 2,
    "half": framed(b"{}")[:-1],
    "more": framed(b"{}") + b"\x81",
    "a header": framed(b"{}")[:6],
    "binary": framed(b"{}", Opcode.BINARY),
    "a ping": framed(b"", Opcode.PING),
    "a fragment": framed(b"{}", fin=False),
    "not masked": framed(b"{}", mask=False),
    "not masked, of 6 bytes": framed(b"{}{}", mask=False),
    "64 KiB": framed(b"x" * 65536),
    "eight digits, of the size that 127 would be": b"\x81\xff" + b"\0" * 131,
    "a reserved bit": b"\xc1" + framed(b"{}")[1:],
}


@pytest.mark.parametrize("data", NOT_USUAL.values(), ids=NOT_USUAL)
def test_everything_else_goes_the_long_way(data: bytes) -> None:
    assert only_message(data) is None


@given(st.binary(max_size=300))
def test_what_is_read_at_once_is_what_the_library_reads(data: bytes) -> None:
    found = only_message(data)
    if found is not None:
        assert len(framed(found)) == len(data) or data[1] == 0xFE


LENGTHS = st.lists(st.sampled_from([0, 1, 125, 126, 200, 65535, 65536]) | st.integers(0, 300), max_size=6)


@given(LENGTHS, st.lists(st.integers(1, 70_000), max_size=8))
def test_what_is_left_of_a_frame(lengths: list[int], cuts: list[int]) -> None:
    stream = b"".join(framed(b"x" * length) for length in lengths)
    left: int | None = 0
    at = 0
    for cut in [*cuts, len(stream)]:
        left = left_after(left, stream[at : at + cut])
        at += cut
        ended, start = False, 0
        for length in lengths:  # does what was given so far end with a frame
            start += len(framed(b"x" * length))
            ended = ended or start == at
        if left is not None and 0 < at <= len(stream):
            assert (left == 0) == ended
    assert left in (0, None)


def test_a_cut_in_a_header_is_not_guessed_at() -> None:
    data = framed(b"x" * 500)
    assert left_after(0, data[:1]) is None
    assert left_after(0, data[:3]) is None
    assert left_after(0, data[:4]) == 504
    assert left_after(504, data[4:]) == 0
    assert left_after(None, data) is None
