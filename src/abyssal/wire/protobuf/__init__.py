"""Protobuf for the API's own formats: `abyssal.v1`, whose schema is `abyssal_v1.proto` beside this file.

A body in Protobuf is another spelling of the same body in JSON. So everything here takes JSON bytes and gives
Protobuf bytes, or the other way round, and who calls it goes on working with the JSON form:

    form = CHAT                                    # or COMPLETIONS, EMBEDDINGS
    data = encode_request(form, json_body)         # what a client sends, with CONTENT_TYPE and as `accept`
    json_body = decode_answer(form, data)          # what it gets: status 200
    json_body = decode_error(data)                 # ... any other status: {"error": {...}}
    reader = StreamReader()                        # ... and a stream, as its bytes come in:
    events = reader.feed(data)                     #     `wire.sse.Event`s; `.data` is a chunk's JSON,
                                                   #     {"error": {...}} or b"[DONE]"; `.id` where it can
                                                   #     be resumed
    reader.ended, reader.midway                    #     after the last byte: it said its end / was cut off

    json_body = decode_request(form, data)         # and the server's side of each
    data = encode_answer(form, json_body)
    data = encode_error(json_body)
    data = StreamWriter(form).write(event)

Clients' functions raise ProtocolError for bytes that are no such message, `decode_request` BadRequestError.
`FrameDecoder` cuts a stream into messages, `read_message` reads one: pure functions over any bytes whose only
error is WireError. Loading this costs a millisecond or so, and is left to the first call that needs it.
"""

from __future__ import annotations

from pathlib import Path

from abyssal.wire.protobuf.codec import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    FORMATS,
    Format,
    decode_answer,
    decode_error,
    decode_request,
    encode_answer,
    encode_error,
    encode_request,
)
from abyssal.wire.protobuf.framing import FrameDecoder
from abyssal.wire.protobuf.reading import read_message
from abyssal.wire.protobuf.streams import KEEP_ALIVE, StreamReader, StreamWriter
from abyssal.wire.protobuf.varint import WireError

CONTENT_TYPE = "application/x-protobuf"
SCHEMA = Path(__file__).with_name("abyssal_v1.proto")

__all__ = [
    "CHAT",
    "COMPLETIONS",
    "CONTENT_TYPE",
    "EMBEDDINGS",
    "FORMATS",
    "KEEP_ALIVE",
    "SCHEMA",
    "Format",
    "FrameDecoder",
    "StreamReader",
    "StreamWriter",
    "WireError",
    "decode_answer",
    "decode_error",
    "decode_request",
    "encode_answer",
    "encode_error",
    "encode_request",
    "read_message",
]
