"""The memory of what assistants thought: whose it is, how long it lasts, how large it grows."""

from __future__ import annotations

from abyssal.gateway.repairs.reasoning_memory import ReasoningMemory


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_it_is_the_tenants_own() -> None:
    memory = ReasoningMemory(Time())
    memory.remember("proj_1", b"turn", "hm")
    assert memory.recall("proj_1", b"turn") == "hm"
    assert memory.recall("proj_2", b"turn") is None
    assert memory.recall("proj_1", b"other") is None


def test_what_one_worker_is_to_remember_another_hears_and_does_not_pass_on() -> None:
    told: list[tuple[str, bytes, bytes]] = []
    other = ReasoningMemory(Time(), lambda *thought: told.append(thought))
    one = ReasoningMemory(Time(), other.hear, most_bytes_each=8)
    one.remember("proj_1", b"turn", "ä\ud800")
    one.remember("proj_1", b"long", "123456789")
    assert other.recall("proj_1", b"turn") == "ä\ud800"
    assert (len(other), told) == (1, [])


def test_it_lasts_as_long_as_it_is_used() -> None:
    time = Time()
    memory = ReasoningMemory(time, lifetime=10)
    memory.remember("p", b"turn", "hm")
    for _ in range(3):
        time.now += 9
        assert memory.recall("p", b"turn") == "hm"
    time.now += 10
    assert memory.recall("p", b"turn") is None
    assert (len(memory), memory.bytes) == (0, 0)


def test_what_is_old_makes_room_without_being_asked_for() -> None:
    time = Time()
    memory = ReasoningMemory(time, lifetime=10)
    for at in range(100):
        memory.remember("p", b"%d" % at, "hm")
    time.now += 11
    memory.remember("p", b"new", "hm")
    assert (len(memory), memory.bytes) == (1, 2)


def test_the_longest_unused_goes_first() -> None:
    memory = ReasoningMemory(Time(), most_entries=2)
    memory.remember("p", b"a", "A")
    memory.remember("p", b"b", "B")
    assert memory.recall("p", b"a") == "A"
    memory.remember("p", b"c", "C")
    assert [memory.recall("p", key) for key in (b"a", b"b", b"c")] == ["A", None, "C"]


def test_it_never_holds_more_bytes_than_it_may() -> None:
    memory = ReasoningMemory(Time(), most_bytes=100, most_bytes_each=60)
    for at in range(50):
        memory.remember("p", b"%d" % at, "想" * 15)
        assert memory.bytes <= 100
    assert len(memory) == 2
    memory.remember("p", b"49", "想" * 5)
    assert memory.bytes == 60
    memory.remember("p", b"large", "x" * 61)
    assert memory.recall("p", b"large") is None
    assert len(memory) == 2


def test_any_text_comes_back_as_it_was() -> None:
    memory = ReasoningMemory(Time())
    for text in ("想", "\ud800 alone", "\0", "🙂"):
        memory.remember("p", b"turn", text)
        assert memory.recall("p", b"turn") == text
