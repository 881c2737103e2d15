"""Official events, however they are put into lines and reads, reach the writer one after another.

Lines end in LF or CRLF: the relay cuts a stream at those.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from abyssal.gateway.dialects.dialect import Reading
from abyssal.gateway.dialects.translation import Translated
from abyssal.gateway.exchange import RequestHead
from abyssal.wire.chat import ChatCompletion, ChatCompletionChunk
from abyssal.wire.errors import ErrorObject

FORMS = (
    b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n',
    b'data:{"choices":[{"delta":{"content":"%d"}}]}\n\n',
    b'data: {"choices":\ndata: [{"delta":{"content":"%d"}}]}\n\n',
    b'data: {"choices":[{"delta":{"content":"%d"}}]}\r\n\r\n',
    b'event: chunk\ndata: {"choices":[{"delta":{"content":"%d"}}]}\n\n',
    b': waiting\n\ndata: {"choices":[{"delta":{"content":"%d"}}]}\n\n',
    b'\n\ndata: {"choices":[{"delta":{"content":"%d"}}]}\n\n\n',
)


class Copier:
    """A format whose stream is the bare texts."""

    id_field = b""

    def read(self, body: bytes) -> Reading:
        return Reading(body, self)

    def refusal(self, status: int, error: ErrorObject) -> bytes:
        return b"refused"

    def answer(self, completion: ChatCompletion) -> bytes:
        return b"answered"

    def chunk(self, chunk: ChatCompletionChunk) -> bytes:
        return b"".join(b"<%b>" % (choice.delta.content or "").encode() for choice in chunk.choices)

    def end(self) -> bytes:
        return b"."

    def broken(self, error: ErrorObject) -> bytes:
        return b"!"


class Client:
    """Keeps what it is sent."""

    scheme = b"http"

    def __init__(self) -> None:
        self.got = b""

    def address_of(self, head: RequestHead) -> str:
        return ""

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        self.got += body

    def begin(self, status: int, headers: bytes, length: int | None) -> None:
        assert (status, length) == (200, None)

    def send(self, data: bytes) -> None:
        self.got += data

    def finish(self) -> None:
        self.got += b"|"

    def abort(self) -> None:
        raise AssertionError


@given(st.lists(st.lists(st.sampled_from(FORMS), min_size=1, max_size=4), max_size=4), st.booleans())
def test_every_event_is_written_once_and_in_order(reads: list[list[bytes]], done: bool) -> None:
    client = Client()
    translated = Translated(client, Copier(), "id-1")
    translated.writer = Copier()
    translated.begin(200, b"content-type: text/event-stream\r\n", None)
    said = 0
    for forms in reads:
        events = b"".join(form % (said + at) for at, form in enumerate(forms))
        said += len(forms)
        translated.send(events)
    if done:
        translated.send(b"data: [DONE]\n\n")
    translated.finish()
    assert client.got == b"".join(b"<%d>" % at for at in range(said)) + b".|"
