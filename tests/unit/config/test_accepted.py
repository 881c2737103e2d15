"""What an operator may write, what runs without a word, and secrets that stay secret."""

from __future__ import annotations

import pickle
from pathlib import Path

import msgspec
import pytest

from abyssal.config import (
    CHAT_NAMES,
    EMBEDDING_NAME,
    Config,
    DeepSeekUpstream,
    EngineUpstream,
    MasterKeySource,
    OpenAIUpstream,
    Secret,
    data_directory,
    default_config,
    load_config,
    parse_config,
    parse_listen,
)
from abyssal.wire.errors import ConfigurationError

FULL = """
[server]
listen = "[::1]:9000"
data = "/var/lib/abyssal"
workers = 4
grace = 0
header_timeout = 5
body_timeout = 6.5
idle_timeout = 7
stalled_reader_timeout = 8
keep_alive_comment = 9
max_body = 1000
tls_cert = "/etc/abyssal/cert.pem"
tls_key = "/etc/abyssal/key.pem"
tls_min = "1.2"
tls_client_ca = "/etc/abyssal/clients.pem"
allow_plaintext = true
trusted_proxies = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]

[stores]
database_url = { env = "DATABASE" }
redis_url = "redis://:literal@redis.test/0"

[identity]
issuer = "https://api.test"
token_lifetime = 60
token_key_days = 7
master_key = { command = ["vault", "read"] }
failures_per_address = 5
failures_per_key = 4
nonces = 100
rotate_after = 90

[limits]
concurrency = 10
concurrency_per_key = 3

[[upstreams]]
name = "cloud"
kind = "deepseek"
api_key = { env = "KEY" }
zone = "a"
connect_timeout = 1
first_byte_timeout = 2
idle_timeout = 3

[[upstreams]]
name = "cluster"
kind = "openai"
base_url = "https://vllm.test:8443/v1"
api_key = "literal"

[[upstreams]]
name = "own"
kind = "engine"
model = "/models/x.gguf"
context = 8192
slots = 2
queue = 0
threads = 3

[[models]]
name = "deepseek-chat"
targets = [{ upstream = "cloud", model = "deepseek-flash", weight = 2 }, { upstream = "own" }]

[[models]]
name = "模型/v1"
owned_by = "us"
targets = [{ upstream = "cluster" }]
"""

DATABASE = "postgresql://abyssal:from-the-environment@db.test/abyssal"
ENVIRON = {"KEY": "sk-from-the-environment", "DATABASE": DATABASE}


def test_everything_that_can_be_set() -> None:
    config = parse_config(FULL, {**ENVIRON, "KEY": " sk-from-the-environment \n"})
    server = config.server
    assert (server.tls_cert, server.tls_key) == ("/etc/abyssal/cert.pem", "/etc/abyssal/key.pem")
    assert (server.tls_min, server.tls_client_ca) == ("1.2", "/etc/abyssal/clients.pem")
    assert server.allow_plaintext is True
    assert server.trusted_proxies == ("10.0.0.0/8", "2001:db8::/32", "192.0.2.1")
    assert config.stores.database_url == Secret(DATABASE)
    assert config.stores.redis_url == Secret("redis://:literal@redis.test/0")
    identity = config.identity
    assert (identity.issuer, identity.token_lifetime, identity.token_key_days) == ("https://api.test", 60, 7)
    assert identity.master_key == MasterKeySource(command=("vault", "read"))
    assert (identity.failures_per_address, identity.failures_per_key) == (5, 4)
    assert (identity.nonces, identity.rotate_after) == (100, 90)
    assert (server.listen, server.data, server.workers, server.grace) == (
        "[::1]:9000",
        "/var/lib/abyssal",
        4,
        0,
    )
    assert (server.header_timeout, server.body_timeout, server.idle_timeout) == (5, 6.5, 7)
    assert (server.stalled_reader_timeout, server.keep_alive_comment, server.max_body) == (8, 9, 1000)
    assert (config.limits.concurrency, config.limits.concurrency_per_key) == (10, 3)
    cloud, cluster, own = config.upstreams
    assert isinstance(cloud, DeepSeekUpstream)
    assert cloud.api_key == Secret("sk-from-the-environment")
    assert cloud.base_url == "https://api.deepseek.com"
    assert isinstance(cluster, OpenAIUpstream)
    assert cluster.api_key is not None
    assert cluster.api_key.reveal() == "literal"
    assert isinstance(own, EngineUpstream)
    assert (own.model, own.context, own.slots, own.queue, own.threads) == ("/models/x.gguf", 8192, 2, 0, 3)
    assert [target.upstream for target in config.models[0].targets] == ["cloud", "own"]
    assert (config.models[1].name, config.models[1].owned_by) == ("模型/v1", "us")
    assert config.upstream("own") is own
    with pytest.raises(KeyError):
        config.upstream("nobody")


