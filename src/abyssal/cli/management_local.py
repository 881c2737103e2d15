"""The management routes on a data directory, called in this process: its owner needs no credential.

A platform that runs on it takes a change over within a second.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlencode

import msgspec

from abyssal.cli.database import Where, find_database, opened_database
from abyssal.cli.management import ROOT, Management, Object, Reach
from abyssal.clock import SystemClock
from abyssal.config import files_directory
from abyssal.wire.errors import ConfigurationError, error_for_status

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from starlette.types import ASGIApp, Message, Scope

    from abyssal.platform.plane import ControlPlane

T = TypeVar("T")


class LocalManagement:
    """The routes of `app`, called without a network in between. What they raise comes through as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, json: object = None
    ) -> Object:
        body = b"" if json is None else msgspec.json.encode(json)
        status, content = asyncio.run(_called(self._app, method, ROOT + path, urlencode(query or {}), body))
        if status >= 400:
            raise error_for_status(status)(
                f"{method} {ROOT}{path}: {content.decode(errors='replace')}", status=status
            )
        return msgspec.json.decode(content, type=Object)


@contextmanager
def opened_local(reach: Reach) -> Generator[Management]:
    """The platform of the data directory that `reach` or the environment names.

    Raises ConfigurationError where no platform of this version ever ran, LocalError when its database fails.
    """
    # Only now: SQLAlchemy takes longer to load than everything else here together.
    from starlette.routing import Router

    from abyssal.platform.http.management import management_routes
    from abyssal.stores.sql.address import parse_database_url, shown

    where = find_database(reach.config, reach.data)
    url = parse_database_url(where.url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise ConfigurationError(
            f"{where.data} is no platform's data directory: there is no {shown(url)}. Start `abyssal serve` "
            "once, or name the directory with --data or ABYSSAL_DATA, or the platform's file with --config."
        )
    with opened_database(where.url) as engine:
        _check_has_run(engine, shown(url))
        yield LocalManagement(Router(management_routes(_plane(engine, where))))


def _check_has_run(engine: Engine, database: str) -> None:
    """Raise ConfigurationError before the first start: it makes the first organisation, project and key.

    The keys of version 0.1 are taken over by it too, and not here: that version may still be running on them.
    """
    from abyssal.stores.sql.credentials import has_credentials
    from abyssal.stores.sql.old_keys import old_keys

    with engine.connect() as connection:
        if has_credentials(connection) and not old_keys(connection, count=1):
            return
    raise ConfigurationError(
        f"{database}: no platform of this version has run on it yet. Start `abyssal serve` once: it makes "
        "what is missing, and takes over the keys of the version before."
    )


def _plane(engine: Engine, where: Where) -> ControlPlane:
    """A control plane for this process alone: nobody is told, whoever else is there finds out."""
    from abyssal.platform.plane import ControlPlane
    from abyssal.stores.blobs import BlobDirectory
    from abyssal.stores.master_key import open_master_keys
    from abyssal.stores.sql.vault import Vault

    clock, identity = SystemClock(), where.config.identity
    vault = Vault(engine, open_master_keys(identity.master_key, where.data, os.environ))
    vault.prepare(now_ns=clock.unix_ns())
    return ControlPlane(
        engine=engine,
        vault=vault,
        clock=clock,
        identity=identity,
        files=where.config.files,
        blobs=BlobDirectory(files_directory(where.config, where.data)),
        issuer=identity.issuer,
        run=_at_once,
        in_force=_for_nobody,
        failed=_unheard,
        local=True,
    )


async def _at_once(work: Callable[[], T]) -> T:
    return work()


async def _for_nobody() -> bool:
    return True


def _unheard(*, address: str, way: str, reason: str, credential: str) -> None:
    pass


async def _called(app: ASGIApp, method: str, path: str, query: str, body: bytes) -> tuple[int, bytes]:
    """Status and content of one request over ASGI 3 (`path` percent-encoded)."""
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": None,
        "server": None,
    }
    status = 0
    content: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            content.append(message.get("body", b""))

    await app(scope, receive, send)
    return status, b"".join(content)
