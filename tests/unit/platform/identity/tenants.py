"""A platform with two tenants to put management requests to: the real routes, vault and database.

The operator is at home in a third organisation. Time stands still unless a test moves it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from sqlalchemy import Engine, Table, func, select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from abyssal.config import FilesConfig, IdentityConfig, MasterKeySource
from abyssal.platform.http.management import ENDPOINTS, Endpoint, management_routes
from abyssal.platform.plane import ControlPlane
from abyssal.stores.blobs import BlobDirectory, Blobs
from abyssal.stores.master_key import open_master_keys
from abyssal.stores.rights import KINDS, PREFIXES, SCOPES
from abyssal.stores.sql.credential_secrets import SecretRow, add_secrets
from abyssal.stores.sql.credentials import CredentialRow, add_credential
from abyssal.stores.sql.database import open_database, sqlite_url
from abyssal.stores.sql.members import UserRow, add_member, add_user
from abyssal.stores.sql.organizations import OrganizationRow, add_organization
from abyssal.stores.sql.projects import ProjectRow, add_project
from abyssal.stores.sql.revision import next_revision
from abyssal.stores.sql.vault import Vault
from abyssal.testing import ManualClock
from abyssal.wire.errors import ApiError

T = TypeVar("T")

STANDINGS = ("operator", "owner", "admin", "member", "viewer", "service")
PEOPLE = STANDINGS[:-1]
ROLES = ("owner", "admin", "member", "viewer")
ROOT = "/v1/platform"
NS = 1_000_000_000
MADE = 1_700_000_000 * NS  # long before the clock's now
ED25519 = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="  # RFC 8032 §7.1, test 1

OURS, THEIRS, PLATFORM = "org_a0", "org_b0", "org_c0"
MAIN, SPARE, THEIR_PROJECT, PLATFORM_PROJECT = "proj_a0", "proj_a1", "proj_b0", "proj_c0"
ABSENT = "0000000000000000dead"  # after a prefix: an id that nothing has


class Answer:
    """What came back."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]

    @property
    def param(self) -> str | None:
        return self.json["error"]["param"]

    @property
    def whole(self) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        return self.status, self.headers, self.body


def user_of(standing: str) -> str | None:
    """The person who stands so in our organisation; the operator is a viewer in it."""
    return None if standing == "service" else f"user_{STANDINGS.index(standing)}a"


def key_of(standing: str) -> str:
    """The API key, scope `admin` included, that somebody of that standing asks with."""
    return f"key_{STANDINGS.index(standing)}"


def credential_of(kind: str, whose: str) -> str:
    """Another credential of theirs; `spare`: a service's in our other project; `theirs`: of the other tenant."""
    return f"{PREFIXES[kind]}_e{(*STANDINGS, 'spare', 'theirs').index(whose)}"


class World:
    """See the module."""

    def __init__(self, engine: Engine, folder: Path, *, local: bool = False) -> None:
        self.engine = engine
        self.folder = folder
        self.clock = ManualClock()
        self.files = FilesConfig()
        self.blobs: Blobs = BlobDirectory(folder / "files")
        self.vault = Vault(engine, open_master_keys(MasterKeySource(), folder, {}))
        self.vault.prepare(now_ns=MADE)
        self.in_force = 0
        self.asked = 0  # pieces of work that were handed to the database's thread
        self.slow = False  # a worker takes too long to hear of a change
        self.local = local

    @property
    def now_ns(self) -> int:
        return self.clock.unix_ns()

    def app(self, endpoints: tuple[Endpoint, ...] = ENDPOINTS, *, threads: bool = False) -> Starlette:
        return self.application(management_routes(self.plane(threads=threads), endpoints))

    def application(self, routes: list[BaseRoute]) -> Starlette:
        return Starlette(routes=routes, exception_handlers={ApiError: _error_object})

    def plane(self, *, threads: bool = False) -> ControlPlane:
        async def run(work: Callable[[], T]) -> T:
            self.asked += 1
            return await asyncio.to_thread(work) if threads else work()

        async def in_force() -> bool:
            self.in_force += 1
            return not self.slow

        return ControlPlane(
            self.engine, self.vault, self.clock, IdentityConfig(), self.files, self.blobs,
            "https://a.example", run, in_force, lambda **_: None, self.local,
        )  # fmt: skip

    def ask(
        self,
        who: str,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | str | None = None,
        scopes: str = " ".join(SCOPES),
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """One request as the worker passes it on. `who`: a standing, a credential's id, "" for nobody."""
        proof = {} if not who else {"x-abyssal-credential": key_of(who) if who in STANDINGS else who}
        sent = {**proof, "x-abyssal-scopes": scopes, **(headers or {})}
        if raw is None:
            raw = b"" if body is None else msgspec.json.encode(body)
        if not isinstance(query, str):
            query = urlencode(query or {})
        return call(self.app(), method, ROOT + path, query.encode(), sent, raw)

    def count(self, table: Table) -> int:
        with self.engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(table)).scalar_one()


