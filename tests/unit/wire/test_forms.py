"""Which forms the fields of a head tell: nothing for plain JSON, so that nothing has to be done for it."""

from __future__ import annotations

import pytest

from abyssal.wire.forms import Forms, forms_of

PB = b"application/x-protobuf"
JSON = b"application/json"


@pytest.mark.parametrize(
    ("content_type", "accept", "encoding", "accept_encoding"),
    [
        (None, None, None, None),
        (JSON, b"*/*", None, None),
        (JSON, JSON, b"identity", b"identity"),
        (b"application/json; charset=utf-8", b"application/json, */*", b" Identity ", b"br"),
        (b"text/protobuf", b"text/html", None, b"gzip;q=0"),
    ],
)
def test_plain(
    content_type: bytes | None, accept: bytes | None, encoding: bytes | None, accept_encoding: bytes | None
) -> None:
    assert forms_of(content_type, accept, encoding, accept_encoding) is None


@pytest.mark.parametrize(
    ("content_type", "accept", "expected"),
    [
        (PB, None, (True, True)),
        (b"application/protobuf", b"*/*", (True, True)),
        (b"Application/X-Protobuf; proto=abyssal.v1.ChatRequest", b"", (True, True)),
        (PB, JSON, (True, False)),
        (PB, b"application/json, application/x-protobuf", (True, True)),
        (PB, b"application/json, application/x-protobuf;q=0.9", (True, False)),
        (PB, b"text/event-stream", (True, False)),
        (PB, b"application/x-protobuf;q=0", (True, False)),
        (JSON, PB, (False, True)),
        (JSON, b"application/protobuf;q=0.5, text/html", (False, True)),
        (JSON, b"application/x-protobuf;q=0.5, application/json;q=0.4", (False, True)),
        (JSON, b"application/x-protobuf;q=0.5, application/json;q=0.5", None),
        (JSON, b"application/x-protobuf;q=0", None),
        (JSON, b"application/x-protobuf;q=0, */*", None),
        (None, PB, (False, True)),
    ],
)
def test_protobuf(
    content_type: bytes | None, accept: bytes | None, expected: tuple[bool, bool] | None
) -> None:
    forms = forms_of(content_type, accept, None, None)
    assert forms == (None if expected is None else Forms(b"", b"", *expected))


def test_codings() -> None:
    assert forms_of(None, None, b"gzip", None) == Forms(b"gzip", b"", False, False)
    assert forms_of(None, None, b"gzip, zstd", b"gzip") == Forms(b"gzip, zstd", b"gzip", False, False)
