"""Where calls go and as whom: arguments first, then the environment, then the local platform.

Knows the rules of precedence and of what is a usable value; the environment is handed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import msgspec

from abyssal.client import defaults
from abyssal.wire.errors import ConfigurationError

_PROXY_VARIABLES = {
    "http": ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
    "https": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
}
_PORTS = {"http": 80, "https": 443}


class BaseUrl(msgspec.Struct, frozen=True):
    """A base URL, taken apart. `path` has no slash at its end."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """`host` or `host:port`, as a Host header has it (RFC 9112 section 3.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether the other side is this machine."""
        host = self.host
        return host in ("localhost", "::1") or host.endswith(".localhost") or host.startswith("127.")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


class Secret:
    """A key that shows itself to nobody: not in `repr`, not in a traceback's variables."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(...)"


class Settings(msgspec.Struct, frozen=True):
    """Where to and as whom."""

    base_url: BaseUrl
    api_key: Secret


def resolve_settings(
    environment: Mapping[str, str], *, api_key: str | None, base_url: str | None, api_base: str | None
) -> Settings:
    """The settings that hold. Raises ConfigurationError when there is no key, or a value is unusable."""
    if base_url and api_base and base_url != api_base:
        raise ConfigurationError(
            f"base_url={base_url!r} and api_base={api_base!r} are two names for one thing; give one of them."
        )
    url = base_url or api_base or _first_set(environment, defaults.BASE_URL_VARIABLES) or defaults.BASE_URL
    key = api_key or _first_set(environment, defaults.API_KEY_VARIABLES)
    if not key or not key.strip():
        raise ConfigurationError(
            "No API key: pass api_key=..., or set the environment variable "
            f"{' or '.join(defaults.API_KEY_VARIABLES)}. `abyssal serve` prints the first key when it starts."
        )
    key = key.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            "The API key has a character that no key has (a space, a line break or a non-ASCII one); "
            "copy it again."
        )
    return Settings(parse_base_url(url), Secret(key))


def parse_base_url(url: str) -> BaseUrl:
    """`url` taken apart; a slash at its end makes no difference. Raises ConfigurationError that says why."""
    if "@" in url.partition("//")[2].partition("/")[0]:
        raise ConfigurationError(
            "base_url holds credentials before an @; pass the key as api_key instead, it goes into a header."
        )
    try:
        parts = urlsplit(url.strip())
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError as error:
        raise ConfigurationError(f"base_url {url!r} is not a URL: {error}.") from None
    if parts.scheme not in _PORTS or not host:
        raise ConfigurationError(
            f"base_url {url!r} must be http://HOST or https://HOST, with a port and a path if needed, "
            f"such as {defaults.BASE_URL}."
        )
    if parts.query or parts.fragment:
        raise ConfigurationError(f"base_url {url!r} must end with its path; drop what follows the ? or #.")
    place = host + parts.path
    if not place.isascii() or not url.strip().isprintable() or " " in place:
        raise ConfigurationError(
            f"base_url {url!r} has characters that a URL cannot have; quote or remove them."
        )
    return BaseUrl(parts.scheme, host, port or _PORTS[parts.scheme], parts.path.rstrip("/"))


def _first_set(environment: Mapping[str, str], names: Iterable[str]) -> str | None:
    return next((value for name in names if (value := environment.get(name, "").strip())), None)


def goes_over_proxy(base: BaseUrl, environment: Mapping[str, str]) -> bool:
    """Whether the environment names a proxy that may have to be used for `base`; never for loopback."""
    return not base.is_loopback and _first_set(environment, _PROXY_VARIABLES[base.scheme]) is not None


def checked_pool_size(pool_size: int | None, cores: int | None) -> int:
    """Connections at once: `pool_size` if given, else by the number of CPU cores."""
    if pool_size is None:
        return defaults.CONNECTIONS_PER_CORE * (cores or 1)
    if isinstance(pool_size, bool) or pool_size < 1:
        raise ConfigurationError(f"pool_size={pool_size!r} must be 1 or more.")
    return pool_size
