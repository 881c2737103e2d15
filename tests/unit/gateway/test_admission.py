"""Caps on calls at once, per key and for the process."""

from __future__ import annotations

import pytest

from abyssal.gateway.admission.concurrency import ConcurrencyCaps
from abyssal.gateway.exchange import Exchange, RequestHead
from abyssal.gateway.principal import Credential, Project
from abyssal.stores.snapshot import CredentialRecord
from abyssal.wire.errors import RateLimitError, UnavailableError

from .messages import KEY, OTHER_KEY, chat
from .stage import CONFIG, PROJECT, Stage


def exchange(key: str) -> Exchange:
    one = Exchange("id", None, RequestHead())  # type: ignore[arg-type]
    record = CredentialRecord(key, "api_key", PROJECT.id, "", 0, None, None, 0)
    one.principal = Credential(record, Project(PROJECT)).principal
    return one


def test_a_key_s_cap() -> None:
    caps = ConcurrencyCaps(total=100, per_key=2)
    first, second, third = exchange("a"), exchange("a"), exchange("a")
    caps.admit(first)
    caps.admit(second)
    with pytest.raises(RateLimitError, match="Your current concurrency is 2") as refusal:
        caps.admit(third)
    assert (refusal.value.status_code, refusal.value.code) == (429, "concurrency_exceeded")
    assert refusal.value.retry_after == 1
    caps.admit(exchange("b"))
    caps.release(first)
    caps.admit(third)
    assert caps.in_flight == 3


def test_the_process_s_cap_is_the_platform_s_trouble() -> None:
    caps = ConcurrencyCaps(total=2, per_key=2)
    caps.admit(exchange("a"))
    caps.admit(exchange("b"))
    with pytest.raises(UnavailableError) as refusal:
        caps.admit(exchange("c"))
    assert (refusal.value.status_code, refusal.value.code) == (503, "overloaded")


def test_a_place_is_given_back_once() -> None:
    caps = ConcurrencyCaps(total=5, per_key=5)
    one, other = exchange("a"), exchange("a")
    caps.admit(one)
    caps.admit(other)
    caps.release(one)
    caps.release(one)
    caps.release(exchange("never admitted"))
    assert caps.in_flight == 1
    caps.release(other)
    assert caps.in_flight == 0


def test_idle_keys_are_not_remembered() -> None:
    caps = ConcurrencyCaps(total=5, per_key=5)
    for number in range(1000):
        one = exchange(str(number))
        caps.admit(one)
        caps.release(one)
    assert caps._by_key == {}


def test_over_the_wire(make_stage: object) -> None:
    limits = "[limits]\nconcurrency = 3\nconcurrency_per_key = 2\n"
    stage: Stage = make_stage(limits + CONFIG.format(kind="openai"))  # type: ignore[operator]
    other = chat().replace(KEY.encode(), OTHER_KEY.encode())
    first, second, third = (stage.client().ask() for _ in range(3))
    assert third.answer().status == 429
    assert third.answer().header("retry-after") == "1"
    fourth, fifth = stage.client().send(other), stage.client().send(other)
    assert fifth.answer().status == 503
    for connection in stage.server.connections:
        connection.answer()
    assert [client.answer().status for client in (first, second, fourth)] == [200, 200, 200]
    third.ask()
    stage.server.last.answer()
    assert third.answers()[1].status == 200
    assert [(record.status, record.code) for record in stage.refused] == [
        (429, "concurrency_exceeded"),
        (503, "overloaded"),
    ]
    assert [record.key_id for record in stage.refused] == ["key_1", "key_2"]
