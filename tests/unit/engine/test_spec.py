"""What an engine is told: bad values are refused with a sentence, good ones survive the wire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from abyssal.engine.bundled import bundled_path
from abyssal.engine.spec import LONGEST_SOCKET_PATH, EngineSpec
from abyssal.wire.errors import ConfigurationError


def spec(**changes: Any) -> EngineSpec:
    return EngineSpec(**{"name": "m", "model": "m.gguf", "socket": "/run/m.sock", **changes})


def test_it_survives_the_wire_to_the_child() -> None:
    whole = spec(context=512, slots=2, queue=9, threads=3)
    assert msgspec.json.decode(msgspec.json.encode(whole), type=EngineSpec) == whole


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "name is empty"),
        ({"model": ""}, "no model"),
        ({"context": 63}, "context is 63"),
        ({"slots": 0}, "slots is 0"),
        ({"slots": 257}, "slots is 257"),
        ({"queue": -1}, "queue is -1"),
        ({"threads": -1}, "threads is -1"),
        ({"embedding_tokens": -1}, "embedding_tokens is -1"),
        ({"socket": ""}, "either socket or listen"),
        ({"listen": "127.0.0.1:1"}, "either socket or listen"),
        ({"socket": "/run/m.socket"}, r"must end in \.sock"),
        ({"socket": "/" + "x" * LONGEST_SOCKET_PATH + ".sock"}, "109 bytes long"),
        ({"socket": "", "listen": "8081"}, "HOST:PORT"),
        ({"socket": "", "listen": ":8081"}, "HOST:PORT"),
        ({"socket": "", "listen": "localhost:http"}, "HOST:PORT"),
        ({"socket": "", "listen": "localhost:65536"}, "HOST:PORT"),
        ({"socket": "", "listen": "localhost:²"}, "HOST:PORT"),
    ],
)
def test_bad_values_are_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        spec(**changes)


def test_the_longest_socket_path_is_taken() -> None:
    path = "/" + "x" * (LONGEST_SOCKET_PATH - 6) + ".sock"
    assert len(spec(socket=path, embedding_tokens=0).socket) == LONGEST_SOCKET_PATH
    with pytest.raises(ConfigurationError, match="104 bytes long"):
        spec(socket=path)


def test_vectors_have_a_socket_of_their_own() -> None:
    assert spec().sockets == ("/run/m.sock", "/run/mv.sock")
    assert spec(embedding_tokens=0).sockets == ("/run/m.sock",)
    assert spec(socket="", listen="localhost:1").sockets == ()


@pytest.mark.parametrize(
    ("listen", "parts"),
    [
        ("127.0.0.1:8081", ("127.0.0.1", 8081)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_an_address_is_taken_apart(listen: str, parts: tuple[str, int]) -> None:
    assert spec(socket="", listen=listen).host_and_port() == parts


def test_a_model_is_the_bundled_one_or_a_file() -> None:
    assert spec(model="abyssal-tiny").model_file() == bundled_path()
    assert spec(model="some/m.gguf").model_file() == Path("some/m.gguf")
    assert spec(model="~/m.gguf").model_file() == Path.home() / "m.gguf"
