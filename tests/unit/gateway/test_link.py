"""The link between control process and worker: messages arrive whole, secrets included, in any pieces."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from abyssal.config import default_config, parse_config
from abyssal.gateway.link import (
    Applied,
    Claim,
    Claimed,
    Drain,
    EnginePoint,
    EngineState,
    FromWorker,
    Gauges,
    LinkProtocol,
    Publish,
    Serving,
    Setup,
    ToWorker,
    frame,
)
from abyssal.stores.snapshot import Entry, ProjectRecord, RevokedToken, Snapshot, TokenKey

EVERYTHING = """
[server]
listen = "[::1]:0"
workers = 3
[limits]
concurrency = 5
[[upstreams]]
name = "a"
kind = "deepseek"
api_key = "sk-secret"
[[upstreams]]
name = "b"
kind = "openai"
base_url = "http://b.test/v1"
[[upstreams]]
name = "c"
kind = "engine"
[[models]]
name = "m"
targets = [{ upstream = "a", weight = 3 }, { upstream = "b", model = "x" }]
"""


def setup(config: Any) -> Setup:
    return Setup(config, {"c": EnginePoint("/e.sock", "tiny-1")}, "/c.sock", "/journal", "w", 3)


DOWN: list[Any] = [
    setup(parse_config(EVERYTHING, {})),
    setup(default_config({"DEEPSEEK_API_KEY": "sk-x"})),
    Publish(Snapshot(7, whole=True, last=False, entries=(Entry(b"\x00\xff" * 16, b"\x93"),))),
    Publish(
        Snapshot(
            8,
            projects=(ProjectRecord("proj_1", "org_1", 3, ("m",), (("10.0.0.0/8",),), True),),
            hash_key=bytes(range(32)),
            token_keys=(TokenKey("tk_1", b"-----BEGIN"),),
            revoked_tokens=(RevokedToken("jti", 5),),
        )
    ),
    Claimed(7, "fresh"),
    EngineState("c", True),
    Drain(0.5),
]
UP: list[Any] = [Serving(), Gauges(1, 2, 3, 4), Applied(8), Claim(7, b"sig_1\0\xff", 2**62)]


class End:
    """One end of a link."""

    def __init__(self, expected: Any) -> None:
        self.received: list[Any] = []
        self.lost = 0
        self.link = LinkProtocol(expected, self.received.append, self._lost)

    def _lost(self) -> None:
        self.lost += 1


@pytest.mark.parametrize("size", [1, 3, 4, 5, 64, 1_000_000])
@pytest.mark.parametrize(("messages", "expected"), [(DOWN, ToWorker), (UP, FromWorker)], ids=["down", "up"])
def test_messages_arrive_in_any_pieces(messages: list[Any], expected: Any, size: int) -> None:
    end = End(expected)
    data = b"".join(frame(message) for message in messages)
    for at in range(0, len(data), size):
        end.link.data_received(data[at : at + size])
    assert end.received == messages


def test_secrets_arrive_as_secrets() -> None:
    end = End(ToWorker)
    end.link.data_received(frame(DOWN[0]))
    key = end.received[0].config.upstreams[0].api_key
    assert key.reveal() == "sk-secret"
    assert "sk-secret" not in repr(end.received)


@pytest.mark.parametrize("kind", [Serving(), Gauges(1, 2, 3, 4)])
def test_a_message_of_the_other_direction_is_refused(kind: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        End(ToWorker).link.data_received(frame(kind))


def test_the_end_is_told_and_sending_after_it_is_harmless() -> None:
    end = End(ToWorker)
    end.link.send(Serving())
    end.link.connection_lost(None)
    end.link.send(Serving())
    end.link.close()
    assert end.lost == 1
