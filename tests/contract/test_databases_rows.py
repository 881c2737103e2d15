"""What the journal brings is kept once, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError

from abyssal.stores.records import Settled
from abyssal.stores.sql.database import open_database
from abyssal.stores.sql.refusals import RefusalStore
from abyssal.stores.sql.schema import refusals, usage
from abyssal.stores.sql.usage import UsageStore, UsageTotal


@pytest.fixture
def engine(each_database: str) -> Iterator[Engine]:
    engine = open_database(each_database, one_connection=True)
    yield engine
    engine.dispose()


def settled(call: str, model: str = "m", tokens: int = 3) -> Settled:
    return Settled(call, 1, "k", model, "up", True, 200, "", tokens, 2, 1, 0, True, 10, 20)


def refused(identity: str, address: str = "127.0.0.1") -> tuple[str, int, str, str, str, str]:
    return (identity, 7, address, "api_key", "unknown", "")


def test_a_row_of_usage_is_taken_once(engine: Engine) -> None:
    store = UsageStore(engine)
    store.add([settled("a"), settled("b", tokens=10), settled("c", "other")])
    store.add([settled("a", tokens=999), settled("d"), settled("d", tokens=5)])
    store.add([])
    assert store.totals() == [UsageTotal("m", 3, 16, 6), UsageTotal("other", 1, 3, 2)]


def test_totals_are_whole_numbers_in_one_order_everywhere(engine: Engine) -> None:
    store = UsageStore(engine)
    store.add([settled(str(place), model) for place, model in enumerate(["b", "A", "é", "a", "a-b", "ab"])])
    totals = store.totals()
    assert [total.model for total in totals] == ["A", "a", "a-b", "ab", "b", "é"]
    assert {type(total.prompt_tokens) for total in totals} == {int}


def test_columns_are_the_record_s_fields_in_its_order(engine: Engine) -> None:
    assert [column.name for column in usage.columns] == list(Settled.__struct_fields__)
    UsageStore(engine).add([settled("a")])
    with engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM usage")).mappings().one()
    assert (row["prompt_tokens"], row["total_us"], bool(row["stream"])) == (3, 20, True)


def test_the_largest_numbers_that_a_record_may_hold(engine: Engine) -> None:
    store = UsageStore(engine)
    store.add([settled("a", tokens=2**48), settled("b", tokens=2**48)])
    assert store.totals()[0].prompt_tokens == 2**49


def test_many_rows_at_once(engine: Engine) -> None:
    store = UsageStore(engine)
    store.add([settled(str(number)) for number in range(2000)])
    store.add([settled(str(number)) for number in range(1000, 3000)])
    assert store.totals() == [UsageTotal("m", 3000, 9000, 6000)]


def test_a_refusal_is_taken_once(engine: Engine) -> None:
    store = RefusalStore(engine)
    store.add([refused("a"), refused("b", "::1")])
    store.add([refused("b", "10.0.0.1"), refused("c")])
    store.add([])
    with engine.connect() as connection:
        rows = connection.execute(select(refusals).order_by(refusals.c.id)).all()
    assert [(row.id, row.address) for row in rows] == [("a", "127.0.0.1"), ("b", "::1"), ("c", "127.0.0.1")]
    assert tuple(rows[0]) == refused("a")


@pytest.mark.parametrize("model", ["with \0 in it", "long" * 100])
def test_a_text_that_does_not_fit_keeps_no_other_row_from_moving(engine: Engine, model: str) -> None:
    store = UsageStore(engine)
    store.add([settled("a"), settled("odd", model), settled("b")])
    store.add([settled("odd", model)])
    assert sum(total.calls for total in store.totals()) == 3
    with engine.connect() as connection:
        kept = connection.execute(select(usage.c.model).where(usage.c.id == "odd")).scalar_one()
    assert kept[:4] == model[:4]


def test_rows_that_were_not_taken_are_not_half_there(engine: Engine) -> None:
    store = UsageStore(engine)
    beyond = settled("b", tokens=2**70)
    with pytest.raises((DBAPIError, OverflowError)):
        store.add([settled("a"), beyond])
    assert store.totals() == []
    store.add([settled("a")])
    assert len(store.totals()) == 1
