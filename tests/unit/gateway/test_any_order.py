"""Clients, upstreams and time do what they like, in any order: answers stay whole and the books right."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from .messages import DONE, LAST, chat, chunk, completion, get
from .stage import Client, ServerConnection, Stage, stages

BODY = completion("x" * 50)
ERROR = b'{"error":{"message":"no","type":"t","param":null,"code":"c"}}'
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def framed(*events: bytes) -> bytes:
    data = b"".join(event + b"\n\n" for event in events)
    return b"%x\r\n%b\r\n" % (len(data), data)


REQUESTS = [
    chat(),
    chat(),
    chat(stream=True),
    chat(stream=True),
    chat() + chat(stream=True),
    chat(stream=True) + get("/healthz") + chat(),
    get("/healthz"),
    get("/v1/models"),
    chat(b"{}"),
    chat(model="nobody"),
    chat(headers=b"Connection: close\r\n"),
    chat(stream=True).replace(b"HTTP/1.1", b"HTTP/1.0"),
    chat()[:-20],
    b"\r\n",
    b"nonsense\r\n\r\n",
]
SAYINGS = [
    OK + b"content-length: %d\r\n\r\n" % len(BODY) + BODY,
    OK + b"content-length: %d\r\n\r\n" % len(BODY) + BODY + b"more",
    OK + b"content-length: %d\r\n\r\n" % len(BODY),
    BODY,
    BODY[:20],
    OK + b"content-length: 3000000\r\n\r\n" + b"y" * 1_500_000,
    b"HTTP/1.1 503 Busy\r\ncontent-length: %d\r\n\r\n" % len(ERROR) + ERROR,
    b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    OK + b"\r\n" + BODY,
    EVENTS,
    EVENTS + framed(chunk("a")),
    framed(chunk("a"), chunk("b")),
    framed(chunk("z" * 200_000)),
    framed(chunk("", "stop")),
    framed(LAST, DONE),
    framed(LAST, DONE) + b"0\r\n\r\n",
    framed(b": keep-alive"),
    b"c\r\ndata: {",
    b"0\r\n\r\n",
    b"zz\r\n",
    b"\x00",
]


class AnyOrder(RuleBasedStateMachine):
    """See the module. Every rule may come at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.scope = stages()
        self.stage: Stage = self.scope.__enter__()(kind="openai")
        self.clients: list[Client] = []

    def some_client(self, data: st.DataObject) -> Client:
        return self.clients[data.draw(st.integers(max(0, len(self.clients) - 3), len(self.clients) - 1))]

    @precondition(lambda self: len(self.clients) < 6)
    @rule(request=st.sampled_from(REQUESTS))
    def come(self, request: bytes) -> None:
        self.clients.append(self.stage.client().send(request))

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), request=st.sampled_from(REQUESTS), cut=st.integers(0, 400))
    def ask(self, data: st.DataObject, request: bytes, cut: int) -> None:
        client = self.some_client(data)
        for piece in (request[:cut], request[cut:]):
            if client.transport.reading and not client.gone:
                client.send(piece)

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), how=st.sampled_from(("leave", "reset", "stick", "unstick")))
    def do(self, data: st.DataObject, how: str) -> None:
        client = self.some_client(data)
        if how in ("leave", "reset"):
            getattr(client, how)()
        elif how == "stick":
            client.transport.stuck = True
        else:
            client.transport.unstick()
        self.stage.turn()

    def some_server(self, data: st.DataObject) -> ServerConnection:
        connections = self.stage.server.connections
        return connections[data.draw(st.integers(max(0, len(connections) - 3), len(connections) - 1))]

    @precondition(lambda self: self.stage.server.connections)
    @rule(data=st.data(), saying=st.sampled_from(SAYINGS), size=st.sampled_from((0, 0, 7, 5000)))
    def say(self, data: st.DataObject, saying: bytes, size: int) -> None:
        server = self.some_server(data)
        size = max(size, len(saying) // 30)
        for at in range(0, len(saying), size or len(saying)):
            if server.transport.reading and not server.closed:
                server.say(saying[at : at + (size or len(saying))])

    @precondition(lambda self: self.stage.server.connections)
    @rule(data=st.data(), error=st.sampled_from((None, ConnectionResetError(104, "reset"))))
    def server_closes(self, data: st.DataObject, error: Exception | None) -> None:
        self.some_server(data).close(error)

    @rule(how=st.sampled_from(("accepts", "accepts", "refuses", "hangs")))
    def server_changes(self, how: str) -> None:
        self.stage.server.refuses = OSError(111, "refused") if how == "refuses" else None
        self.stage.server.hangs = how == "hangs"

    @rule(seconds=st.sampled_from((0.5, 3.0, 16.0, 61.0, 130.0)))
    def wait(self, seconds: float) -> None:
        self.stage.pass_time(seconds)

    @invariant()
    def answers_are_whole(self) -> None:
        for client in self.clients:
            check_answers(client)

    @invariant()
    def nothing_is_held_for_long(self) -> None:
        for client in self.clients:
            assert len(client.transport.buffered) < 2_000_000

    @invariant()
    def the_books_are_right(self) -> None:
        settled = [record.id for record in self.stage.settled]
        assert len(settled) == len(set(settled))
        assert self.stage.gateway.caps.in_flight >= 0

    def teardown(self) -> None:
        self.scope.__exit__(None, None, None)


def check_answers(client: Client) -> None:
    """What came so far is a row of whole answers and the beginning of one at most."""
    for answer in client.answers():
        kind = answer.header("content-type") or ""
        if kind.startswith("text/event-stream"):
            for event in answer.events:
                assert event in ("[DONE]", ": keep-alive") or isinstance(json.loads(event), dict), event
            assert answer.events.count("[DONE]") <= 2
        elif answer.complete and answer.status != 200:
            error: dict[str, Any] = answer.error
            assert error["message"]


AnyOrder.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestAnyOrder = AnyOrder.TestCase
