"""Which way to prove who one is the constructor's arguments mean. Knows each way's name and what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, Literal

from abyssal.client import defaults
from abyssal.client.credentials.api_key import ApiKey
from abyssal.client.settings import BaseUrl, first_set
from abyssal.wire.errors import ConfigurationError

if TYPE_CHECKING:
    from abyssal.client.credentials.protocol import Credential

Auth = Literal["api_key", "oauth", "jwt", "hmac"]

NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "api_key": ("api_key",),
    "oauth": ("client_id", "client_secret"),
    "jwt": ("client_id", "client_secret"),
    "hmac": ("key_id", "secret"),
}


def choose_credential(
    environment: Mapping[str, str], base: BaseUrl, auth: str | None, arguments: Mapping[str, str | None]
) -> Credential:
    """The credential that `auth` and `arguments` (the names in `NEEDS`) mean; `auth` may be left out.

    Without any argument it is the API key of the environment. An empty argument is as one left out. Raises
    ConfigurationError that says what to leave out or to add, never with a value in it.
    """
    given = {name: value.strip() for name, value in arguments.items() if value and value.strip()}
    way = _way(given, auth)
    if way == "api_key" and not given:
        key = first_set(environment, defaults.API_KEY_VARIABLES)
        if key is None:
            raise ConfigurationError(
                "No API key: pass api_key=..., or set the environment variable "
                f"{' or '.join(defaults.API_KEY_VARIABLES)}. `abyssal serve` prints the first key when it "
                "starts. Other ways are client_id=... with client_secret=..., and key_id=... with secret=...."
            )
        given = {"api_key": key}
    for name in NEEDS[way]:
        _check(name, given[name])
    if way == "api_key":
        return ApiKey(given["api_key"])
    # The others are loaded when they are used: a key alone needs no cryptography.
    if way == "oauth":
        from abyssal.client.credentials.client_credentials import ClientCredentials

        return ClientCredentials(base, given["client_id"], given["client_secret"])
    if way == "jwt":
        from abyssal.client.credentials.json_web_token import JsonWebToken

        return JsonWebToken(given["client_id"], given["client_secret"])
    from abyssal.client.credentials.request_signature import RequestSignature

    return RequestSignature(given["key_id"], given["secret"])


def _way(given: Mapping[str, str], auth: str | None) -> str:
    """The way that is meant, with all its arguments there and no others."""
    if auth is not None and auth not in NEEDS:
        near = get_close_matches(str(auth), NEEDS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it is one of {', '.join(map(repr, NEEDS))}."
        # Not with the value: it may be a key that was put into the wrong place.
        raise ConfigurationError(f"auth names no way to prove who you are; {hint}")
    # What was given most of is meant; nothing at all means a key.
    way = auth or max(NEEDS, key=lambda name: len(given.keys() & {*NEEDS[name]}))
    if way == "api_key" and not given:
        return way  # the environment may have it
    needed = NEEDS[way]
    surplus = [name for name in given if name not in needed]
    missing = [name for name in needed if name not in given]
    if surplus:
        raise ConfigurationError(_too_many(given, auth))
    if missing:
        raise ConfigurationError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing (or empty): "
            f"auth={way!r} needs {' and '.join(needed)}."
        )
    return way


def _too_many(given: Mapping[str, str], auth: str | None) -> str:
    """What to leave out of the arguments of several ways."""
    if auth is not None:
        surplus = [name for name in given if name not in NEEDS[auth]]
        return f"auth={auth!r} goes with {' and '.join(NEEDS[auth])}; leave out {' and '.join(surplus)}."
    groups = [[name for name in needed if name in given] for needed in dict.fromkeys(NEEDS.values())]
    choices = ", or leave out ".join(" and ".join(group) for group in groups if group)
    return (
        f"These arguments belong to different ways to prove who you are: leave out {choices}. "
        "(client_id goes with client_secret, key_id with secret.)"
    )


def _check(name: str, value: str) -> None:
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigurationError(
            f"{name} has a character that none can have (a space, a line break or a non-ASCII one); "
            "copy it again."
        )
