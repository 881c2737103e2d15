"""Which way to prove who one is the constructor's arguments mean, and what is said of wrong ones."""

from __future__ import annotations

from typing import get_args

import pytest

from abyssal import AsyncDeepSeekClient, ConfigurationError, DeepSeekClient
from abyssal.client.credentials.api_key import ApiKey
from abyssal.client.credentials.choice import NEEDS, Auth, choose_credential
from abyssal.client.credentials.client_credentials import ClientCredentials
from abyssal.client.credentials.json_web_token import JsonWebToken
from abyssal.client.credentials.request_signature import RequestSignature
from abyssal.client.settings import parse_base_url

BASE = parse_base_url("http://127.0.0.1:1/v1")
KEY = {"api_key": "sk-value"}
CLIENT = {"client_id": "client_value", "client_secret": "cs_value"}
SIGNING = {"key_id": "sig_value", "secret": "ss_value"}
VALUES = {*KEY.values(), *CLIENT.values(), *SIGNING.values()}


def test_every_way_has_its_name() -> None:
    assert set(NEEDS) == {*get_args(Auth)}


@pytest.mark.parametrize(
    ("auth", "arguments", "kind"),
    [
        (None, KEY, ApiKey),
        ("api_key", KEY, ApiKey),
        (None, CLIENT, ClientCredentials),
        ("oauth", CLIENT, ClientCredentials),
        ("jwt", CLIENT, JsonWebToken),
        (None, SIGNING, RequestSignature),
        ("hmac", SIGNING, RequestSignature),
        (None, CLIENT | {"api_key": "", "key_id": None, "secret": " "}, ClientCredentials),
    ],
)
def test_what_arguments_mean(auth: str | None, arguments: dict[str, str | None], kind: type) -> None:
    assert type(choose_credential({}, BASE, auth, arguments)) is kind


def test_arguments_come_before_the_environment() -> None:
    environment = {"ABYSSAL_API_KEY": "sk-environment"}
    assert type(choose_credential(environment, BASE, None, SIGNING)) is RequestSignature
    assert choose_credential(environment, BASE, None, {}).secret.reveal() == "sk-environment"
    assert choose_credential(environment, BASE, "api_key", {}).secret.reveal() == "sk-environment"


@pytest.mark.parametrize(
    ("auth", "arguments", "said"),
    [
        (None, KEY | CLIENT, "leave out api_key, or leave out client_id and client_secret"),
        (None, KEY | SIGNING, "leave out api_key, or leave out key_id and secret"),
        (None, KEY | CLIENT | SIGNING, "leave out api_key, or leave out client_id and client_secret, or"),
        (None, {"client_id": "client_value", "secret": "ss_value"}, "key_id with secret"),
        ("jwt", KEY, "auth='jwt' goes with client_id and client_secret; leave out api_key"),
        ("jwt", CLIENT | {"key_id": "sig_value"}, "leave out key_id"),
        ("hmac", CLIENT, "auth='hmac' goes with key_id and secret; leave out client_id and client_secret"),
        ("api_key", KEY | SIGNING, "leave out key_id and secret"),
        (None, {"client_id": "client_value"}, "client_secret is missing"),
        (None, {"secret": "ss_value"}, "key_id is missing"),
        (None, {"client_secret": "cs_value"}, "client_id is missing"),
        (None, CLIENT | {"client_secret": " "}, "client_secret is missing"),
        ("oauth", {}, "client_id and client_secret are missing"),
        ("hmca", SIGNING, "did you mean 'hmac'?"),
        ("sk-value", {}, "it is one of 'api_key', 'oauth', 'jwt', 'hmac'"),
        (None, {}, "No API key"),
    ],
)
def test_wrong_combinations_say_what_to_do(
    auth: str | None, arguments: dict[str, str | None], said: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        choose_credential({}, BASE, auth, arguments)
    assert said in str(caught.value)
    assert not any(value in str(caught.value) for value in VALUES)


@pytest.mark.parametrize("name", ["api_key", "client_id", "client_secret", "key_id", "secret"])
@pytest.mark.parametrize("bad", ["a b", "a\r\nx-evil: 1", "ключ", "a\x7f"])
def test_impossible_values_are_refused_unseen(name: str, bad: str) -> None:
    whole = next(group for group in (KEY, CLIENT, SIGNING) if name in group)
    with pytest.raises(ConfigurationError, match=name) as caught:
        choose_credential({}, BASE, None, whole | {name: bad})
    assert bad not in str(caught.value)


@pytest.mark.parametrize("kind", [DeepSeekClient, AsyncDeepSeekClient])
def test_the_clients_take_them_all(kind: type) -> None:
    for arguments in (KEY, CLIENT, CLIENT | {"auth": "jwt"}, SIGNING, SIGNING | {"auth": "hmac"}):
        client = kind(**arguments, api_base="http://127.0.0.1:1/v1")
        assert client.base_url == "http://127.0.0.1:1/v1"
        assert not any(value in repr(client) for value in VALUES)
    with pytest.raises(ConfigurationError, match="leave out"):
        kind("sk-value", client_id="client_value", client_secret="cs_value")
