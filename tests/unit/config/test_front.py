"""What a server may listen with: TLS, or plain HTTP where nobody else can listen in, or the operator's word."""

from __future__ import annotations

from typing import Any

import pytest

from abyssal.config import ServerConfig, check_front
from abyssal.wire.errors import ConfigurationError

PAIR = {"tls_cert": "cert.pem", "tls_key": "key.pem"}
LOOPBACK = ["127.0.0.1:0", "127.8.9.10:8000", "[::1]:8000", "localhost:8000", "[::ffff:127.0.0.1]:80"]
REACHABLE = ["0.0.0.0:8000", "[::]:8000", "192.0.2.1:0", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:80",
             "gateway.example:8000", "localhost.example:80", "127.1:80", "[fe80::1%lo]:80"]  # fmt: skip


@pytest.mark.parametrize("listen", LOOPBACK)
def test_on_this_machine_plain_http_is_enough(listen: str) -> None:
    check_front(ServerConfig(listen=listen))


@pytest.mark.parametrize("listen", REACHABLE)
def test_elsewhere_plain_http_needs_the_operator_s_word(listen: str) -> None:
    check_front(ServerConfig(listen=listen, allow_plaintext=True))
    check_front(ServerConfig(listen=listen, **PAIR))
    with pytest.raises(ConfigurationError) as refusal:
        check_front(ServerConfig(listen=listen))
    message = refusal.value.message
    assert message.startswith(f"server.listen: {listen} ")
    for way_out in ("tls_cert", "tls_key", "--tls-cert", "allow_plaintext = true", "--allow-plaintext"):
        assert way_out in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"tls_cert": "cert.pem"}, "server.tls_key"),
        ({"tls_key": "key.pem"}, "server.tls_cert"),
        ({"tls_client_ca": "ca.pem"}, "server.tls_cert"),
        ({"tls_cert": "cert.pem", "tls_client_ca": "ca.pem"}, "server.tls_key"),
    ],
)
def test_half_a_certificate_is_none(given: dict[str, Any], missing: str) -> None:
    for more in ({}, {"allow_plaintext": True}, {"listen": "0.0.0.0:1"}):
        with pytest.raises(ConfigurationError) as refusal:
            check_front(ServerConfig(**given, **more))
        assert refusal.value.message.startswith(f"server.{next(iter(given))}: ")
        assert missing in refusal.value.message
        assert "--tls-cert" in refusal.value.message
