"""Where to and as whom: precedence, and what is refused, with a message that helps."""

from __future__ import annotations

import pytest

from abyssal import ConfigurationError, DeepSeekClient, Timeout
from abyssal.client.credentials.choice import choose_credential
from abyssal.client.settings import goes_over_proxy, parse_base_url, resolve_base_url
from abyssal.client.timeout import as_timeout


def settings(environment: dict[str, str] | None = None, **arguments: str | None) -> tuple[str, str]:
    names = {"api_key": "sk-argument", "base_url": None, "api_base": None} | arguments
    key = names.pop("api_key")
    base = resolve_base_url(environment or {}, **names)
    return str(base), choose_credential(environment or {}, base, None, {"api_key": key}).secret.reveal()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "http://127.0.0.1:8000/v1"),
        ({"DEEPSEEK_BASE_URL": "https://api.deepseek.com"}, "https://api.deepseek.com"),
        ({"ABYSSAL_BASE_URL": "http://a", "DEEPSEEK_BASE_URL": "http://d"}, "http://a"),
        ({"ABYSSAL_BASE_URL": " ", "DEEPSEEK_BASE_URL": "http://d"}, "http://d"),
    ],
)
def test_base_url_from_the_environment(environment: dict[str, str], expected: str) -> None:
    assert settings(environment)[0] == expected


def test_arguments_come_first() -> None:
    environment = {"ABYSSAL_BASE_URL": "http://e", "ABYSSAL_API_KEY": "sk-e"}
    assert settings(environment, base_url="http://x") == ("http://x", "sk-argument")
    assert settings(environment, api_base="http://y")[0] == "http://y"
    assert settings(environment, base_url="http://z", api_base="http://z")[0] == "http://z"
    with pytest.raises(ConfigurationError, match="one of them"):
        settings(base_url="http://x", api_base="http://y")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"ABYSSAL_API_KEY": "sk-a", "DEEPSEEK_API_KEY": "sk-d"}, "sk-a"),
        ({"DEEPSEEK_API_KEY": "sk-d\n"}, "sk-d"),
        ({"ABYSSAL_API_KEY": "", "DEEPSEEK_API_KEY": "sk-d"}, "sk-d"),
    ],
)
def test_key_from_the_environment(environment: dict[str, str], expected: str) -> None:
    assert settings(environment, api_key=None)[1] == expected


def test_no_key_says_what_to_set() -> None:
    with pytest.raises(ConfigurationError, match=r"api_key=.*ABYSSAL_API_KEY.*DEEPSEEK_API_KEY"):
        settings(api_key=None)


@pytest.mark.parametrize("key", ["sk two", "sk\r\nx-evil: 1", "sk-ключ", "sk\x7f"])
def test_an_impossible_key_is_refused_unseen(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(api_key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1"),
        ("https://api.deepseek.com/beta", "https://api.deepseek.com/beta"),
        ("HTTPS://API.DeepSeek.com:443", "https://api.deepseek.com"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        (" http://host:80 ", "http://host"),
        ("http://bücher.example", "http://xn--bcher-kva.example"),
    ],
)
def test_base_url_forms(url: str, expected: str) -> None:
    assert str(parse_base_url(url)) == expected


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("api.deepseek.com", "http://HOST or https://HOST"),
        ("ftp://host", "http://HOST or https://HOST"),
        ("http://", "http://HOST or https://HOST"),
        ("http:///v1", "http://HOST or https://HOST"),
        ("http://host:port", "not a URL"),
        ("http://host:99999", "not a URL"),
        ("http://host/v1?api-version=1", r"what follows the \? or #"),
        ("http://host/v 1", "a URL cannot have"),
        ("http://host/v1\r\nx", "a URL cannot have"),
        ("http://host/ключ", "a URL cannot have"),
    ],
)
def test_unusable_base_urls(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        parse_base_url(url)


@pytest.mark.parametrize("url", ["http://me:secret@host/v1", "http://me:secret@host:x/v1"])
def test_credentials_in_a_base_url_are_refused_unseen(url: str) -> None:
    with pytest.raises(ConfigurationError, match="credentials") as caught:
        parse_base_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        ("http://127.0.0.1:8000", {"http_proxy": "http://p", "ALL_PROXY": "http://p"}, False),
        ("http://localhost", {"HTTP_PROXY": "http://p"}, False),
        ("https://[::1]", {"HTTPS_PROXY": "http://p"}, False),
        ("http://10.0.0.1", {"HTTP_PROXY": "http://p"}, True),
        ("http://10.0.0.1", {"https_proxy": "http://p"}, False),
        ("https://10.0.0.1", {"https_proxy": "http://p"}, True),
        ("https://10.0.0.1", {"http_proxy": "http://p"}, False),
        ("https://10.0.0.1", {"all_proxy": "http://p"}, True),
        ("http://10.0.0.1", {}, False),
    ],
)
def test_when_a_proxy_is_used(url: str, environment: dict[str, str], expected: bool) -> None:
    assert goes_over_proxy(parse_base_url(url), environment) is expected


@pytest.mark.parametrize(
    "arguments", [{"read": 0}, {"total": -1}, {"connect": "5"}, {"read": True}, {"read": 1e99}]
)
def test_impossible_timeouts(arguments: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(arguments))):
        Timeout(**arguments)


def test_a_number_is_a_limit_on_all() -> None:
    assert as_timeout(2, Timeout()) == Timeout(connect=2, read=2, total=2)
    assert as_timeout(60.0, Timeout()) == Timeout(connect=5, read=60, total=60)
    assert as_timeout(None, Timeout(read=1)) == Timeout(read=1)


def test_defaults_are_those_that_are_promised() -> None:
    assert Timeout() == Timeout(connect=5, read=30, total=None)


@pytest.mark.parametrize("option", [{"pool_size": 0}, {"max_retries": -1}])
def test_impossible_options(option: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(option))):
        DeepSeekClient("sk-x", **option)
