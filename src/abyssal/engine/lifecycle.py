"""When an engine is started again, replaced or given up on for a while: decisions over time, no I/O.

1. A spawned engine is *starting*. It is *ready* from its first good health check on.
2. An engine that loads its model answers checks with "loading": it has all the time it needs.
3. A starting engine that says nothing at all for `start_patience` seconds is hung.
4. A ready engine that misses `missed_checks` checks in a row is hung.
5. A hung engine is killed, and is then an engine that exited.
6. An engine that exited is in *backoff*: it is spawned again after `first_wait` seconds, and after twice
   the last wait each further time, at most `longest_wait`.
7. `reset_after` seconds of unbroken readiness forget the failures before.
8. An exit that says "as things are I cannot work" (no such file, not a model) is *failed*: spawned again
   each `failed_wait` seconds, since a person may put the file right.
9. *Stopped* is where an engine is before its start and after its close.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class State(StrEnum):
    """Where an engine is in its life."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    FAILED = "failed"


class Event(StrEnum):
    """What can happen to it."""

    SPAWNED = "spawned"
    HEALTHY = "healthy"
    EXITED = "exited"
    REFUSED = "refused"
    CLOSED = "closed"


class Health(StrEnum):
    """What a health check found."""

    OK = "ok"
    LOADING = "loading"
    SILENT = "silent"


NEXT: dict[tuple[State, Event], State] = {
    (State.STOPPED, Event.SPAWNED): State.STARTING,
    (State.BACKOFF, Event.SPAWNED): State.STARTING,
    (State.FAILED, Event.SPAWNED): State.STARTING,
    (State.STARTING, Event.HEALTHY): State.READY,
    (State.READY, Event.HEALTHY): State.READY,
    (State.STARTING, Event.EXITED): State.BACKOFF,
    (State.READY, Event.EXITED): State.BACKOFF,
    (State.STARTING, Event.REFUSED): State.FAILED,
    (State.READY, Event.REFUSED): State.FAILED,
    (State.STOPPED, Event.CLOSED): State.STOPPED,
    (State.STARTING, Event.CLOSED): State.STOPPED,
    (State.READY, Event.CLOSED): State.STOPPED,
    (State.BACKOFF, Event.CLOSED): State.STOPPED,
    (State.FAILED, Event.CLOSED): State.STOPPED,
}


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of the rules above; all but `missed_checks` in seconds."""

    first_wait: float = 0.5
    longest_wait: float = 30.0
    failed_wait: float = 30.0
    reset_after: float = 60.0
    start_patience: float = 30.0
    check_interval: float = 2.0
    check_timeout: float = 3.0
    missed_checks: int = 3
    stop_grace: float = 2.0


class Lifecycle:
    """One engine's life. `now` is in seconds and never goes back."""

    def __init__(self, rules: Rules, now: float) -> None:
        self.rules = rules
        self.state = State.STOPPED
        self.spawns = 0
        self._failures = 0
        self._missed = 0
        self._spawned_at = now
        self._heard_at = now
        self._ready_at = now

    def spawned(self, now: float) -> None:
        """A process was started, or is about to be."""
        self._move(Event.SPAWNED)
        self.spawns += 1
        self._missed = 0
        self._spawned_at = self._heard_at = now

    def checked(self, health: Health, now: float) -> bool:
        """A health check came back. True when the engine is hung and must be killed."""
        if health is Health.SILENT:
            self._missed += 1
            if self.state is State.READY:
                return self._missed >= self.rules.missed_checks
            return now - self._heard_at >= self.rules.start_patience
        self._missed = 0
        self._heard_at = now
        if health is Health.OK:
            if self.state is State.STARTING:
                self._ready_at = now
            self._move(Event.HEALTHY)
        return False

    def exited(self, now: float, *, refused: bool) -> float:
        """The process is gone; `refused` when it said that it cannot work. Gives the seconds to wait
        before the next."""
        if self.state is State.READY and now - self._ready_at >= self.rules.reset_after:
            self._failures = 0
        self._move(Event.REFUSED if refused else Event.EXITED)
        if refused:
            return self.rules.failed_wait
        wait = self.rules.first_wait * 2.0 ** min(self._failures, 64)
        self._failures += 1
        return min(wait, self.rules.longest_wait)

    def closed(self) -> None:
        """It was asked to stop, and is gone."""
        self._move(Event.CLOSED)

    def next_check(self, now: float) -> float:
        """Seconds until the next health check.

        A starting engine is asked often at first and ever less: the wait is a tenth of the time it took
        so far, so that a model of a second is not found ready a second late, nor one of an hour asked
        a million times.
        """
        if self.state is State.READY:
            return self.rules.check_interval
        return min(max((now - self._spawned_at) / 10, 0.02), self.rules.check_interval)

    def _move(self, event: Event) -> None:
        self.state = NEXT[self.state, event]
