"""How a request's body is written and how its answer is wanted: as Protobuf or JSON, in which content coding.

RFC 9110 §12.5: `Accept` and `Accept-Encoding` say what is wanted, with q-values. Who accepts neither form by
name is answered in that of the request.
"""

from __future__ import annotations

from typing import NamedTuple

from abyssal.wire.content_coding import choose_coding, weight_of

PROTOBUF_TYPES = (b"application/x-protobuf", b"application/protobuf")
_JSON_TYPES = (b"application/json", b"text/event-stream")


class Forms(NamedTuple):
    """What is not plain about a request. `coding` and `answer_coding` are names, b"" for none."""

    coding: bytes
    answer_coding: bytes
    protobuf: bool
    answer_protobuf: bool


def forms_of(
    content_type: bytes | None,
    accept: bytes | None,
    content_encoding: bytes | None,
    accept_encoding: bytes | None,
) -> Forms | None:
    """The forms that these fields of a request's head tell; None when everything is plain JSON."""
    coding = b"" if content_encoding is None else content_encoding.strip()
    if coding.lower() == b"identity":
        coding = b""
    answer_coding = b"" if accept_encoding is None else choose_coding(accept_encoding)
    protobuf = content_type is not None and _media_type(content_type) in PROTOBUF_TYPES
    wanted = protobuf if accept is None else _wants_protobuf(accept, protobuf)
    if not (coding or answer_coding or protobuf or wanted):
        return None
    return Forms(coding, answer_coding, protobuf, wanted)


def _media_type(value: bytes) -> bytes:
    return value.partition(b";")[0].strip().lower()


def _wants_protobuf(accept: bytes, otherwise: bool) -> bool:
    if not otherwise and b"protobuf" not in accept.lower():
        return False
    protobuf = json = -1.0
    for item in accept.lower().split(b","):
        name, _, parameters = item.partition(b";")
        name = name.strip()
        if name in PROTOBUF_TYPES:
            protobuf = max(protobuf, weight_of(parameters))
        elif name in _JSON_TYPES:
            json = max(json, weight_of(parameters))
    if protobuf <= 0 and json <= 0:
        return otherwise and protobuf != 0
    return protobuf > json or (protobuf == json and otherwise)
