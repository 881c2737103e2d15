"""Wrong configurations: one sentence with the key's path, what is wrong, and the nearest known name."""

from __future__ import annotations

from pathlib import Path

import pytest

from abyssal.config import load_config, parse_config, parse_listen
from abyssal.wire.errors import ConfigurationError

UP = '[[upstreams]]\nname = "up"\nkind = "openai"\nbase_url = "http://up.test"\n'
MODEL = '[[models]]\nname = "m"\ntargets = [{ upstream = "up" }]\n'

# (text, the path that is named, something else that the sentence must say)
CASES: list[tuple[str, str, str]] = [
    # unknown keys
    ("[serverr]", "serverr:", 'did you mean "server"'),
    ("[server]\nlisten_on = 1", "server.listen_on:", 'did you mean "listen"'),
    ("[server]\nzzz = 1", "server.zzz:", "known here: listen, data"),
    ("[limits]\nconcurency = 1", "limits.concurency:", 'did you mean "concurrency"'),
    (UP + 'api-key = "x"', "upstreams[0].api-key:", 'did you mean "api_key"'),
    (UP + UP + "connect_timout = 1", "upstreams[1].connect_timout:", "connect_timeout"),
    (UP + '[[models]]\nname = "m"\ntarget = []', "models[0].target:", 'did you mean "targets"'),
    (
        UP + '[[models]]\nname = "m"\ntargets = [{ upstreem = "up" }]',
        "models[0].targets[0].upstreem:",
        '"upstream"',
    ),
    ("base_url = 1", "base_url:", "known here: server, limits"),
    (
        UP + "repairs = { error_lable = false }",
        "upstreams[0].repairs.error_lable:",
        'did you mean "error_label"',
    ),
    (UP + "repairs = { zzz = false }", "upstreams[0].repairs.zzz:", "known here: reasoning_content"),
    (UP + "repairs = { error_label = 'no' }", "upstreams[0].repairs.error_label:", "expected `bool | null`"),
    (UP + "repairs = true", "upstreams[0].repairs:", "object"),
    (UP + 'ignores = ["sed"]', "upstreams[0].ignores.sed:", 'did you mean "seed"'),
    (UP + 'ignores = "seed"', "upstreams[0].ignores:", "array"),
    # addresses
    *[
        (f'[identity]\nissuer = "{issuer}"', "identity.issuer:", "https://api.example.com")
        for issuer in (
            "abyssal",
            "ftp://api.test",
            "https://",
            "https://api.test/?a=b",
            "https://api.test/#x",
            "https://a b",
        )
    ],
    *[
        (f'[stores]\nredis_url = "{url}"', "stores.redis_url:", "redis://host:6379/0")
        for url in (
            "http://cache.test",
            "cache.test:6379",
            "redis://",
            "redis://cache.test:99999",
            "redis://cache.test/one",
            "unix://",
            "redis://[::1",
        )
    ],
    # wrong types
    ("server = 5", "server:", "object"),
    ("[[server]]", "server:", "object"),
    ("[server]\nworkers = '2'", "server.workers:", "expected `int`, got `str`"),
    ("[server]\nworkers = 2.0", "server.workers:", "expected `int`"),
    ("[server]\nworkers = true", "server.workers:", "expected `int`"),
    ("[server]\nlisten = 8000", "server.listen:", "expected `str`, got `int`"),
    ("[server]\ngrace = 'long'", "server.grace:", "expected `float`"),
    ("upstreams = 'x'", "upstreams:", "[[upstreams]]"),
    ("upstreams = {}", "upstreams:", "[[upstreams]]"),
    ("models = 1", "models:", "[[models]]"),
    ("models = [1]", "models[0]:", "object"),
    ("upstreams = [1]", "upstreams[0].kind:", "is missing"),
    (UP + "connect_timeout = '1 s'", "upstreams[0].connect_timeout:", "expected `float`"),
    (UP + "api_key = 5", "upstreams[0].api_key:", 'env = "NAME"'),
    (UP + "api_key = { env = 5 }", "upstreams[0].api_key:", 'env = "NAME"'),
    (UP + 'api_key = { environment = "X" }', "upstreams[0].api_key:", 'env = "NAME"'),
    (UP + 'api_key = { env = "X", file = "y" }', "upstreams[0].api_key:", 'env = "NAME"'),
    (UP + "api_key = []", "upstreams[0].api_key:", 'env = "NAME"'),
    (UP + '[[models]]\nname = "m"\ntargets = {}', "models[0].targets:", "array"),
    (UP + '[[models]]\nname = "m"\ntargets = ["up"]', "models[0].targets[0]:", "object"),
    # values out of range
    ("[server]\nworkers = 0", "server.workers:", ">= 1"),
    ("[server]\ngrace = -1", "server.grace:", ">= 0"),
    ("[server]\nheader_timeout = 0", "server.header_timeout:", "> 0"),
    ("[server]\nidle_timeout = nan", "server.idle_timeout:", "> 0"),
    ("[server]\nbody_timeout = -inf", "server.body_timeout:", "> 0"),
    ("[server]\nmax_body = 0", "server.max_body:", ">= 1"),
    ("[limits]\nconcurrency = 0", "limits.concurrency:", ">= 1"),
    (UP + "idle_timeout = nan", "upstreams[0].idle_timeout:", "> 0"),
    (UP + MODEL.replace('"up" }', '"up", weight = 0 }'), "models[0].targets[0].weight:", ">= 1"),
    (UP + '[[models]]\nname = "m"\ntargets = []', "models[0].targets:", "length >= 1"),
    (UP + '[[models]]\nname = ""\ntargets = [{ upstream = "up" }]', "models[0].name:", "length >= 1"),
    (UP + '[[models]]\nname = "a b"\ntargets = [{ upstream = "up" }]', "models[0].name:", "matching"),
    ('[[upstreams]]\nkind = "engine"\nname = "e"\nslots = 0', "upstreams[0].slots:", ">= 1"),
    ('[[upstreams]]\nkind = "engine"\nname = "e"\nqueue = -1', "upstreams[0].queue:", ">= 0"),
    # what is missing
    (UP + '[[models]]\nname = "m"', "models[0].targets:", "is missing"),
    (UP + '[[models]]\ntargets = [{ upstream = "up" }]', "models[0].name:", "is missing"),
    (
        UP + '[[models]]\nname = "m"\ntargets = [{ model = "x" }]',
        "models[0].targets[0].upstream:",
        "is missing",
    ),
    ('[[upstreams]]\nkind = "openai"\nbase_url = "http://x"', "upstreams[0].name:", "is missing"),
    ('[[upstreams]]\nkind = "openai"\nname = "x"', "upstreams[0].base_url:", "is missing"),
    ('[[upstreams]]\nname = "x"', "upstreams[0].kind:", "one of engine, deepseek, openai"),
    # kinds and addresses
    ('[[upstreams]]\nname = "x"\nkind = "open-ai"', "upstreams[0].kind:", 'did you mean "openai"'),
    ('[[upstreams]]\nname = "x"\nkind = ["openai"]', "upstreams[0].kind:", "one of engine"),
    (UP.replace("http://up.test", "up.test:8000"), "upstreams[0].base_url:", "http:// or https://"),
    (UP.replace("http://up.test", "ftp://up.test"), "upstreams[0].base_url:", "ftp://up.test"),
    (UP.replace("http://up.test", "http://"), "upstreams[0].base_url:", "http://"),
    (UP.replace("http://up.test", "http://:8000"), "upstreams[0].base_url:", "host"),
    (UP.replace("http://up.test", "http://up.test:99999"), "upstreams[0].base_url:", "port"),
    (UP.replace("http://up.test", "http://up.test:abc"), "upstreams[0].base_url:", "port"),
    (UP.replace("http://up.test", "http://[::1"), "upstreams[0].base_url:", "http://[::1"),
    (UP.replace("http://up.test", "http://up.test/a b"), "upstreams[0].base_url:", "ASCII"),
    (UP.replace("http://up.test", "http://模型.test"), "upstreams[0].base_url:", "ASCII"),
    (UP.replace("http://up.test", "http://me:word@up.test"), "upstreams[0].base_url:", "api_key"),
    (UP.replace("http://up.test", "http://up.test/v1?x=1"), "upstreams[0].base_url:", "?x=1"),
    (UP + 'ca_file = "/nowhere/ca.pem"', "upstreams[0].ca_file:", "/nowhere/ca.pem"),
    # secrets
    (UP + 'api_key = { env = "NOT_SET" }', "upstreams[0].api_key:", "NOT_SET is not set"),
    (UP + 'api_key = { env = "EMPTY" }', "upstreams[0].api_key:", "EMPTY"),
    (UP + 'api_key = { env = "BLANK" }', "upstreams[0].api_key:", "BLANK"),
    (UP + 'api_key = { file = "/nowhere/key" }', "upstreams[0].api_key:", "/nowhere/key cannot be read"),
    (UP + 'api_key = { env = "SPLIT" }', "upstreams[0].api_key:", "SPLIT"),
    (UP + 'api_key = "clé-中"', "upstreams[0].api_key:", "ASCII"),
    # references
    (UP + MODEL.replace('"up"', '"upp"'), "models[0].targets[0].upstream:", 'did you mean "up"'),
    (
        UP + MODEL + MODEL.replace('"m"', '"n"').replace('"up"', '"zzz"'),
        "models[1].targets[0].upstream:",
        '"zzz"',
    ),
    (MODEL, "models[0].targets[0].upstream:", '"up"'),
    (UP + UP + MODEL, "upstreams[1].name:", "there twice"),
    (UP + MODEL + MODEL, "models[1].name:", "there twice"),
    # addresses to listen on
    ("[server]\nlisten = '8000'", "server.listen:", "HOST:PORT"),
    ("[server]\nlisten = 'localhost'", "server.listen:", "HOST:PORT"),
    ("[server]\nlisten = ':8000'", "server.listen:", "HOST:PORT"),
    ("[server]\nlisten = 'a:65536'", "server.listen:", "HOST:PORT"),
    # networks
    ("[server]\ntrusted_proxies = '10.0.0.0/8'", "server.trusted_proxies:", "array"),
    ("[server]\ntrusted_proxies = [1]", "server.trusted_proxies[0]:", "expected `str`"),
    ("[server]\ntrusted_proxies = ['::1', 'proxy.test']", "server.trusted_proxies[1]:", "'proxy.test'"),
    ("[server]\ntrusted_proxies = ['10.0.0.1/8']", "server.trusted_proxies[0]:", '"10.0.0.0/8"'),
    # TLS, stores, identity
    ("[server]\ntls_min = '1.1'", "server.tls_min:", "one of '1.2', '1.3'"),
    ("[server]\ntls_min = 1.3", "server.tls_min:", "expected `str`"),
    ("[server]\ntls_crt = 'x'", "server.tls_crt:", 'did you mean "tls_cert"'),
    ("[server]\nallow_plaintext = 'yes'", "server.allow_plaintext:", "expected `bool`"),
    ("[stores]\ndatabase = 'x'", "stores.database:", 'did you mean "database_url"'),
    ("[stores]\ndatabase_url = { env = 'NOT_SET' }", "stores.database_url:", "NOT_SET is not set"),
    ("[stores]\ndatabase_url = ''", "stores.database_url:", "leave the setting out"),
    ("[identity]\ntoken_lifetime = 59", "identity.token_lifetime:", ">= 60"),
    ("[identity]\ntoken_lifetime = 86401", "identity.token_lifetime:", "<= 86400"),
    ("[identity]\nnonces = 0", "identity.nonces:", ">= 1"),
    ("[identity.master_key]\nfil = 'x'", "identity.master_key.fil:", 'did you mean "file"'),
    ("[identity.master_key]\ncommand = 'x'", "identity.master_key.command:", "array"),
    # not TOML
    ("[server", "not TOML:", "table declaration"),
    ("[server]\nlisten = 'a:1'\nlisten = 'b:2'", "not TOML:", "overwrite"),
]
ENVIRON = {"EMPTY": "", "BLANK": " \n", "SPLIT": "sk-a\nX-Injected: yes"}


