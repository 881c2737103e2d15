"""An authorization server to put requests to: the real routes, vault and database, on a clock that is held."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlencode

import msgspec
from sqlalchemy import Engine, insert, select, update
from starlette.applications import Starlette

from abyssal.config import FilesConfig, IdentityConfig, MasterKeySource
from abyssal.platform.http.oauth import oauth_routes
from abyssal.platform.oauth.token_keys import rotate_if_due
from abyssal.platform.plane import ControlPlane
from abyssal.stores.blobs import BlobDirectory
from abyssal.stores.master_key import open_master_keys
from abyssal.stores.sealing import Place
from abyssal.stores.sql.database import open_database, sqlite_url
from abyssal.stores.sql.revision import current_revision
from abyssal.stores.sql.schema import credentials, organizations, projects, secrets, token_keys
from abyssal.stores.sql.vault import Vault
from abyssal.testing import ManualClock

ISSUER = "https://abyssal.example"
CLIENT = "client_0123456789abcdef0123"
SECRET = "cs_the-right-one-0123456789012345678901234567"
OTHER_SECRET = "cs_another-one-01234567890123456789012345678"
HOME = "192.0.2.7"
NS = 10**9
DAY = 86_400.0


class Answer:
    """What came back."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> str:
        return self.json["error"]


class CountingVault(Vault):
    """The vault, and how often it was asked to open something."""

    opened = 0

    def open(self, sealed: bytes, place: Place) -> bytes:
        self.opened += 1
        return super().open(sealed, place)


