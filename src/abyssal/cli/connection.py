"""Which service the command line talks to, and as whom.

1. The address: --base-url, ABYSSAL_BASE_URL, DEEPSEEK_BASE_URL, what `DATA/node.json` says of the platform
   that runs on this data directory, else the platform's default address on this machine.
2. The key: --api-key, ABYSSAL_API_KEY, DEEPSEEK_API_KEY; none of them for the platform of this data
   directory: `DATA/first-key`. There it comes before DEEPSEEK_API_KEY, which that platform does not know:
   it is the key of what stands behind it.
3. The first key never goes anywhere else: an address that the user chose gets it only if it is the one in
   `DATA/node.json`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from abyssal.config import Config, Secret, data_directory
from abyssal.wire.errors import ApiConnectionError, ConfigurationError

if TYPE_CHECKING:
    from abyssal import DeepSeekClient

NODE_FILE = "node.json"
FIRST_KEY_FILE = "first-key"
_DEFAULT_ORIGIN = "http://127.0.0.1:8000"
_READ_TIMEOUT = 120.0  # seconds of silence; who waits at a terminal can end it sooner
_PROBE_TIMEOUT = 5.0  # seconds
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # to listen on; not to connect to
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


class Node(msgspec.Struct, frozen=True):
    """What a running platform says of itself in its data directory."""

    url: str
    pid: int = 0


class Connection(msgspec.Struct, frozen=True):
    """Where to and as whom. `local`: it is the platform of this data directory, and nobody chose another."""

    base_url: str
    api_key: Secret
    local: bool
    data: Path


def data_path(given: str | None, environ: Mapping[str, str]) -> Path:
    """The data directory: `given` (--data), ABYSSAL_DATA, `~/.abyssal`."""
    return data_directory(Config(), given, environ)


def read_node(data: Path) -> Node | None:
    """The platform that runs on `data`, or did when it was killed; None if there is none."""
    try:
        return msgspec.json.decode((data / NODE_FILE).read_bytes(), type=Node)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{data / NODE_FILE}: cannot be read ({error}); name the platform with --base-url"
        ) from None


def read_first_key(data: Path) -> str:
    """The first key that the platform made and kept, "" if there is none."""
    try:
        return (data / FIRST_KEY_FILE).read_text().strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{data / FIRST_KEY_FILE}: cannot be read ({error}); give a key in ABYSSAL_API_KEY"
        ) from None


def node_url(node: Node) -> str:
    """Where to reach a platform: one that listens on every address is reached on loopback."""
    from abyssal.client.settings import parse_base_url

    base = parse_base_url(node.url)
    return str(msgspec.structs.replace(base, host=_EVERY_ADDRESS.get(base.host, base.host)))


def client_url(node: Node) -> str:
    """What a client takes as its base URL."""
    return f"{node_url(node)}/v1"


def resolve_connection(
    environ: Mapping[str, str], *, base_url: str | None, api_key: str | None, data: str | None
) -> Connection:
    """The connection by the rules above. Raises ConfigurationError when there is no key for the address."""
    directory = data_path(data, environ)
    chosen = base_url or _first_set(environ, "ABYSSAL_BASE_URL", "DEEPSEEK_BASE_URL")
    given = api_key or _first_set(environ, "ABYSSAL_API_KEY")
    if chosen and given:  # then nothing in the data directory matters, nor whether it can be read
        return Connection(chosen, Secret(given), False, directory)
    node = read_node(directory)
    own_url = client_url(node) if node is not None else f"{_DEFAULT_ORIGIN}/v1"
    is_own = not chosen or (node is not None and _same_origin(chosen, own_url))
    first_key = read_first_key(directory) if is_own and not given else ""
    key = given or first_key or _first_set(environ, "DEEPSEEK_API_KEY")
    url = chosen or own_url
    if not key:
        raise ConfigurationError(_no_key(url, directory, is_own, runs=node is not None))
    return Connection(url, Secret(key), not chosen, directory)


def open_client(connection: Connection) -> DeepSeekClient:
    """A client for `connection`. Raises ApiConnectionError at once if no platform runs on this machine."""
    from abyssal import DeepSeekClient, Timeout

    if connection.local:
        _check_running(connection)
    return DeepSeekClient(
        connection.api_key.reveal(), base_url=connection.base_url, timeout=Timeout(read=_READ_TIMEOUT)
    )


def connect(base_url: str | None, api_key: str | None, data: str | None) -> DeepSeekClient:
    """A client by the rules above, from a command's options and the environment."""
    return open_client(resolve_connection(os.environ, base_url=base_url, api_key=api_key, data=data))


def _check_running(connection: Connection) -> None:
    """Say so at once when nothing listens: the client would try again for seconds first."""
    from abyssal.client.settings import parse_base_url

    base = parse_base_url(connection.base_url)
    try:
        socket.create_connection((base.host, base.port), _PROBE_TIMEOUT).close()
    except OSError as error:
        raise ApiConnectionError(
            f"No platform answers at {base.scheme}://{base.authority} ({error.strerror or error}). Start one "
            "with `abyssal serve`, or name another with --base-url or ABYSSAL_BASE_URL."
        ) from None


def _same_origin(one: str, other: str) -> bool:
    from abyssal.client.settings import parse_base_url

    a, b = parse_base_url(one), parse_base_url(other)
    same_host = a.host == b.host or {a.host, b.host} <= _THIS_MACHINE
    return same_host and (a.scheme, a.port) == (b.scheme, b.port)


def _no_key(url: str, data: Path, is_own: bool, *, runs: bool) -> str:
    if is_own and not runs:
        return (
            f"No platform runs on {data}: start one with `abyssal serve`, or name another with --base-url or "
            "ABYSSAL_BASE_URL, and its key in ABYSSAL_API_KEY."
        )
    message = f"No API key for {url}: set ABYSSAL_API_KEY, or give --api-key."
    if is_own:
        return f"{message} {data / FIRST_KEY_FILE} has none; `abyssal keys create NAME` makes one."
    if (data / FIRST_KEY_FILE).exists():
        return f"{message} The one in {data / FIRST_KEY_FILE} is for the platform on this machine alone."
    return message


def _first_set(environ: Mapping[str, str], *names: str) -> str:
    return next((value for name in names if (value := environ.get(name, "").strip())), "")