def call(app: Any, method: str, path: str, query: bytes, headers: Mapping[str, str], body: bytes) -> Answer:
    """One request, put to the application as a server puts it; `path` is decoded."""
    return asyncio.run(call_async(app, method, path, query, headers, body))


async def call_async(
    app: Any, method: str, path: str, query: bytes, headers: Mapping[str, str], body: bytes
) -> Answer:
    answer = Answer()

    asked = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in asked:
            return message
        return await asyncio.get_running_loop().create_future()  # the client stays

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status, answer.headers = message["status"], list(message["headers"])
        else:
            answer.body += message.get("body", b"")

    lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": quote(path).encode(), "query_string": query, "root_path": "", "headers": lines,
        "client": None, "server": ("a", 80),
    }  # fmt: skip
    await app(scope, receive, send)
    return answer


@contextmanager
def sqlite_world(folder: Path, template: Path | None = None, *, local: bool = False) -> Iterator[World]:
    """A world on SQLite in `folder`, a copy of `template` (a folder made by `make_template`) if given."""
    if template is not None:
        for name in ("abyssal.db", "master.key"):
            shutil.copy(template / name, folder / name)
    engine = open_database(sqlite_url(folder / "abyssal.db"), one_connection=True)
    try:
        yield World(engine, folder, local=local)
    finally:
        engine.dispose()


def populate(world: World) -> World:
    """Two tenants, an operator, people of every role, credentials of every kind."""
    with world.engine.begin() as connection:
        revision = next_revision(connection)
        for organization in (OURS, THEIRS, PLATFORM):
            add_organization(connection, OrganizationRow(organization, organization, None, None, None, MADE))
        for project, organization in (
            (MAIN, OURS), (SPARE, OURS), (THEIR_PROJECT, THEIRS), (PLATFORM_PROJECT, PLATFORM),
        ):  # fmt: skip
            row = ProjectRow(project, organization, project, None, None, None, MADE)
            add_project(connection, row, revision)
        for number, standing in enumerate(PEOPLE):
            row = UserRow(f"user_{number}a", f"{standing}@ours.example", standing == "operator", MADE)
            add_user(connection, row)
            role = "viewer" if standing == "operator" else standing
            add_member(connection, OURS, row.id, role, name=standing, created_at=MADE + number)
        for number, standing in enumerate(ROLES):
            row = UserRow(f"user_{number}b", f"{standing}@theirs.example", False, MADE)
            add_user(connection, row)
            add_member(connection, THEIRS, row.id, standing, name=standing, created_at=MADE + number)
        add_user(connection, UserRow("user_9a", "second@ours.example", False, MADE))
        add_member(connection, OURS, "user_9a", "owner", name="second", created_at=MADE + 9)
        secrets: list[SecretRow] = []
        for number, standing in enumerate(STANDINGS):
            home = PLATFORM_PROJECT if standing == "operator" else MAIN
            rows = [(key_of(standing), "api_key", home, user_of(standing))]
            rows += [(credential_of(kind, standing), kind, MAIN, user_of(standing)) for kind in KINDS]
            if number == 0:
                rows += [(credential_of(kind, "spare"), kind, SPARE, None) for kind in KINDS]
                rows += [(credential_of(kind, "theirs"), kind, THEIR_PROJECT, "user_1b") for kind in KINDS]
            for name, kind, project, user in rows:
                row = CredentialRow(name, kind, project, user, name, SCOPES, None, None, MADE)
                add_credential(connection, row, revision)
                secrets.append(SecretRow("sec_" + name.replace("_", ""), name, "hint", MADE))
        add_secrets(connection, secrets)
    return world


async def _error_object(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return Response(error.as_json(), error.status_code, media_type="application/json")
