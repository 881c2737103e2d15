"""Whether to try again, and when: decisions from values, with the time and the dice handed in.

Rules:
 1. Connection faults and the statuses 408, 409, 429 and 5xx may be tried again, `max_retries` times.
 2. Each retry takes one token from the client's budget. A call pays a part of a token in, so when much
    fails, retries stay a fixed share of the calls and do not bury a service that is already down.
 3. What the answer asked for (`retry-after-ms`, `Retry-After`: seconds or an HTTP date, RFC 9110 section
    10.2.3) is waited for, up to a limit; beyond it the error is raised at once.
 4. Otherwise the wait is drawn evenly from zero to a bound that doubles each time ("full jitter"), so
    that clients which failed together do not return together.
 5. A call that leaves something behind at the service (a turn of a conversation, a file) is tried again after
    a connection fault only if nothing of it can have arrived (`core.Call`).
 6. No wait goes over the call's total time. Nothing is tried again once a byte of a stream has been seen.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import msgspec

from abyssal.client import defaults
from abyssal.wire.errors import AbyssalError, ApiConnectionError, ApiError


class RetryBudget:
    """A token bucket that calls fill and retries empty. Shared by all threads of a client."""

    def __init__(
        self, per_call: float = defaults.BUDGET_PER_CALL, burst: float = defaults.BUDGET_BURST
    ) -> None:
        self._per_call = per_call
        self._burst = burst
        self._tokens = burst
        self._lock = threading.Lock()

    def pay_in(self) -> None:
        """A call begins."""
        if self._tokens < self._burst:
            with self._lock:
                self._tokens = min(self._burst, self._tokens + self._per_call)

    def take_nowait(self) -> bool:
        """Whether a retry may be made; if so it is paid for."""
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often and how long. Seconds."""

    max_retries: int = defaults.MAX_RETRIES
    first_wait: float = defaults.FIRST_WAIT
    longest_wait: float = defaults.LONGEST_WAIT
    longest_retry_after: float = defaults.LONGEST_RETRY_AFTER


class Attempts:
    """One call's attempts so far. `deadline` is a monotonic time in seconds, None without a limit."""

    __slots__ = ("_budget", "_made", "_policy", "deadline")

    def __init__(self, policy: RetryPolicy, budget: RetryBudget, deadline: float | None) -> None:
        budget.pay_in()
        self._policy = policy
        self._budget = budget
        self._made = 0
        self.deadline = deadline

    def seconds_until_retry(self, error: AbyssalError, now: float, dice: Callable[[], float]) -> float | None:
        """How long to wait before the next attempt; None if `error` is to be raised, with a note saying why.

        `now` is a monotonic time in seconds, `dice` gives numbers from 0 up to 1.
        """
        policy = self._policy
        if not is_retryable(error) or self._made >= policy.max_retries:
            return None
        asked = error.retry_after if isinstance(error, ApiError) else None
        if asked is not None and asked > policy.longest_retry_after:
            error.add_note(
                f"Not tried again: the answer asks for {asked:g} s, and at most "
                f"{policy.longest_retry_after:g} s are waited for."
            )
            return None
        bound = min(policy.longest_wait, policy.first_wait * 2**self._made)
        wait = asked or bound * dice()
        if self.deadline is not None and now + wait >= self.deadline:
            error.add_note("Not tried again: the call's total time would be over.")
            return None
        if not self._budget.take_nowait():
            error.add_note("Not tried again: too many calls of this client failed lately (retry budget).")
            return None
        self._made += 1
        return wait


def is_retryable(error: AbyssalError) -> bool:
    """Whether another attempt may help, by rule 1."""
    if isinstance(error, ApiError):
        return error.status_code in defaults.RETRIED_STATUSES or error.status_code >= 500
    return isinstance(error, ApiConnectionError) and error.retryable


def retry_after_seconds(headers: Mapping[str, str], unix_now: float) -> float | None:
    """How long the answer with these headers (lower-case names) asks to wait; None if it names no time.

    A time that has passed is 0. What cannot be read is as if it were not there.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if value is None:
        return None
    seconds = _number(value)
    if seconds is not None:
        return seconds
    from email.utils import parsedate_to_datetime  # 20 ms to import, and seldom needed

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - unix_now)
    except (TypeError, ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    """A decimal number that is not negative."""
    if text is None or not text.replace(".", "", 1).isdigit() or not text.isascii():
        return None
    return float(text)
