"""When a resumable stream that was cut is asked for again. Decisions from values; the shells wait and ask.

Rules:
 1. A stream goes on after the last event that came, if it was asked for as resumable and has told an id.
 2. After a cut that followed a new event it is asked for at once. After one that followed none, the retry
    policy says how long to wait, and how often in a row.
 3. What the service answers to that is final where another attempt does not help: a stream that is not there
    any more was cut, for good.
 4. Whoever closes a resumable stream before its end tells the service, which would else go on for a while.

Source: the platform's API, "Resuming streams".
"""

from __future__ import annotations

from collections.abc import Callable

from abyssal.client.retry import Attempts, RetryBudget, RetryPolicy
from abyssal.wire.errors import AbyssalError, ApiConnectionError, StreamInterruptedError

RESUMABLE = "x-abyssal-resumable"
FIRST_ID = "x-abyssal-event-id"
LAST_ID = "last-event-id"

GIVE_UP_WITHIN = 2.0  # seconds; telling the service that a stream was closed is a courtesy


class Resumption:
    """One stream's cuts so far."""

    __slots__ = ("_attempts", "_budget", "_last_id", "_policy")

    def __init__(self, policy: RetryPolicy, budget: RetryBudget) -> None:
        self._policy = policy
        self._budget = budget
        self._attempts: Attempts | None = None
        self._last_id = ""

    def seconds_until_next(self, last_id: str, now: float, dice: Callable[[], float]) -> float | None:
        """How long to wait before the stream is asked for again; None when it is not, by the rules.

        `last_id` is the id of the last event that came, "" if none did; the others as for `retry.Attempts`.
        """
        if not last_id:
            return None
        if self._attempts is None or last_id != self._last_id:
            self._last_id = last_id
            self._attempts = Attempts(self._policy, self._budget, None)
            return 0.0 if self._policy.max_retries else None
        return self._attempts.seconds_until_retry(ApiConnectionError("cut"), now, dice)


def lost_for_good(cut: AbyssalError, error: AbyssalError) -> StreamInterruptedError:
    """What to raise when a stream that was cut could not be resumed because of `error`."""
    lost = StreamInterruptedError(f"{cut.message} Resuming it failed: {error.message}")
    lost.__cause__ = error
    return lost
