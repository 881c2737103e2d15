"""Messages on a socket: a client's read, the server's own written, and the frames they travel in. Pure.

Frames from a server are not masked (RFC 6455 §5.1): a header of 2, 4 or 10 bytes and the payload.
"""

from __future__ import annotations

import msgspec

from abyssal.gateway.dialects.sockets.words import BY_CREDENTIAL, BY_REQUEST, Words
from abyssal.wire.errors import ApiError, BadRequestError
from abyssal.wire.guard import check_text

MAX_CREDENTIAL = 16 * 1024  # characters

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)
_text_or_null = msgspec.json.Decoder(str | None)
_TEXT = 0x81  # FIN, opcode 1 (RFC 6455 §5.2)
_SHORT = [bytes((_TEXT, length)) for length in range(126)]
_NULL = b"null"


def frame(message: bytes) -> bytes:
    """`message` (UTF-8 JSON) as one text frame."""
    length = len(message)
    if length < 126:
        return _SHORT[length] + message
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big") + message
    return b"\x81\x7f" + length.to_bytes(8, "big") + message


CANCELLED = frame(b'{"type":"cancelled"}')


def error_frame(body: bytes, request_id: str, retry_after: bytes = b"") -> bytes:
    """An HTTP error body (`{"error":{...}}`) as a message; `retry_after` are whole seconds in digits."""
    wait = b',"retry_after":' + retry_after if retry_after else b""
    return frame(b'{"type":"error",%b,"request_id":"%b"%b}' % (body[1:-1], request_id.encode(), wait))


def complaint(error: ApiError, request_id: str) -> bytes:
    """An error of our own as a message."""
    return error_frame(error.as_json(), request_id)


class Message(msgspec.Struct):
    """A client's message: its type, None where it names none, and everything that is in it."""

    type: str | None
    fields: dict[str, msgspec.Raw]


def read_message(text: bytes) -> Message:
    """Read a message. Raises BadRequestError; with the code `invalid_json` when it is no JSON object."""
    check_text(text)
    try:
        fields = _fields.decode(text)
    except msgspec.DecodeError as error:
        raise BadRequestError(
            f"The message is not a JSON object: {error}; send one object in each message.",
            code="invalid_json",
        ) from None
    return Message(string_or_none(fields, "type"), fields)


def string(fields: dict[str, msgspec.Raw], name: str) -> str:
    """The string in a message's field that is there. Raises BadRequestError for anything else."""
    try:
        return _text.decode(fields[name])
    except msgspec.DecodeError:
        raise _no_string(name) from None


def string_or_none(fields: dict[str, msgspec.Raw], name: str) -> str | None:
    """As `string`, for a field that may be null or not be there."""
    value = fields.get(name)
    try:
        return None if value is None else _text_or_null.decode(value)
    except msgspec.DecodeError:
        raise _no_string(name) from None


def _no_string(name: str) -> BadRequestError:
    return BadRequestError(f'"{name}": expected a string; send one.', param=name, code="invalid_value")


def is_given(fields: dict[str, msgspec.Raw], name: str) -> bool:
    """Whether a message has a field, and not null in it."""
    value = fields.get(name)
    return value is not None and (len(value) != len(_NULL) or bytes(value) != _NULL)


def flag(fields: dict[str, msgspec.Raw], name: str) -> bool:
    """Whether a message's field is there and true. Raises BadRequestError for anything but a boolean."""
    if not is_given(fields, name):
        return False
    value = bytes(fields[name])
    if value not in (b"true", b"false"):
        raise BadRequestError(f'"{name}": expected true or false.', param=name, code="invalid_value")
    return value == b"true"


def read_credential(fields: dict[str, msgspec.Raw]) -> tuple[Words, bytes]:
    """An `auth` message's dialect, and its credential as an Authorization field. Raises BadRequestError."""
    given = [name for name in BY_CREDENTIAL if is_given(fields, name)]
    if len(given) != 1:
        what = "has two credentials" if given else 'has neither "access_token" nor "token"'
        raise BadRequestError(
            f"The auth message {what}; send one of them.",
            param="access_token",
            code="two_credentials" if given else "missing_field",
        )
    name = given[0]
    token = string(fields, name).strip()
    if token[:7].lower() == "bearer ":
        token = token[7:].strip()
    if not token or len(token) > MAX_CREDENTIAL:
        raise BadRequestError(
            f'"{name}": expected 1 to {MAX_CREDENTIAL} characters, it has {len(token)}.',
            param=name,
            code="invalid_value",
        )
    return BY_CREDENTIAL[name], b"Bearer " + token.encode()


def words_of(message: Message, words: Words | None) -> Words:
    """The dialect that a request is in; `words` is the socket's, None while its first message is read.

    Raises BadRequestError for a message that is not this dialect's, or nobody's.
    """
    found = BY_REQUEST.get(message.type)
    if found is not None and (words is None or found is words):
        return found
    named = "has no type" if message.type is None else f'is of the type "{message.type[:40]}"'
    if words is None:
        wanted = '"auth", "init", "request", "resume", "cancel" or no type at all'
    else:
        wanted = "no type at all" if words.request is None else f'"{words.request}", "resume" or "cancel"'
    raise BadRequestError(
        f"The message {named}, which is not expected here; send {wanted}.",
        param="type",
        code="unexpected_message",
    )
