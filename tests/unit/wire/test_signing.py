"""The platform's signed requests: the bytes that are signed, and what a signer refuses to sign."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.wire.signing import is_nonce, is_timestamp, proves, signature_of, signed_headers, string_to_sign


def test_the_string() -> None:
    assert (
        string_to_sign(b"POST", b"/v1/a?b=c", b'{"x":\n1}', b"17", b"n")
        == b'POST\n/v1/a?b=c\n{"x":\n1}\n17\nn'
    )
    assert string_to_sign(b"GET", b"/", b"", b"17", b"n") == b"GET\n/\n\n17\nn"


def test_a_signature_by_hand() -> None:
    """As `openssl dgst -sha256 -hmac ss_secret -binary | base64` makes it."""
    assert signature_of(b"ss_secret", b"GET\n/\n\n17\nn") == b"dZJWGa8+nAgbIsPvzWzZ7LH9nMiZ9Jfyye94fmpZexQ="
    assert proves(b"ss_secret", b"text", signature_of(b"ss_secret", b"text"))
    assert not proves(b"ss_other", b"text", signature_of(b"ss_secret", b"text"))
    assert not proves(b"ss_secret", b"text", b"")


def test_the_headers() -> None:
    headers = signed_headers(
        "sig_1", "ss_1", method="POST", target="/v1/x", body=b"{}", timestamp=17, nonce="once"
    )
    text = b"POST\n/v1/x\n{}\n17\nonce"
    assert headers == {
        "X-Api-Key": "sig_1",
        "X-Api-Timestamp": "17",
        "X-Api-Nonce": "once",
        "X-Api-Signature": signature_of(b"ss_1", text).decode(),
    }


@pytest.mark.parametrize(
    "changed",
    [{"nonce": ""}, {"nonce": "a b"}, {"nonce": "\xe9"}, {"nonce": "n" * 129}, {"nonce": "a\n"}, {"timestamp": -1},
     {"method": "GET\n"}, {"target": "/\n"}],
)  # fmt: skip
def test_what_is_not_signed(changed: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"method": "GET", "target": "/", "body": b"", "timestamp": 17, "nonce": "n"}
    with pytest.raises(ValueError, match=r"nonce|timestamp|line feed"):
        signed_headers("sig_1", "ss_1", **fields | changed)


lines = st.from_regex(r"[!-~]{1,8}", fullmatch=True).map(str.encode)
requests = st.tuples(
    lines, lines, st.binary(max_size=9) | st.just(b"\n\n1\nn"), st.just(b"1") | st.just(b"12"), lines
)


@given(requests, requests)
def test_two_requests_never_have_one_string(one: tuple[bytes, ...], other: tuple[bytes, ...]) -> None:
    assert (string_to_sign(*one) == string_to_sign(*other)) == (one == other)
    assert is_timestamp(one[3])
    assert is_nonce(one[4])
