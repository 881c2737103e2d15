"""What is no WebSocket, and who is nobody: upgrades, frames and first messages that are turned away."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.gateway.auth.people import SIGNING_KEY, SIGNING_SECRET
from tests.unit.gateway.messages import DONE, KEY, LAST, OTHER_KEY
from tests.unit.gateway.stage import CONFIG, Stage
from websockets.frames import Frame, Opcode

from abyssal.gateway.link import Claim, Claimed
from abyssal.stores.rights import ALL_SCOPES
from abyssal.stores.snapshot import CredentialRecord, Entry, SecretRecord, encode_record

from .sockets import AUTH_INIT, AUTH_REQUEST, BARE, INIT, REQUEST, SocketClient, upgrade, upstream, wire

WRONG_KEY = "sk-nobody-0123456789abcdef"

# Upgrades

BAD_UPGRADES = {
    "no key": ((b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""), 400, "bad_upgrade"),
    "a short key": ((b"dGhlIHNhbXBsZSBub25jZQ==", b"c2hvcnQ="), 400, "bad_upgrade"),
    "no base64": ((b"dGhlIHNhbXBsZSBub25jZQ==", b"%%%"), 400, "bad_upgrade"),
    "two keys": ((b"Host:", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nHost:"), 400, "bad_upgrade"),
    "no version": ((b"Sec-WebSocket-Version: 13\r\n", b""), 400, "bad_upgrade"),
    "another version": ((b"Version: 13", b"Version: 8"), 426, "upgrade_required"),
}


@pytest.mark.parametrize(("change", "status", "code"), BAD_UPGRADES.values(), ids=BAD_UPGRADES)
def test_a_bad_upgrade(stage: Stage, change: tuple[bytes, bytes], status: int, code: str) -> None:
    wire(stage)
    client = stage.client().send(upgrade().replace(*change))
    answer = client.answer()
    assert (answer.status, answer.error["code"]) == (status, code)
    assert answer.header("sec-websocket-version") == ("13" if status == 426 else None)
    assert client.transport.ended


@pytest.mark.parametrize(
    "change",
    [
        (b"/v1/stream", b"/healthz"),
        (b"GET /v1/stream", b"POST /healthz"),
        (b"Upgrade: websocket", b"Upgrade: h2c"),
        (b"Connection: Upgrade", b"Connection: keep-alive"),
        (b"HTTP/1.1", b"HTTP/1.0"),
    ],
    ids=repr,
)
def test_any_other_upgrade_is_passed_over(stage: Stage, change: tuple[bytes, bytes]) -> None:
    wire(stage)
    client = stage.client().send(upgrade().replace(*change))
    assert b"101" not in client.bytes[:20]


# Whose it is


@pytest.mark.parametrize(
    "messages",
    [[AUTH_INIT | {"access_token": WRONG_KEY}, INIT], [AUTH_REQUEST | {"token": WRONG_KEY}], [INIT], [REQUEST], [BARE]],
    ids=["wrong token", "wrong bearer", "init without", "request without", "bare without"],
)  # fmt: skip
def test_nobody_is_told_so_and_the_socket_is_closed(stage: Stage, messages: list[Any]) -> None:
    socket = SocketClient(stage, key="").send(*messages)
    assert socket.error["type"] == "authentication_error"
    assert socket.code == 4401
    assert stage.refused[0].status == 401
    assert stage.server.connections == []


def test_a_wrong_credential_in_the_upgrade_is_told_at_once(stage: Stage) -> None:
    socket = SocketClient(stage, key=WRONG_KEY)
    over_http = stage.client().ask(headers=b"").answers()  # the right key still works
    assert over_http == []
    assert socket.error["code"] == "invalid_api_key"
    assert socket.code == 4401
    assert stage.failed[0].reason in ("unknown", "mistyped")
    stage.server.last.answer()


def test_two_credentials_in_the_upgrade(stage: Stage) -> None:
    socket = SocketClient(stage, headers=b"x-api-key: %b\r\n" % OTHER_KEY.encode())
    assert socket.error["code"] == "two_credentials"
    assert socket.code == 4401


def test_auth_late(stage: Stage) -> None:
    socket = SocketClient(stage, key="").wait(9)
    assert socket.code is None
    socket.wait(2)
    assert socket.error["code"] == "missing_api_key"
    assert socket.code == 4401


@pytest.mark.parametrize("said", [{}, {"token": None}, {"token": ""}, {"access_token": 5}, {"token": " "}])
def test_an_auth_message_without_a_credential(stage: Stage, said: dict[str, Any]) -> None:
    socket = SocketClient(stage, key="").send({"type": "auth", **said})
    assert socket.error["code"] == "missing_api_key"
    assert socket.code == 4401


def test_an_auth_message_with_two(stage: Stage) -> None:
    socket = SocketClient(stage, key="").send({"type": "auth", "access_token": KEY, "token": KEY})
    assert socket.error["code"] == "two_credentials"
    assert socket.code is None
    socket.send(AUTH_INIT, INIT)
    upstream(stage).stream(LAST, DONE).end_stream()
    assert stage.settled[0].key_id == "key_1"


def test_nonsense_does_not_win_time(stage: Stage) -> None:
    socket = SocketClient(stage, key="")
    for _ in range(12):
        if socket.code is None:
            socket.send({"type": "nonsense"}).wait(1)
    assert socket.code == 4401


def test_the_same_key_in_the_upgrade_and_in_a_message(stage: Stage) -> None:
    socket = SocketClient(stage).send(AUTH_REQUEST, REQUEST)
    upstream(stage).stream(LAST, DONE).end_stream()
    assert [message["type"] for message in socket.take()] == ["done"]


def test_two_different_keys(stage: Stage) -> None:
    socket = SocketClient(stage).send({"type": "auth", "access_token": OTHER_KEY})
    assert socket.error["code"] == "two_credentials"
    socket.send(INIT)
    upstream(stage).stream(LAST, DONE).end_stream()
    assert stage.settled[0].key_id == "key_1"


def test_a_key_that_is_withdrawn_meanwhile(stage: Stage) -> None:
    socket = SocketClient(stage, key="").send(AUTH_INIT, INIT)
    upstream(stage).stream(LAST, DONE).end_stream()
    socket.take()
    stage.publish(OTHER_KEY)
    socket.send(INIT)
    assert socket.error["type"] == "authentication_error"
    assert socket.code == 4401


# A signed upgrade: its nonce is good once, the socket for as long as the key is


def signed(stage: Stage, nonce: str = "n-1") -> bytes:
    record = CredentialRecord(
        SIGNING_KEY, "signing_key", "proj_1", "", ALL_SCOPES, None, None, 0,
        (SecretRecord(SIGNING_SECRET.encode(), 0),),
    )  # fmt: skip
    stage.take(entries=(Entry(SIGNING_KEY.encode(), encode_record(record)),))
    timestamp = str(stage.clock.unix_ns() // 10**9)
    text = "\n".join(("GET", "/v1/stream", "", timestamp, nonce))
    signature = base64.b64encode(
        hmac.new(SIGNING_SECRET.encode(), text.encode(), hashlib.sha256).digest()
    ).decode()
    fields = {"Key": SIGNING_KEY, "Timestamp": timestamp, "Nonce": nonce, "Signature": signature}
    return "".join(f"X-Api-{name}: {value}\r\n" for name, value in fields.items()).encode()


def test_a_signed_upgrade_is_good_for_many_requests(stage: Stage) -> None:
    headers = signed(stage)
    socket = SocketClient(stage, key="", headers=headers).send(INIT, INIT)
    for _ in range(2):
        upstream(stage).stream(LAST, DONE).end_stream()
    assert [message["type"] for message in socket.take()] == ["complete", "complete"]
    assert {settled.key_id for settled in stage.settled} == {SIGNING_KEY}
    replayed = SocketClient(stage, key="", headers=headers)
    assert replayed.code == 4401
    stage.take(entries=(Entry(SIGNING_KEY.encode(), b""),))
    assert socket.send(INIT).error["type"] == "authentication_error"
    assert socket.code == 4401


def test_what_is_sent_while_a_nonce_is_asked_for_elsewhere_waits(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(CONFIG.format(kind="openai") + "[server]\nworkers = 2\n")
    socket = SocketClient(stage, key="", headers=signed(stage)).send(INIT, INIT, {"type": "cancel"})
    assert stage.server.connections == []
    assert socket.take() == [{"type": "cancelled"}]
    (claim,) = [message for message in stage.told if isinstance(message, Claim)]
    stage.gateway.take(Claimed(claim.number, "fresh"))
    stage.turn()
    upstream(stage).stream(LAST, DONE).end_stream()
    assert [message["type"] for message in socket.take()] == ["complete"]
    assert len(stage.server.requests) == 1


def test_a_client_that_leaves_while_a_nonce_is_asked_for(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(CONFIG.format(kind="openai") + "[server]\nworkers = 2\n")
    SocketClient(stage, key="", headers=signed(stage)).send(INIT).http.reset()
    (claim,) = [message for message in stage.told if isinstance(message, Claim)]
    stage.gateway.take(Claimed(claim.number, "fresh"))
    stage.turn()
    assert stage.server.connections == []


# Frames and messages

FIRST_NOT_JSON = [b"{", b"hello", b"", b"[1]", b'"text"', b"null"]


@pytest.mark.parametrize("text", FIRST_NOT_JSON)
@pytest.mark.parametrize("key", ["", KEY], ids=["nobody", "somebody"])
def test_a_first_message_that_is_not_json(stage: Stage, text: bytes, key: str) -> None:
    socket = SocketClient(stage, key=key).send(text)
    assert socket.error["code"] == "invalid_json"
    assert socket.code == 1007


def test_a_binary_message(stage: Stage) -> None:
    socket = SocketClient(stage, key="").send(AUTH_INIT, INIT).send_frame(Opcode.BINARY, b"\x00\x01")
    assert socket.error["code"] == "binary_message"
    assert socket.code == 1003
    assert stage.settled[0].status == 499


def test_text_that_is_not_utf_8(stage: Stage) -> None:
    socket = SocketClient(stage).send(b'{"model":"m","prompt":"\xff"}')
    assert socket.error["code"] == "invalid_utf8"
    assert socket.code == 1007


@pytest.mark.parametrize("pieces", [2, 3, 200])
def test_a_message_in_fragments(stage: Stage, pieces: int) -> None:
    text = json.dumps(INIT | {"prompt": "ü" * 500}, ensure_ascii=False).encode()
    size = -(-len(text) // pieces)
    socket = SocketClient(stage)
    for at in range(0, len(text), size):
        last = at + size >= len(text)
        socket.send_frame(Opcode.CONT if at else Opcode.TEXT, text[at : at + size], fin=last)
        if not last:
            socket.send_frame(Opcode.PING, b"between")
    assert stage.server.last.request.json()["messages"][0]["content"] == "ü" * 500
    upstream(stage).stream(LAST, DONE).end_stream()


def masked(opcode: int, data: bytes, first: int = 0x80) -> bytes:
    return bytes((first | opcode, 0x80 | len(data))) + b"\0\0\0\0" + data


BROKEN = {
    "not masked": (b"\x81\x02{}", 1002),
    "a reserved bit": (masked(1, b"{}", 0xC0), 1002),
    "an unknown opcode": (masked(3, b"{}"), 1002),
    "a continuation of nothing": (masked(0, b"{}"), 1002),
    "a message inside another": (masked(1, b"{", 0) + masked(1, b"}"), 1002),
    "a ping in fragments": (masked(9, b"", 0), 1002),
    "a closing of one byte": (masked(8, b"\x03"), 1002),
    "a closing with a reserved code": (masked(8, b"\x03\xed"), 1002),
    "a reason that is not UTF-8": (masked(8, b"\x03\xe8\xff"), 1007),
    "a length over the limit": (b"\x81\xff" + (2**20 + 1).to_bytes(8, "big"), 1009),
    "a length beyond everything": (b"\x81\xff" + b"\xff" * 8, 1009),
}


@pytest.mark.parametrize(("data", "code"), BROKEN.values(), ids=BROKEN)
def test_broken_frames(stage: Stage, data: bytes, code: int) -> None:
    socket = SocketClient(stage, key="").send(AUTH_INIT, INIT)
    server = upstream(stage)
    socket.http.send(data)
    assert socket.code == code
    assert server.closed
    assert stage.settled[0].status == 499
    socket.wait(5)
    assert socket.transport.lost


def test_a_message_of_a_mebibyte_is_taken_and_one_more_byte_is_not(stage: Stage) -> None:
    ask = json.dumps(BARE).encode()
    socket = SocketClient(stage).send(ask[:-1] + b" " * (2**20 - len(ask)) + b"}")
    upstream(stage).stream(LAST, DONE).end_stream()
    assert socket.take()[0]["finish_reason"] == "stop"
    over = SocketClient(stage)
    over.http.send(Frame(Opcode.TEXT, ask + b" " * (2**20 - len(ask) + 1)).serialize(mask=True), size=100_000)
    assert over.code == 1009


def test_a_bomb_of_fragments(stage: Stage) -> None:
    socket = SocketClient(stage)
    socket.http.send(masked(1, b'{"', 0))
    sent = 0
    while not socket.transport.ended and sent < 5000:
        socket.http.send(masked(0, b"a", 0) * 100)
        sent += 100
    assert socket.code == 1008
    assert sent < 1500


@pytest.mark.parametrize("opcode", [0, 9, 10], ids=["continuation", "ping", "pong"])
def test_a_bomb_of_empty_frames(stage: Stage, opcode: int) -> None:
    socket = SocketClient(stage)
    socket.http.send(masked(1, b"{", 0))
    socket.http.send(masked(opcode, b"", 0x80 if opcode else 0) * 40_000)
    assert socket.read().code == 1008
    assert len(socket.http.bytes) < 20_000


def test_what_comes_after_a_closing_is_not_read_for_ever(stage: Stage) -> None:
    socket = SocketClient(stage)
    socket.http.send(BROKEN["not masked"][0])
    for _ in range(100):
        if not socket.transport.closing:
            socket.http.send(b"x" * 65536)
    assert socket.transport.lost


@pytest.mark.parametrize("size", [1, 2, 3, 5, 50, 1000, 0])
def test_every_cut_of_the_bytes_reads_the_same(stage: Stage, size: int) -> None:
    ask, large = json.dumps(INIT).encode(), json.dumps(INIT | {"prompt": "x" * 200}).encode()
    frames = [
        Frame(Opcode.TEXT, ask),
        Frame(Opcode.PING, b""),
        Frame(Opcode.TEXT, large[:50], fin=False),
        Frame(Opcode.PONG, b"\x81\x80"),
        Frame(Opcode.CONT, large[50:]),
        Frame(Opcode.TEXT, ask),
    ]
    socket = SocketClient(stage)
    socket.http.send(b"".join(frame.serialize(mask=True) for frame in frames), size=size)
    for prompt in ("hello there", "x" * 200, "hello there"):
        assert stage.server.requests[-1].json()["messages"][0]["content"] == prompt
        upstream(stage).stream(LAST, DONE).end_stream()
    assert [message["type"] for message in socket.take()] == ["complete"] * 3
    socket.send(INIT)
    upstream(stage).stream(LAST, DONE).end_stream()
    assert [message["type"] for message in socket.take()] == ["complete"]