@pytest.mark.parametrize(
    ("text", "path", "says"), CASES, ids=[f"{at}-{case[1]}" for at, case in enumerate(CASES)]
)
def test_one_sentence_names_the_key(text: str, path: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        parse_config(text, ENVIRON)
    message = refusal.value.message
    assert message.startswith(path), message
    assert says in message, message
    assert "\n" not in message
    assert "Traceback" not in message


@pytest.mark.parametrize("secret", ["sk-a\nX-Injected: yes", "clé-secrète"])
def test_a_refused_secret_is_not_shown(secret: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        parse_config(UP + 'api_key = { env = "KEY" }', {"KEY": secret})
    assert secret not in refusal.value.message
    assert "Injected" not in refusal.value.message


def test_a_password_in_an_address_is_not_shown() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        parse_config(UP.replace("http://up.test", "http://me:hunter2@up.test"), {})
    assert "hunter2" not in refusal.value.message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.toml", tmp_path):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load_config(path, {})


def test_every_sentence_about_a_file_begins_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "abyssal.toml"
    for content, says in ((b"[server]\nzzz = 1", "server.zzz"), (b"\xff\xfe", "UTF-8"), (b"[", "not TOML")):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError) as refusal:
            load_config(path, {})
        assert refusal.value.message.startswith(f"{path}: ")
        assert says in refusal.value.message


def test_a_key_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"upstreams\[0\]\.api_key: .*key"):
        parse_config(UP + f'api_key = {{ file = "{tmp_path / "key"}" }}', {})


def test_a_certificate_file_that_holds_none(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"upstreams\[0\]\.ca_file: .*ca\.pem"):
        parse_config(UP + f'ca_file = "{tmp_path / "ca.pem"}"', {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "8000",
        "localhost",
        "localhost:",
        ":8000",
        "[]:8000",
        "a:-1",
        "a:65536",
        "a:٣",
        "a:1x",
        "a:" + "9" * 5000,
    ],
)
def test_addresses_that_cannot_be_listened_on(text: str) -> None:
    with pytest.raises(ConfigurationError, match="HOST:PORT"):
        parse_listen(text)