def test_defaults_are_the_specification_s() -> None:
    config = parse_config("", {})
    assert config == parse_config("[server]\n[limits]\n", {})
    server = config.server
    assert server.listen == "127.0.0.1:8000"
    assert (server.grace, server.header_timeout, server.body_timeout, server.idle_timeout) == (30, 10, 30, 75)
    assert (server.stalled_reader_timeout, server.keep_alive_comment) == (60, 15)
    assert server.max_body == 48 * 1024 * 1024
    assert (server.tls_cert, server.tls_key, server.tls_min, server.tls_client_ca) == ("", "", "1.3", "")
    assert (server.allow_plaintext, server.trusted_proxies) == (False, ())
    assert (config.stores.database_url, config.stores.redis_url) == (None, None)
    assert config.identity.master_key == MasterKeySource()
    assert config.identity.token_lifetime == 3600


def test_infinite_patience_can_be_written() -> None:
    assert parse_config("[server]\nidle_timeout = inf", {}).server.idle_timeout == float("inf")


# Without a file


def test_without_a_key_the_engine_answers_every_name() -> None:
    config = default_config({})
    assert [type(upstream) for upstream in config.upstreams] == [EngineUpstream]
    names = [model.name for model in config.models]
    assert names == ["abyssal-tiny", *CHAT_NAMES, EMBEDDING_NAME]
    assert {target.upstream for model in config.models for target in model.targets} == {"engine"}
    assert {"deepseek-chat", "deepseek-reasoner", "deepseek-v3", "deepseek-chat-7b"} <= set(names)


def test_with_a_key_the_official_service_answers_and_retired_names_live_on() -> None:
    config = default_config({"DEEPSEEK_API_KEY": " sk-cloud\n"})
    cloud = config.upstream("deepseek")
    assert isinstance(cloud, DeepSeekUpstream)
    assert cloud.api_key == Secret("sk-cloud")
    targets = {model.name: (model.targets[0].upstream, model.targets[0].model) for model in config.models}
    assert targets["deepseek-chat"] == ("deepseek", "deepseek-flash")
    assert targets["deepseek-v4-pro"] == ("deepseek", "deepseek-v4-pro")
    assert targets["abyssal-tiny"] == ("engine", "abyssal-tiny")
    assert targets[EMBEDDING_NAME] == ("engine", "abyssal-tiny")
    assert set(CHAT_NAMES) < set(targets)


def test_a_blank_key_is_no_key() -> None:
    assert default_config({"DEEPSEEK_API_KEY": "  "}) == default_config({})


def test_the_official_service_s_address_may_be_another() -> None:
    environ = {"DEEPSEEK_API_KEY": "sk", "DEEPSEEK_BASE_URL": "http://mirror.test/x"}
    assert default_config(environ).upstreams[0].base_url == "http://mirror.test/x"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "environ",
    [
        {"DEEPSEEK_API_KEY": "sk", "DEEPSEEK_BASE_URL": "mirror.test"},
        {"DEEPSEEK_API_KEY": "sk", "DEEPSEEK_BASE_URL": "http://mirror.test:x"},
        {"DEEPSEEK_API_KEY": "sk\nX: y"},
    ],
)
def test_what_the_environment_says_is_checked_too(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="DEEPSEEK_"):
        default_config(environ)


