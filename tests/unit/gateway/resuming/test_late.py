"""What a call still says after its stream was given up: it changes nothing, and takes no memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from abyssal.gateway.exchange import Exchange, RequestHead
from abyssal.gateway.resuming.form import ServerSentEvents
from abyssal.gateway.resuming.streams import PATIENCE, ResumableStreams

HEAD = b"content-type: text/event-stream\r\n"
EVENT = b"data: x\n\n"


class Connection:
    """A client that notes what it is told."""

    scheme = b"http"

    def __init__(self) -> None:
        self.told: list[str] = []

    def address_of(self, head: RequestHead) -> str:
        return ""

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        self.told.append("answer")

    def begin(self, status: int, headers: bytes, length: int | None) -> None:
        self.told.append("begin")

    def send(self, data: bytes) -> None:
        self.told.append("send")

    def finish(self) -> None:
        self.told.append("finish")

    def abort(self) -> None:
        self.told.append("abort")

    def hold(self, most: int | None) -> None:
        """Nothing is held here."""


@pytest.mark.parametrize("how", ["sweep", "drain", "stop", "abort"])
def test_a_call_that_goes_on_after_the_end(how: str) -> None:
    streams = ResumableStreams(worker=0, bound=1000, total=10_000, now=lambda: 0.0, token=lambda: b"A" * 22)
    stream, client = streams.open(ServerSentEvents(), b"/x"), Connection()
    outer = Exchange("e", client, RequestHead())
    inner: Any = stream.serve(outer, client)
    inner.principal = SimpleNamespace(credential=SimpleNamespace(project=SimpleNamespace(id="p")))
    stream.begin(200, HEAD, None)
    stream.send(EVENT)
    if how == "abort":
        stream.abort()
    elif how == "stop":
        stream.stop()
    else:
        assert outer.call is not None
        outer.call.cancel()
        streams.sweep(PATIENCE) if how == "sweep" else streams.drain()
    told = list(client.told)
    assert (len(streams), streams.held) == (0, 0)
    stream.send(EVENT * 100)
    stream.finish()
    streams.sweep(PATIENCE * 3)
    assert (len(streams), streams.held) == (0, 0)
    assert client.told == told
