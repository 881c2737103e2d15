"""Which service the command line talks to, and as whom."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from abyssal.cli.connection import Connection, Node, client_url, resolve_connection
from abyssal.wire.errors import ConfigurationError

FIRST = "sk-first"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory of a platform that runs."""
    (tmp_path / "node.json").write_text(json.dumps({"pid": 7, "url": "http://127.0.0.1:8123", "workers": []}))
    (tmp_path / "first-key").write_text(f"{FIRST}\n")
    return tmp_path


def resolve(
    data: Path, *, base_url: str | None = None, api_key: str | None = None, **environ: str
) -> Connection:
    return resolve_connection(environ, base_url=base_url, api_key=api_key, data=str(data))


def test_without_anything_it_is_the_platform_of_the_data_directory(data: Path) -> None:
    found = resolve(data)
    assert (found.base_url, found.api_key.reveal(), found.local) == ("http://127.0.0.1:8123/v1", FIRST, True)


def test_without_a_node_file_it_is_the_default_address(data: Path) -> None:
    (data / "node.json").unlink()
    assert resolve(data).base_url == "http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    ("environ", "base_url", "expected"),
    [
        ({"DEEPSEEK_BASE_URL": "http://c"}, None, "http://c"),
        ({"DEEPSEEK_BASE_URL": "http://c", "ABYSSAL_BASE_URL": "http://b"}, None, "http://b"),
        ({"DEEPSEEK_BASE_URL": "http://c", "ABYSSAL_BASE_URL": "http://b"}, "http://a", "http://a"),
        ({"ABYSSAL_BASE_URL": "  ", "DEEPSEEK_BASE_URL": "http://c"}, None, "http://c"),
    ],
)
def test_the_address_is_the_most_particular_one(
    data: Path, environ: dict[str, str], base_url: str | None, expected: str
) -> None:
    found = resolve(data, base_url=base_url, api_key="k", **environ)
    assert (found.base_url, found.local) == (expected, False)


@pytest.mark.parametrize(
    ("environ", "api_key", "expected"),
    [
        ({}, None, FIRST),
        ({"DEEPSEEK_API_KEY": "d"}, None, FIRST),  # the official service's key is no key of the platform
        ({"DEEPSEEK_API_KEY": "d", "ABYSSAL_API_KEY": "a"}, None, "a"),
        ({"DEEPSEEK_API_KEY": "d", "ABYSSAL_API_KEY": "a"}, "o", "o"),
    ],
)
def test_the_local_platform_gets_a_key_of_its_own(
    data: Path, environ: dict[str, str], api_key: str | None, expected: str
) -> None:
    assert resolve(data, api_key=api_key, **environ).api_key.reveal() == expected


def test_without_a_first_key_the_deepseek_key_is_tried_as_the_sdk_does(data: Path) -> None:
    (data / "first-key").unlink()
    assert resolve(data, DEEPSEEK_API_KEY="d").api_key.reveal() == "d"


ELSEWHERE = [
    "https://api.deepseek.com",
    "http://example.com:8123/v1",
    "http://127.0.0.1:8000/v1",  # another port
    "https://127.0.0.1:8123/v1",  # another scheme
    "http://127.0.0.2:8123/v1",  # another address of this machine, maybe another person's
    "http://127.0.0.1.example.com:8123",
]


@pytest.mark.parametrize("url", ELSEWHERE)
def test_the_first_key_goes_nowhere_else(data: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match="for the platform on this machine alone"):
        resolve(data, base_url=url)
    with pytest.raises(ConfigurationError, match="ABYSSAL_API_KEY"):
        resolve(data, ABYSSAL_BASE_URL=url)
    assert resolve(data, base_url=url, DEEPSEEK_API_KEY="d").api_key.reveal() == "d"


def test_the_first_key_goes_to_no_chosen_address_when_no_platform_is_known(data: Path) -> None:
    (data / "node.json").unlink()
    with pytest.raises(ConfigurationError):
        resolve(data, base_url="http://127.0.0.1:8000/v1")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8123", "http://localhost:8123/v1", "http://[::1]:8123/"])
def test_naming_the_platform_s_own_address_keeps_its_key(data: Path, url: str) -> None:
    found = resolve(data, base_url=url)
    assert (found.base_url, found.api_key.reveal()) == (url, FIRST)


def test_without_a_key_the_error_says_what_to_do(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ConfigurationError, match="abyssal serve"):
        resolve(tmp_path / "nowhere")
    (data / "first-key").write_text("\n")
    with pytest.raises(ConfigurationError, match="abyssal keys create"):
        resolve(data)


def test_a_damaged_node_file_is_named(data: Path) -> None:
    (data / "node.json").write_text('{"pid": 7')
    with pytest.raises(ConfigurationError, match=r"node\.json: cannot be read .* --base-url"):
        resolve(data)
    assert resolve(data, base_url="http://a", api_key="k").base_url == "http://a"


@pytest.mark.parametrize("content", [b"[]", b'{"pid": 7}', b'{"url": "\xff"}'])
def test_a_node_file_without_a_url_is_named(data: Path, content: bytes) -> None:
    (data / "node.json").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"node\.json: cannot be read"):
        resolve(data)


@pytest.mark.parametrize(
    ("listens_on", "asked_at"),
    [
        ("http://0.0.0.0:8000", "http://127.0.0.1:8000/v1"),
        ("http://[::]:8000", "http://[::1]:8000/v1"),
        ("http://10.1.2.3:80", "http://10.1.2.3/v1"),
    ],
)
def test_a_platform_that_listens_on_every_address_is_asked_on_loopback(
    listens_on: str, asked_at: str
) -> None:
    assert client_url(Node(listens_on)) == asked_at


def test_the_key_does_not_show(data: Path) -> None:
    assert FIRST not in repr(resolve(data))
