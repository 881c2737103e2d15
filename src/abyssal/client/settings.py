"""Where calls go: arguments first, then the environment, then the local platform. As whom: `credentials`.

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

NO_WEBSOCKETS = (
    "client.stream() needs the package websockets, which is not installed: type `pip install websockets`, or "
    "use chat.completions.create(stream=True)."
)


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
    """A secret that shows itself to nobody: not in `repr`, not in a traceback's variables."""

    __slots__ = ("_tokens", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._tokens: tuple[str, ...] = ()

    def reveal(self) -> str:
        return self._value

    def hide_also(self, token: str) -> None:
        """`token` was made or got with this secret; it and the one before it are kept hidden as well."""
        self._tokens = (token, *self._tokens[:1])

    def blotted_out(self, content: bytes) -> bytes:
        """`content` with the secret and its tokens blotted out, should the other side have echoed them."""
        for value in (self._value, *self._tokens):
            content = content.replace(value.encode(), b"****")
        return content

    def __repr__(self) -> str:
        return "Secret(...)"


def resolve_base_url(
    environment: Mapping[str, str], *, base_url: str | None, api_base: str | None
) -> BaseUrl:
    """Where calls go: the argument under either name, the environment, the platform on this machine.

    Raises ConfigurationError for a value that is unusable, and for two that differ.
    """
    if base_url and api_base and base_url != api_base:
        raise ConfigurationError(
            f"base_url={base_url!r} and api_base={api_base!r} are two names for one thing; give one of them."
        )
    url = base_url or api_base or first_set(environment, defaults.BASE_URL_VARIABLES) or defaults.BASE_URL
    return parse_base_url(url)


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


def first_set(environment: Mapping[str, str], names: Iterable[str]) -> str | None:
    """The first of the variables `names` that is set to more than blanks, without blanks around it."""
    return next((value for name in names if (value := environment.get(name, "").strip())), None)


def goes_over_proxy(base: BaseUrl, environment: Mapping[str, str]) -> bool:
    """Whether the environment names a proxy that may have to be used for `base`; never for loopback."""
    return not base.is_loopback and first_set(environment, _PROXY_VARIABLES[base.scheme]) is not None


def checked_pool_size(pool_size: int | None, cores: int | None) -> int:
    """Connections at once: `pool_size` if given, else by the number of CPU cores."""
    if pool_size is None:
        return defaults.CONNECTIONS_PER_CORE * (cores or 1)
    if isinstance(pool_size, bool) or pool_size < 1:
        raise ConfigurationError(f"pool_size={pool_size!r} must be 1 or more.")
    return pool_size
