"""Files' contents as parts of a chat: read and written in small pieces, for a thread beside the loop.

Pieces are small so that the interpreter is free for the loop after each: reading lets go of it, and encoding
one takes some tenths of a millisecond.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterator

import msgspec

from abyssal.gateway.compose.file_parts import Reference
from abyssal.wire.chat_request import Part
from abyssal.wire.errors import BadRequestError
from abyssal.wire.media_types import IMAGES, LOOKED_AT, is_text, media_type_of

_PIECE = 192 * 1024  # bytes; a multiple of 3, so that pieces of base64 join, and of 4, so that they part
_HEADER = re.compile(r"data:[^,]{0,300};base64,", re.IGNORECASE)

_encode = msgspec.json.Encoder().encode


class Written(msgspec.Struct, frozen=True):
    """A part as it goes into the body, and as the gateway knows it."""

    json: bytes
    part: Part


def stored_part(reference: Reference, name: str, media_type: str, path: str, *, takes_files: bool) -> Written:
    """The part for a file at `path`. Raises BadRequestError for what the model cannot be shown, OSError."""
    if media_type in IMAGES:
        return _image(reference, media_type, b"".join(_in_base64(path)))
    if is_text(media_type) and not reference.wants_image:
        return _text(reference, name, _pieces(path))
    if takes_files and not reference.wants_image:
        url = f"data:{media_type};base64,".encode() + b"".join(_in_base64(path))
        json = b'{"type":"file","file":{"filename":%b,"file_data":"%b"}}' % (_encode(name), url)
        return Written(json, Part("file"))
    raise _not_shown(reference, name, media_type)


def brought_part(reference: Reference) -> Written:
    """The part for a file that the request brings. Raises BadRequestError."""
    data = reference.data or ""
    header = _HEADER.match(data)
    if header is None and data.startswith("data:"):
        raise _no_base64(reference)
    start = 0 if header is None else header.end()
    name = reference.name
    media_type = media_type_of(_decoded(reference, data[start : start + LOOKED_AT // 3 * 4]), name)
    if media_type in IMAGES:
        for _ in _out_of_base64(reference, data, start):
            pass  # it is base64 all through, or refused
        return _image(reference, media_type, data[start:].encode())
    if is_text(media_type):
        return _text(reference, name, _out_of_base64(reference, data, start))
    raise _not_shown(reference, name, media_type)


def gone_part(reference: Reference) -> Written:
    """The part for a file that there is no more."""
    text = f"(The file {reference.file_id} is not stored any more.)"
    return Written(_encode({"type": "text", "text": text}), Part("text", text))


def _image(reference: Reference, media_type: str, content: bytes) -> Written:
    detail = b"" if reference.detail is None else b',"detail":' + _encode(reference.detail)
    json = b'{"type":"image_url","image_url":{"url":"data:%b;base64,%b"%b}}'
    return Written(json % (media_type.encode(), content, detail), Part("image_url"))


def _text(reference: Reference, name: str, pieces: Iterator[bytes]) -> Written:
    decoder = codecs.getincrementaldecoder("utf-8")()
    texts = [f"File {name}:\n\n"]
    try:
        texts += [decoder.decode(piece) for piece in pieces]
        texts.append(decoder.decode(b"", final=True))
    except UnicodeDecodeError:
        raise BadRequestError(
            f'{reference.where}: "{name}" is not UTF-8 all through; save it as UTF-8 text.',
            param=reference.where,
            code="unsupported_content",
        ) from None
    escaped = b"".join([_encode(text)[1:-1] for text in texts])
    return Written(b'{"type":"text","text":"%b"}' % escaped, Part("text", "".join(texts)))


def _pieces(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _in_base64(path: str) -> Iterator[bytes]:
    for piece in _pieces(path):
        yield binascii.b2a_base64(piece, newline=False)


def _out_of_base64(reference: Reference, data: str, start: int) -> Iterator[bytes]:
    for at in range(start, len(data), _PIECE):
        yield _decoded(reference, data[at : at + _PIECE])


def _decoded(reference: Reference, data: str) -> bytes:
    try:
        return binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        raise _no_base64(reference) from None


def _no_base64(reference: Reference) -> BadRequestError:
    return BadRequestError(
        f'{reference.where}: "file_data" is no base64; send data:…;base64,… or base64 alone.',
        param=f"{reference.where}.file.file_data",
        code="invalid_value",
    )


def _not_shown(reference: Reference, name: str, media_type: str) -> BadRequestError:
    if reference.wants_image:
        advice = "is no picture that models read; upload it as PNG, JPEG, GIF or WebP"
    else:
        advice = (
            "cannot be shown to this model; send its text (UTF-8), or pictures of its pages, or ask a model "
            "whose upstream takes files"
        )
    return BadRequestError(
        f'{reference.where}: "{name}" ({media_type}) {advice}.',
        param=reference.where,
        code="unsupported_content",
    )
