"""Whatever bytes follow an upgrade, in whatever pieces: every call is settled, and nothing is left behind."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.gateway.messages import DONE, KEY, LAST, chunk
from tests.unit.gateway.stage import stages
from websockets.frames import Frame, Opcode

from .sockets import AUTH_INIT, AUTH_REQUEST, BARE, INIT, REQUEST, upgrade, wire

MESSAGES: list[Any] = [AUTH_INIT, AUTH_REQUEST, INIT, REQUEST, BARE, {"type": "cancel"}, {"type": "?"}, []]
texts = st.sampled_from(MESSAGES).map(json.dumps).map(str.encode) | st.binary(max_size=20)
frames = st.builds(Frame, st.sampled_from(list(Opcode)), texts, st.sampled_from([True, True, True, False]))
wire_bytes = frames.map(
    lambda frame: frame.serialize(mask=True) if _fits(frame) else b"\x89\xfe"
) | st.binary(max_size=30)
steps = st.lists(
    wire_bytes | st.sampled_from(["events", "end", "break", "answer", "wait", "stick", "unstick"]),
    max_size=14,
)


def _fits(frame: Frame) -> bool:
    return frame.opcode not in (Opcode.CLOSE, Opcode.PING, Opcode.PONG) or (
        frame.fin and len(frame.data) <= 125
    )


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps, st.sampled_from([0, 1, 7]), st.sampled_from(["", KEY]))
def test_nothing_is_left_behind(script: list[Any], size: int, key: str) -> None:
    with stages() as make:
        stage = make()
        wire(stage)
        client = stage.client().send(upgrade(key=key))
        for step in script:
            server = stage.server.connections[-1] if stage.server.connections else None
            answering = server is not None and not server.closed and server.transport.protocol._receiver
            if isinstance(step, bytes):
                if client.transport.reading:
                    client.send(step, size=size)
            elif step == "wait":
                stage.pass_time(6.0)
            elif step in ("stick", "unstick"):
                client.transport.stuck = step == "stick"
                if step == "unstick":
                    client.transport.unstick()
            elif answering and server is not None and server.transport.reading:
                if step == "answer":
                    server.answer(b'{"error":{"message":"no"}}', status=429)
                elif step == "break":
                    server.close()
                else:
                    said = [chunk("a")] * 3 if step == "events" else [LAST, DONE]
                    server.say(
                        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
                        + b"".join(event + b"\n\n" for event in said)
                    )
                    server.close()
