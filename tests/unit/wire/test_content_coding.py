"""Content codings: what is inflated and what is refused, within which bounds, and what is chosen to answer in."""

from __future__ import annotations

import gzip
import sys
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.wire.content_coding import MOST_MEMBERS, Inflater, choose_coding, compressor
from abyssal.wire.errors import ApiError, BadRequestError, PayloadTooLargeError, UnsupportedMediaTypeError

if sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd

TEXT = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}' * 50


def raw_deflate(data: bytes) -> bytes:
    work = zlib.compressobj(wbits=-15)
    return work.compress(data) + work.flush()


def inflate(coding: bytes, body: bytes, most: int = 1 << 20) -> bytes:
    inflater = Inflater(coding, body, most)
    while not inflater.run(100_000):
        pass
    return inflater.body()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"gzip", gzip.compress(TEXT)),
        (b"X-GZIP", gzip.compress(TEXT)),
        (b" gzip ", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:])),
        (b"deflate", zlib.compress(TEXT)),
        (b"deflate", raw_deflate(TEXT)),
        (b"zstd", zstd.compress(TEXT)),
        (b"zstd", zstd.compress(TEXT[:100]) + zstd.compress(TEXT[100:])),
    ],
)
def test_inflated(coding: bytes, body: bytes) -> None:
    assert inflate(coding, body) == TEXT


@given(st.sampled_from([b"gzip", b"zstd"]), st.binary(max_size=300), st.integers(1, 400))
def test_what_is_compressed_is_inflated_in_steps_of_any_size(coding: bytes, body: bytes, step: int) -> None:
    work = compressor(coding)
    inflater = Inflater(coding, work.compress(body) + work.flush(), 300)
    while not inflater.run(step):
        pass
    assert inflater.body() == body


BAD = [
    ("empty", b"gzip", b""),
    ("empty", b"zstd", b""),
    ("empty", b"deflate", b""),
    ("not compressed", b"gzip", TEXT),
    ("not compressed", b"zstd", TEXT),
    ("not compressed", b"deflate", TEXT),
    ("another coding", b"gzip", zlib.compress(TEXT)),
    ("another coding", b"zstd", gzip.compress(TEXT)),
    ("cut off", b"gzip", gzip.compress(TEXT)[:-1]),
    ("cut off in the middle", b"gzip", gzip.compress(TEXT)[:40]),
    ("cut off", b"zstd", zstd.compress(TEXT)[:-1]),
    ("cut off", b"deflate", zlib.compress(TEXT)[:-1]),
    ("cut off", b"deflate", raw_deflate(TEXT)[:-1]),
    ("another checksum", b"gzip", gzip.compress(TEXT)[:-8] + bytes(8)),
    ("more behind it", b"gzip", gzip.compress(TEXT) + b"more"),
    ("more behind it", b"zstd", zstd.compress(TEXT) + b"more"),
    ("more behind it", b"deflate", zlib.compress(TEXT) + b"more"),
    ("two in a row", b"deflate", zlib.compress(TEXT) * 2),
    ("members without end", b"gzip", gzip.compress(b"") * (MOST_MEMBERS + 1)),
    ("a window of 128 MiB", b"zstd", b"\x28\xb5\x2f\xfd\x00\x88" + b"\x01\x00\x00"),
]


@pytest.mark.parametrize(("coding", "body"), [row[1:] for row in BAD], ids=[f"{r[0]} {r[1]}" for r in BAD])
def test_refused(coding: bytes, body: bytes) -> None:
    with pytest.raises(BadRequestError) as caught:
        inflate(coding, body)
    assert caught.value.code == "invalid_encoding"
    assert coding.decode() in caught.value.message


@pytest.mark.parametrize("coding", [b"br", b"gzip, gzip", b"gzip,", b"", b"gzip;q=1", b"\xff" * 500])
def test_codings_that_are_not_known(coding: bytes) -> None:
    with pytest.raises(UnsupportedMediaTypeError) as caught:
        Inflater(coding, TEXT, 100)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("coding", [b"gzip", b"zstd", b"deflate"])
def test_the_limit_is_exact(coding: bytes) -> None:
    body = {b"gzip": gzip.compress, b"zstd": zstd.compress, b"deflate": zlib.compress}[coding](TEXT)
    assert inflate(coding, body, len(TEXT)) == TEXT
    with pytest.raises(PayloadTooLargeError, match=f"over {len(TEXT) - 1} bytes"):
        inflate(coding, body, len(TEXT) - 1)


def unsized(data: bytes) -> bytes:
    """A zstd frame that does not say how large it is."""
    work = zstd.ZstdCompressor()
    return work.compress(data[:1]) + work.compress(data[1:]) + work.flush()


BOMB = bytes(64 << 20)


@pytest.mark.parametrize(
    ("coding", "body"),
    [(b"gzip", gzip.compress(BOMB, 1)), (b"deflate", zlib.compress(BOMB, 1)), (b"zstd", unsized(BOMB)),
     (b"zstd", zstd.compress(BOMB)), (b"gzip", gzip.compress(BOMB[: 1 << 16], 1) * 900)],
    ids=["gzip", "deflate", "zstd", "zstd that says so", "gzip members"],
)  # fmt: skip
def test_a_bomb_takes_no_more_memory_than_the_limit(coding: bytes, body: bytes) -> None:
    most = 4 << 20
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLargeError):
            inflate(coding, body, most)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * most + (1 << 20)


@given(st.sampled_from([b"gzip", b"zstd", b"deflate"]), st.binary(max_size=60))
def test_any_bytes(coding: bytes, body: bytes) -> None:
    try:
        inflate(coding, body, 1000)
    except ApiError:
        pass


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        (b"gzip", b"gzip"),
        (b"gzip, deflate, br, zstd", b"zstd"),
        (b"gzip, deflate", b"gzip"),
        (b"GZIP;Q=1.0", b"gzip"),
        (b"zstd;q=0.5, gzip", b"gzip"),
        (b"zstd;q=0.5, gzip;q=0.5", b"zstd"),
        (b"zstd;q=0, gzip;q=0", b""),
        (b"*", b"gzip"),
        (b"*;q=0", b""),
        (b"gzip;q=0, *", b""),
        (b"identity", b""),
        (b"identity, gzip;q=0.5", b""),
        (b"identity;q=0.2, gzip;q=0.5", b"gzip"),
        (b"gzip;q=2", b""),
        (b"gzip;q=much", b""),
        (b"gzip; v=1; q=0.1", b"gzip"),
        (b"br", b""),
        (b"", b""),
        (b"x-gzip", b"gzip"),
        (b",,;q=1", b""),
    ],
)
def test_what_is_chosen(accept: bytes, coding: bytes) -> None:
    assert choose_coding(accept) == coding