class Office:
    """One replica. Several can share a database and a clock (`beside`)."""

    def __init__(self, url: str, data: Path, clock: ManualClock, **identity: Any) -> None:
        self.url, self.data, self.clock = url, data, clock
        self.identity = IdentityConfig(**identity)
        self.engine: Engine = open_database(url)
        self.vault = CountingVault(self.engine, open_master_keys(MasterKeySource(), data, {}))
        self.vault.prepare(now_ns=clock.unix_ns())
        self.others: list[Office] = []
        self.failures: list[dict[str, str]] = []
        self.in_force_at: list[int] = []
        plane = ControlPlane(
            engine=self.engine, vault=self.vault, clock=clock, identity=self.identity, issuer=ISSUER,
            files=FilesConfig(), blobs=BlobDirectory(data / "files"),
            run=_run, in_force=self._in_force, failed=lambda **what: self.failures.append(what),
        )  # fmt: skip
        self.app: Any = Starlette(routes=oauth_routes(plane))

    def beside(self) -> Office:
        """Another replica."""
        self.others.append(Office(self.url, self.data, self.clock))
        return self.others[-1]

    def close(self) -> None:
        """Let go of the database, here and beside."""
        self.engine.dispose()
        for other in self.others:
            other.close()

    async def _in_force(self) -> bool:
        with self.engine.connect() as connection:
            self.in_force_at.append(current_revision(connection))
        return True

    def revision(self) -> int:
        with self.engine.connect() as connection:
            return current_revision(connection)

    def rotate(self) -> bool:
        return rotate_if_due(
            self.engine, self.vault, now_ns=self.clock.unix_ns(), days=self.identity.token_key_days
        )

    def now_s(self) -> int:
        return self.clock.unix_ns() // NS

    # --- who there is

    def add_organization(self, name: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(insert(organizations).values(id=name, name=name, created_at=1, **values))

    def add_project(self, name: str, organization: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                insert(projects).values(
                    id=name, organization_id=organization, name=name, created_at=1, revision=1, **values
                )
            )

    def add_client(self, client_id: str = CLIENT, *, project: str = "proj_a", **values: Any) -> None:
        values = {"scopes": '["chat","embeddings","usage:read"]', "kind": "client", **values}
        with self.engine.begin() as connection:
            connection.execute(
                insert(credentials).values(
                    id=client_id, project_id=project, name="c", created_at=1, revision=1, **values
                )
            )

    def add_secret(
        self, secret: str = SECRET, client_id: str = CLIENT, *, organization: str = "org_a", **values: Any
    ) -> str:
        with self.engine.begin() as connection:
            number = len(connection.execute(select(secrets.c.id)).all())
            secret_id = f"sec_{number}"
            sealed = self.vault.seal(connection, secret.encode(), Place(organization, "secrets", secret_id))
            connection.execute(
                insert(secrets).values(
                    id=secret_id, credential_id=client_id, sealed=sealed, hint=secret[-4:],
                    created_at=number, **values,
                )
            )  # fmt: skip
        return secret_id

    def change(self, table: Any, row: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(update(table).where(table.c.id == row).values(**values))

    def key_ids(self) -> list[str]:
        with self.engine.connect() as connection:
            query = select(token_keys.c.id).order_by(token_keys.c.active_at)
            return list(connection.execute(query).scalars())

    # --- what may be asked

    def post(
        self,
        path: str,
        fields: dict[str, str] | list[tuple[str, str]] | bytes,
        *,
        basic: tuple[str, str] | None = None,
        headers: dict[str, str] | None = None,
        address: str = HOME,
    ) -> Answer:
        """One request; a header given as "" is left out."""
        body = fields if isinstance(fields, bytes) else urlencode(fields).encode()
        sent = {"content-type": "application/x-www-form-urlencoded", "x-abyssal-address": address}
        if basic is not None:
            sent["authorization"] = basic_header(*basic)
        return self.ask("POST", path, body, [(k, v) for k, v in {**sent, **(headers or {})}.items() if v])

    def token(self, secret: str = SECRET, client_id: str = CLIENT, **more: Any) -> Answer:
        """`POST /oauth/token`; `address` apart, `more` are form fields."""
        address = more.pop("address", HOME)
        fields = {"grant_type": "client_credentials", **more}
        return self.post("/oauth/token", fields, basic=(client_id, secret), address=address)

    def revoke(self, token: str, secret: str = SECRET, client_id: str = CLIENT) -> Answer:
        return self.post("/oauth/revoke", {"token": token}, basic=(client_id, secret))

    def introspect(self, token: str, secret: str = SECRET, client_id: str = CLIENT) -> Answer:
        return self.post("/oauth/introspect", {"token": token}, basic=(client_id, secret))

    def is_active(self, token: str) -> bool:
        answer = self.introspect(token)
        assert answer.status == 200, answer.body
        return answer.json["active"]

    def get(self, path: str) -> Answer:
        return self.ask("GET", path, b"", [])

    def ask(self, method: str, target: str, body: bytes, headers: list[tuple[str, str]]) -> Answer:
        """One request over ASGI."""
        answer = Answer()
        path, _, query = target.partition("?")
        chunks = [body[at : at + 5000] for at in range(0, len(body), 5000)] or [b""]

        async def receive() -> dict[str, Any]:
            chunk = chunks.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "root_path": "", "headers": [(k.encode(), v.encode("latin-1")) for k, v in headers],
            "client": None, "server": ("a", 80),
        }  # fmt: skip
        asyncio.run(self.app(scope, receive, send))
        return answer


def basic_header(client_id: str, secret: str) -> str:
    """`Authorization` as RFC 6749 §2.3.1 makes it."""
    return "Basic " + base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()).decode()


async def _run(work: Callable[[], Any]) -> Any:
    return work()


@contextmanager
def offices(url: str, data: Path) -> Iterator[Callable[..., Office]]:
    """Makes offices on the database at `url`, and closes them."""
    made: list[Office] = []
    clock = ManualClock()

    def make(url: str = url, **identity: Any) -> Office:
        made.append(Office(url, data, clock, **identity))
        return made[-1]

    try:
        yield make
    finally:
        for office in made:
            office.close()


def furnish(office: Office) -> Office:
    """One organisation, one project, one client with one secret."""
    office.add_organization("org_a")
    office.add_project("proj_a", "org_a")
    office.add_client()
    office.add_secret()
    return office


def sqlite_at(folder: Path) -> str:
    return sqlite_url(folder / "abyssal.db")
