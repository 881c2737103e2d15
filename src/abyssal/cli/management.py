"""The platform's management routes as the command line sees them, and which platform it is.

1. `--base-url` or `--api-key`: the platform at that address, over HTTP, with the rights of the key.
2. `--data` or `--config`: the platform of that data directory, whether it runs or not, with all rights.
3. ABYSSAL_BASE_URL: as 1, with the key in ABYSSAL_API_KEY.
4. Else the platform of the data directory ABYSSAL_DATA, or `~/.abyssal`.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from abyssal.wire.errors import (
    ApiError,
    BadRequestError,
    ConfigurationError,
    NotFoundError,
    UnprocessableError,
)

Object = dict[str, Any]  # a JSON object of the routes: a key, a project, a page of them
ROOT = "/v1/platform"
_PAGE = "200"  # objects, the most that a page has
_OPTIONS = {  # what a person typed for the field that a route names
    "scopes": "--scope",
    "models": "--model",
    "networks": "--network",
    "expires_at": "--expires",
    "expires_in": "--expires",
    "overlap": "--overlap",
    "public_key": "--public-key",
    "organization": "--org",
    "project": "--project",
    "user": "--user",
}


class Reach(msgspec.Struct, frozen=True):
    """What the options say of which platform is meant."""

    data: str | None = None
    config: Path | None = None
    base_url: str | None = None
    api_key: str | None = None

    def is_remote(self, environ: Mapping[str, str]) -> bool:
        """Whether the rules above lead over HTTP. Raises ConfigurationError when options contradict."""
        if self.base_url or self.api_key:
            if self.config is not None:
                option = "--base-url" if self.base_url else "--api-key"
                raise ConfigurationError(
                    f"--config is for the platform of this machine, {option} for one that is called over "
                    "HTTP; give one of them."
                )
            return True
        if self.data or self.config is not None:
            return False
        return bool(environ.get("ABYSSAL_BASE_URL", "").strip())


class Management(Protocol):
    """The management routes of one platform."""

    def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, json: object = None
    ) -> Object:
        """The object that a route answers with.

        `path` is below `/v1/platform`, percent-encoded. Raises ApiError for an error object, LocalError
        when no usable answer came.
        """
        ...


@contextmanager
def opened(reach: Reach) -> Generator[Management]:
    """The routes of the platform that is meant. Raises ConfigurationError for what is the user's to fix:

    no such platform, no key for it, and inside the block what a route refuses as malformed or unknown.
    """
    if reach.is_remote(os.environ):
        from abyssal.cli.management_remote import opened_remote as way
    else:
        from abyssal.cli.management_local import opened_local as way
    try:
        with way(reach) as management:
            yield management
    except (BadRequestError, NotFoundError, UnprocessableError) as error:
        raise ConfigurationError(_as_options(error)) from None


def pages(management: Management, path: str, query: Mapping[str, str]) -> Iterator[Object]:
    """The objects of a list, page after page as they are wanted."""
    asked = {**query, "limit": _PAGE}
    while True:
        page = management.request("GET", path, query=asked)
        yield from page["data"]
        if not page["has_more"]:
            return
        asked["after"] = page["next"]


def _as_options(error: ApiError) -> str:
    """The message, with the option in place of the field."""
    option = _OPTIONS.get(error.param or "")
    return error.message.replace(f'"{error.param}"', option, 1) if option else error.message
