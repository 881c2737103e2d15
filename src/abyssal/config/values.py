"""Single values of the configuration, judged: addresses, networks, credentials, certificates."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from abyssal.config.types import Config, Secret, ServerConfig
from abyssal.wire.addresses import Networks, parse_address
from abyssal.wire.errors import ConfigurationError

_BASE_URL = re.compile(
    r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?(?:/[!-~]*)?"
)


def check_base_url(url: str, where: str) -> None:
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise ConfigurationError(f"{where}: a credential in an address is shown in logs; set api_key instead")
    match = _BASE_URL.fullmatch(url)
    if match is None or "?" in url or "#" in url or not 0 < int(match["port"] or 80) < 65536:
        raise ConfigurationError(
            f"{where}: {url!r} is not an http:// or https:// address of ASCII host, port and path; "
            "write for example https://host:8000/v1"
        )


def check_issuer(issuer: str, where: str) -> None:
    """RFC 8414 §2: an address without query and fragment; "" stands for the one that is listened on."""
    match = _BASE_URL.fullmatch(issuer)
    if issuer and (match is None or "?" in issuer or "#" in issuer):
        raise ConfigurationError(
            f"{where}: {issuer!r} is not an address that clients could know the platform by; write for "
            "example https://api.example.com"
        )


def check_redis_url(url: Secret, where: str) -> None:
    """It may hold a password, so what is wrong with it is not repeated."""
    try:
        parts = urlsplit(url.reveal())
        number = parts.port is None or parts.port > 0
    except ValueError:
        parts, number = urlsplit(""), False
    is_server = (
        parts.scheme in ("redis", "rediss") and parts.hostname and re.fullmatch("/?[0-9]*", parts.path)
    )
    if not number or not (is_server or (parts.scheme == "unix" and parts.path)):
        raise ConfigurationError(
            f"{where}: this is no address of Redis; write redis://host:6379/0, rediss://… for TLS, or "
            "unix:///path/to/socket"
        )


def check_ca_file(path: str, where: str) -> None:
    import ssl  # only those who set it wait for it

    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        raise ConfigurationError(
            f"{where}: {path} holds no certificates ({error.strerror or error}); name a PEM file"
        ) from None


def as_secret(text: str, where: str) -> Secret:
    """A credential for a header line: one line of printable ASCII."""
    text = text.strip()
    if not re.fullmatch("[!-~]+", text):
        what = "has blanks, line ends or characters outside ASCII" if text else "is empty"
        raise ConfigurationError(
            f"{where}: the value {what}; give one line of printable ASCII, or leave the setting out"
        )
    return Secret(text)


def parse_listen(text: str, where: str = "--listen") -> tuple[str, int]:
    """`HOST:PORT` (also `[::1]:PORT`) as host and port (0 to 65535; 0 chooses a free one)."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise ConfigurationError(f'{where}: "{text}" is not HOST:PORT; write for example 127.0.0.1:8000')
    return host, int(port)


def check_networks(texts: Iterable[str], where: str) -> None:
    for index, text in enumerate(texts):
        try:
            Networks.parse((text,))
        except ValueError as error:
            raise ConfigurationError(f"{where}[{index}]: {error}") from None


def check_front(server: ServerConfig) -> None:
    """What a server needs before it may listen, once the command line has had its say.

    Raises ConfigurationError for half a certificate, and for plain HTTP that others could read on its way.
    The files themselves are judged by who opens them.
    """
    for one, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert"), ("tls_client_ca", "tls_cert")):
        if getattr(server, one) and not getattr(server, other):
            raise ConfigurationError(
                f"server.{one}: means nothing without server.{other}; give both, in the file or with "
                "--tls-cert and --tls-key"
            )
    host, _ = parse_listen(server.listen, "server.listen")
    if not server.tls_cert and not server.allow_plaintext and not is_loopback(host):
        raise ConfigurationError(
            f"server.listen: {server.listen} can be reached by other machines, and without TLS keys and "
            "answers can be read on their way; give a certificate (tls_cert and tls_key, or --tls-cert and "
            "--tls-key), or, where something in front does TLS, set allow_plaintext = true (or "
            "--allow-plaintext)"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`. Names other than localhost are not looked up: no."""
    address = parse_address(host)
    return host == "localhost" if address is None else address.is_loopback


def files_directory(config: Config, data: Path) -> Path:
    """Where the bytes of uploaded files rest: `files.directory`, else `files` in the data directory."""
    return (
        Path(os.path.expanduser(config.files.directory)).absolute()
        if config.files.directory
        else data / "files"
    )


def data_directory(config: Config, given: str | None, environ: Mapping[str, str]) -> Path:
    """Where state lives: `--data`, else the file's, else ABYSSAL_DATA, else `~/.abyssal`."""
    chosen = given or config.server.data or environ.get("ABYSSAL_DATA", "")
    return Path(os.path.expanduser(chosen or "~/.abyssal")).absolute()