def test_another_model_for_the_engine() -> None:
    config = default_config({}, model="/models/my-model.Q4.gguf")
    assert config.upstreams[0].model == "/models/my-model.Q4.gguf"  # type: ignore[union-attr]
    assert config.models[0].name == "my-model.Q4"
    assert {target.model for model in config.models for target in model.targets} == {"my-model.Q4"}


def test_a_file_that_names_no_upstream_gets_the_standard_ones() -> None:
    config = parse_config("[server]\nworkers = 2", {"DEEPSEEK_API_KEY": "sk"})
    assert config.server.workers == 2
    assert (config.upstreams, config.models) == (
        default_config({"DEEPSEEK_API_KEY": "sk"}).upstreams,
        default_config({"DEEPSEEK_API_KEY": "sk"}).models,
    )


# Secrets


def test_secrets_are_shown_by_nothing() -> None:
    config = parse_config(FULL, ENVIRON)
    for shown in (
        repr(config),
        str(config),
        f"{config}",
        repr(config.upstreams),
        repr(config.stores),
        repr(msgspec.structs.asdict(config)),
    ):
        assert "from-the-environment" not in shown
        assert "literal" not in shown
        assert "Secret(****)" in shown
    secret = Secret("sk-x")
    assert (repr(secret), str(secret), f"{secret}") == ("Secret(****)",) * 3
    with pytest.raises(TypeError):
        msgspec.json.encode(config)


def test_secrets_are_compared_by_value() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert pickle.loads(pickle.dumps(Secret("a"))).reveal() == "a"


def test_a_secret_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("  sk-from-a-file\n")
    text = FULL.replace('{ env = "KEY" }', f'{{ file = "{tmp_path / "key"}" }}')
    assert parse_config(text, ENVIRON).upstreams[0].api_key == Secret("sk-from-a-file")  # type: ignore[union-attr]


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "abyssal.toml"
    path.write_text(FULL, encoding="utf-8")
    assert load_config(path, ENVIRON) == parse_config(FULL, ENVIRON)


# Addresses and directories


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8000", "127.0.0.1", 8000),
        ("[::1]:8000", "::1", 8000),
        ("localhost:0", "localhost", 0),
        ("0.0.0.0:65535", "0.0.0.0", 65535),
    ],
)
def test_addresses_to_listen_on(text: str, host: str, port: int) -> None:
    assert parse_listen(text) == (host, port)


def test_where_state_lives() -> None:
    here, file = Path("given").absolute(), parse_config('[server]\ndata = "/file"', {})
    environ = {"ABYSSAL_DATA": "/environment"}
    assert data_directory(file, "given", environ) == here
    assert data_directory(file, None, environ) == Path("/file")
    assert data_directory(Config(), None, environ) == Path("/environment")
    assert data_directory(Config(), None, {}) == Path.home() / ".abyssal"
    assert data_directory(Config(), "~/x", {}) == Path.home() / "x"


def test_a_command_on_the_data_needs_no_upstream_s_secret(tmp_path: Path) -> None:
    file = tmp_path / "abyssal.toml"
    upstream = '[[upstreams]]\nname = "a"\nkind = "deepseek"\napi_key = { env = "NOT_SET_HERE" }\n'
    file.write_text(f'[stores]\ndatabase_url = "postgresql://h/d"\n{upstream}')
    with pytest.raises(ConfigurationError, match="NOT_SET_HERE"):
        load_config(file, {})
    config = load_config(file, {}, state_only=True)
    assert config.stores.database_url == Secret("postgresql://h/d")
    assert (config.upstreams, config.models) == ((), ())
