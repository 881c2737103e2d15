"""What the authorization server stores, on SQLite and on PostgreSQL: a token's life, and replicas that race."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from abyssal.stores.sql.schema import revoked_tokens, token_keys
from abyssal.stores.sql.tokens import read_token_keys

from .office import CLIENT, DAY, NS, OTHER_SECRET, SECRET, Answer, Office, furnish, offices, sqlite_at


@pytest.fixture(params=["sqlite", "postgresql"])
def replica(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Office]]:
    """Makes replicas on one database; the first brings its furniture."""
    postgresql = request.param == "postgresql"
    url: str = request.getfixturevalue("postgres_database") if postgresql else sqlite_at(tmp_path)
    with offices(url, tmp_path) as make:
        furnish(make())
        yield make


def at_once(work: list[Callable[[], object]]) -> list[object]:
    """What each of `work` gives, each on a thread of its own."""
    barrier = threading.Barrier(len(work))
    results: list[object] = [None] * len(work)

    def go(number: int) -> None:
        barrier.wait()
        results[number] = work[number]()

    threads = [threading.Thread(target=go, args=(number,)) for number in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_tokens_life(replica: Callable[[], Office]) -> None:
    office, other = replica(), replica()
    token = office.token(scope="chat").json["access_token"]
    assert other.introspect(token).json["scope"] == "chat"
    assert other.revoke(token).status == 200
    assert not office.is_active(token)
    with office.engine.connect() as connection:
        (row,) = connection.execute(select(revoked_tokens)).all()
    assert (row.expires_at, row.revision) == ((office.now_s() + 3600) * NS, office.revision())
    office.clock.advance(27 * 3600 + 1)
    office.rotate()
    with office.engine.connect() as connection:
        assert connection.execute(select(revoked_tokens)).all() == []


def test_strangers_and_odd_names(replica: Callable[[], Office]) -> None:
    office = replica()
    for name in ("client_00", "' OR 1=1 --", "\0", "\ud800", "é", "x" * 5000, "client_%", ""):
        encoded = name.encode("utf-8", "surrogatepass").decode("latin-1")
        answer = office.post(
            "/oauth/token",
            {"grant_type": "client_credentials", "client_id": encoded, "client_secret": SECRET},
        )
        assert (answer.status, answer.error) == (401, "invalid_client"), name
    assert office.token("wrong\0").status == 401
    assert office.token().status == 200


def test_two_live_secrets(replica: Callable[[], Office]) -> None:
    office = replica()
    office.add_secret(OTHER_SECRET)
    assert (office.token(SECRET).status, office.token(OTHER_SECRET).status) == (200, 200)


def test_one_replica_rotates_when_all_want_to(replica: Callable[[], Office]) -> None:
    crowd = [replica() for _ in range(5)]
    for advance, keys in ((0, 1), (29 * DAY, 2), (30 * DAY, 2)):
        crowd[0].clock.advance(advance)
        changed = at_once([office.rotate for office in crowd])
        assert sorted(map(bool, changed)) == [False] * 4 + [True]
        assert len(crowd[0].key_ids()) == keys
    with crowd[0].engine.connect() as connection:
        revisions = list(connection.execute(select(token_keys.c.revision)).scalars())
        assert all(key.sealed for key in read_token_keys(connection))
    assert len(set(revisions)) == 1


def test_first_tokens_everywhere_at_once_share_a_key(replica: Callable[[], Office]) -> None:
    crowd = [replica() for _ in range(5)]
    answers = at_once([office.token for office in crowd])
    assert len(crowd[0].key_ids()) == 1
    for answer in answers:
        assert isinstance(answer, Answer)
        assert crowd[0].is_active(answer.json["access_token"])
    assert all(office.in_force_at for office in crowd)


def test_a_token_that_all_revoke_at_once(replica: Callable[[], Office]) -> None:
    crowd = [replica() for _ in range(5)]
    token = crowd[0].token(client_id=CLIENT).json["access_token"]
    answers = at_once([lambda office=office: office.revoke(token).status for office in crowd])
    assert answers == [200] * 5
    with crowd[0].engine.connect() as connection:
        assert len(connection.execute(select(revoked_tokens)).all()) == 1
