"""Two nodes on one PostgreSQL and one Redis: what changes on one is in force on the other within a second."""

from __future__ import annotations

import secrets
import time
import tomllib
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, func, select, text, update
from tests.services.postgres import PostgresCluster
from tests.services.redis import RedisServer
from tests.system.calls import wait_for
from tests.system.identities import Identities, jwt

from abyssal.stores.sql.database import open_database
from abyssal.stores.sql.revision import next_revision
from abyssal.stores.sql.schema import credentials
from abyssal.testing import RunningServer

MODELS = "/v1/models"
CALL = b'{"model":"deepseek-chat","messages":[{"role":"user","content":"Hi"}],"max_tokens":1}'


@pytest.fixture(scope="module")
def nodes(
    postgres: PostgresCluster, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Identities, Identities]]:
    """Both started at the same moment, on an empty database."""
    shared = tmp_path_factory.mktemp("replicas")
    database = f"replicas_{secrets.token_hex(4)}"
    postgres.execute(f"CREATE DATABASE {database}")
    config = (
        f'[stores]\ndatabase_url = "{postgres.url(database)}"\nredis_url = "{redis_server.url}"\n'
        f'[identity]\nissuer = "https://platform.test"\nmaster_key = {{ file = "{shared / "master.key"}" }}\n'
        "failures_per_address = 100000\nfailures_per_key = 100000\n"  # who asks again and again is not braked
    )
    key = {"ABYSSAL_API_KEY": f"sk-test-{secrets.token_urlsafe(24)}"}
    with (
        RunningServer(config, shared / "a", environ=key) as one,
        RunningServer(config, shared / "b", environ=key) as other,
    ):
        first = Identities(one)
        second = Identities.__new__(Identities)
        vars(second).update(vars(first) | {"server": other})
        yield first, second


@pytest.fixture
def database(nodes: tuple[Identities, Identities]) -> Iterator[Engine]:
    """The nodes' database, for a third party."""
    config = tomllib.loads((nodes[0].server.data / "test-config.toml").read_text())
    engine = open_database(config["stores"]["database_url"])
    yield engine
    engine.dispose()


def within_a_second(status: Callable[[], int], expected: int) -> None:
    began = time.monotonic()
    wait_for(lambda: status() == expected, f"status {expected}", 3.0)
    assert time.monotonic() - began < 1.0


def status(node: Identities, token: str) -> int:
    return node.send("GET", MODELS, {"Authorization": f"Bearer {token}"}).status


def test_a_new_key_and_its_end(nodes: tuple[Identities, Identities]) -> None:
    one, other = nodes
    key = one.create("keys")
    assert status(one, key["secret"]) == 200, "in force where it was made, before the answer"
    within_a_second(lambda: status(other, key["secret"]), 200)
    assert other.manage("DELETE", f"keys/{key['id']}").status == 200
    assert status(other, key["secret"]) == 401
    within_a_second(lambda: status(one, key["secret"]), 401)


def test_a_narrower_project(nodes: tuple[Identities, Identities]) -> None:
    one, other = nodes
    project = one.create("projects")
    key = one.create("keys", project=project["id"])
    within_a_second(lambda: status(other, key["secret"]), 200)
    assert one.manage("PATCH", f"projects/{project['id']}", {"networks": ["192.0.2.0/24"]}).status == 200
    within_a_second(lambda: status(other, key["secret"]), 401)


def test_tokens(nodes: tuple[Identities, Identities]) -> None:
    one, other = nodes
    client = {"client_id": one.client["id"], "client_secret": one.client["secret"]}
    token = one.token()
    within_a_second(lambda: status(other, token), 200)
    assert other.form("/oauth/introspect", client | {"token": token}).json()["active"] is True
    assert other.form("/oauth/revoke", client | {"token": token}).status == 200
    assert status(other, token) == 401
    within_a_second(lambda: status(one, token), 401)
    own = jwt(one.claims(), one.client["secret"].encode())
    assert (status(one, own), status(other, own)) == (200, 200)


def test_an_ended_key_does_not_wait_for_a_journal(
    nodes: tuple[Identities, Identities], database: Engine
) -> None:
    key = nodes[0].create("keys")
    for node in nodes:
        within_a_second(lambda node=node: status(node, key["secret"]), 200)
    waiting = (
        select(func.count()).select_from(text("pg_stat_activity")).where(text("wait_event_type = 'Lock'"))
    )
    with database.connect() as holder, holder.begin():
        holder.execute(text("LOCK TABLE usage IN ACCESS EXCLUSIVE MODE"))
        for node in nodes:
            node.send("POST", "/v1/chat/completions", {"Authorization": f"Bearer {key['secret']}"}, CALL)
        with database.connect().execution_options(isolation_level="AUTOCOMMIT") as asking:
            wait_for(lambda: asking.execute(waiting).scalar_one() == 2, "journals that wait")
        with database.begin() as connection:
            change = update(credentials).where(credentials.c.id == key["id"])
            connection.execute(change.values(revoked_at=1, revision=next_revision(connection)))
        for node in nodes:
            within_a_second(lambda node=node: status(node, key["secret"]), 401)


def test_a_nonce_is_good_once_on_both(nodes: tuple[Identities, Identities]) -> None:
    one, other = nodes
    headers = one.signed("GET", MODELS)
    within_a_second(lambda: other.send("GET", MODELS, other.signed("GET", MODELS)).status, 200)
    assert one.send("GET", MODELS, headers).status == 200
    assert other.send("GET", MODELS, headers).status == 401


def test_calls_go_on_while_the_database_is_away(
    nodes: tuple[Identities, Identities], postgres: PostgresCluster
) -> None:
    one, other = nodes
    postgres.stop()
    try:
        for node in nodes:
            assert status(node, node.server.api_key) == 200
            answer = node.manage("POST", "keys", {"name": "now"})
            assert (answer.status, answer.json()["error"]["code"]) == (503, "store_unavailable")
            assert answer.header("retry-after")
            metrics = node.send("GET", "/metrics", {"Authorization": f"Bearer {node.server.api_key}"})
            assert metrics.status == 200
            assert b"abyssal_" in metrics.body
            assert status(node, node.server.api_key) == 200
    finally:
        postgres.start()
    made = wait_for(lambda: one.manage("POST", "keys", {"name": "after"}).json().get("secret"), "a key", 10.0)
    wait_for(lambda: status(other, made) == 200, "the key on the other node", 10.0)
