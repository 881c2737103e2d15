"""A token taken apart: one spelling, one reading, no more than 4 KiB, and no header that brings a key."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.wire.jwt import MAX_TOKEN, JwtError, read_object, take_apart


def part(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token(header: bytes = b'{"alg":"HS256"}', payload: bytes = b"{}", signature: bytes = b"\0") -> bytes:
    return b".".join(map(part, (header, payload, signature)))


def test_the_parts() -> None:
    found = take_apart(token(b'{"alg":"X","kid":"k"}', b"not read", b"\1\2"))
    assert found.header == {"alg": "X", "kid": "k"}
    assert (found.payload, found.signature) == (b"not read", b"\1\2")
    assert found.signed + b"." + part(b"\1\2") == token(b'{"alg":"X","kid":"k"}', b"not read", b"\1\2")


@pytest.mark.parametrize(
    "text",
    [b"", b".", b"..", b"a.b", token() + b".x", token() + b".", token() + b"=", b" " + token(), token().replace(b".", b".."),
     token(payload=b""), token(signature=b""), token(b""), token() + b"\n", b"x" * (MAX_TOKEN + 1)],
)  # fmt: skip
def test_what_is_no_token(text: bytes) -> None:
    with pytest.raises(JwtError):
        take_apart(text)


@pytest.mark.parametrize("name", ["crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"])
def test_headers_that_are_refused(name: str) -> None:
    for value in (None, [], {}, "x", False):
        with pytest.raises(JwtError, match=name):
            take_apart(token(json.dumps({"alg": "HS256", name: value}).encode()))


@given(st.binary(min_size=1, max_size=40))
def test_every_part_has_one_spelling(data: bytes) -> None:
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/= \n"
    right = token(signature=data)
    assert take_apart(right).signature == data
    for last in letters:
        if last != right[-1]:
            try:
                assert take_apart(right[:-1] + bytes([last])).signature != data
            except JwtError:
                continue


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), values, max_size=5), st.booleans())
def test_every_object_is_read_as_it_is(said: dict[str, object], ascii_only: bool) -> None:
    assert read_object(json.dumps(said, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")) == said


@given(st.binary(max_size=40) | st.text('{}[]":,\\u0eE+-1.N aInfity', max_size=30).map(str.encode))
def test_nothing_but_its_own_error(text: bytes) -> None:
    for read in (read_object, take_apart):
        try:
            assert read(text) is not None
        except JwtError:
            continue
