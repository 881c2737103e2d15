"""A head that was seen before is recognised; whatever differs in more than a gap is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.wire.head_template import HeadMemory

ORDERS = {
    "credential first": b"POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %b\r\nX: y\r\nContent-Length: %d\r\n\r\n",
    "length first": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nX: y\r\nAuthorization: Bearer %b\r\n\r\n",
    "side by side": b"POST / HTTP/1.1\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n",
}


def message(order: str, key: bytes, body: bytes) -> bytes:
    values = (len(body), key) if order == "length first" else (key, len(body))
    return ORDERS[order] % values + body


def memory(order: str) -> HeadMemory[str]:
    known: HeadMemory[str] = HeadMemory()
    known.learn(message(order, b"sk-one", b"12345"), 5, "judged")
    assert known.judged == "judged"
    return known


@pytest.mark.parametrize("order", ORDERS)
def test_the_same_head_with_another_length(order: str) -> None:
    data = message(order, b"sk-one", b"x" * 1234)
    assert memory(order).match(data) == (1234, len(data) - 1234, None)


@pytest.mark.parametrize("order", ORDERS)
def test_another_credential(order: str) -> None:
    data = message(order, b"sk-another-and-longer", b"x" * 7)
    assert memory(order).match(data) == (7, len(data) - 7, b"Bearer sk-another-and-longer")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"two words",
        b"a\tb",
        b"\xff\xfe",
        b"a\x00b",
        b"x" * 600,
        b"a\r",
        b"a\nX-Evil: 1",
        b"a\r\nX-Evil: 1",
    ],
)
def test_what_is_no_credential_goes_the_long_way(order: str, key: bytes) -> None:
    known = memory(order)
    assert known.match(message(order, key, b"12345")) is None
    assert known.judged is None


@pytest.mark.parametrize("order", ORDERS)
def test_another_scheme_goes_the_long_way(order: str) -> None:
    data = message(order, b"x", b"12345").replace(b"Bearer ", b"Basic ")
    assert memory(order).match(data) is None


@given(st.sampled_from(list(ORDERS)), st.data())
def test_whatever_is_recognised_has_the_same_fields(order: str, data: st.DataObject) -> None:
    """Any change of any byte is either refused, or one of the two values and nothing else."""
    original = message(order, b"sk-one", b"12345")
    place = data.draw(st.integers(0, len(original) - 6))
    byte = data.draw(st.integers(0, 255))
    changed = original[:place] + bytes([byte]) + original[place + 1 :]
    found = memory(order).match(changed)
    if found is None:
        return
    length, start, bearer = found
    key = b"sk-one" if bearer is None else bearer.partition(b" ")[2]
    rebuilt = message(order, key, b"x" * length)[:start].lower()
    assert changed[:start].lower() == rebuilt or int(length) != 5
