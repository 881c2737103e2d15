"""A token that has to be fetched: whether it is needed, who fetches it, and who waits meanwhile. No I/O.

Rules:
 1. A token is fresh until shortly before its end; while it is, nobody does anything.
 2. Without a usable token one caller fetches and all others wait for what comes of it.
 3. Near its end one caller fetches, and the others go on with the token that there is.
 4. If a fetch fails, those who waited get the same error. While the old token is still good nobody gets any:
    it is used on, and the next try is some seconds later.
 5. If the one who fetches gives up without a result (cancelled, Ctrl-C), the next in line fetches.
 6. A token that the service refused is not used again, whatever it said about its end.
"""

from __future__ import annotations

import copy
import enum
import threading
from collections.abc import Callable, Mapping

from abyssal.client import defaults
from abyssal.client.answer import Answer
from abyssal.client.request import Endpoint
from abyssal.client.settings import Secret
from abyssal.wire.errors import AbyssalError

Wake = Callable[[AbyssalError | None], None]
"""Called once, from any thread, when a fetch has ended; with its error, or None to look again."""


class Token:
    """A token and its times (`renew_ns`, `end_ns`, Unix nanoseconds). Its `repr` shows neither."""

    __slots__ = ("end_ns", "fields", "renew_ns")

    def __init__(self, fields: Mapping[str, str], renew_ns: int, end_ns: int) -> None:
        self.fields = fields
        self.renew_ns = renew_ns
        self.end_ns = end_ns

    @classmethod
    def lasting(cls, text: str, life: float, unix_ns: int) -> Token:
        """Of a bearer token that is good for `life` seconds from `unix_ns` on."""
        early = min(defaults.RENEW_EARLY, life / 5)
        end_ns = unix_ns + int(life * 1e9)
        return cls({"authorization": f"Bearer {text}"}, end_ns - int(early * 1e9), end_ns)

    def is_fresh(self, unix_ns: int) -> bool:
        return unix_ns < self.renew_ns


class Move(enum.Enum):
    """What a caller is to do now."""

    GO = "go"
    FETCH = "fetch"
    WAIT = "wait"


class Fetching:
    """The token of one client. `endpoint` and `body` make the request that fetches one.

    `read` takes the answer and the time (Unix ns) at which it was asked for; it raises what is wrong with it.
    """

    def __init__(self, endpoint: Endpoint, body: Secret, read: Callable[[Answer, int], Token]) -> None:
        self.endpoint = endpoint
        self.body = body
        self._read = read
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._under_way = False
        self._waiting: list[Wake] = []
        self._not_before_ns = 0

    @property
    def fields(self) -> Mapping[str, str]:
        """The token as header fields; empty if there never was one."""
        return {} if self._token is None else self._token.fields

    def is_fresh(self, unix_ns: int) -> bool:
        """Whether nothing is to be done, by rule 1."""
        token = self._token
        return token is not None and unix_ns < token.renew_ns

    def join(self, unix_ns: int, wake: Wake) -> Move:
        """What to do. FETCH: end it with `take` or `give_up`. WAIT: `wake` will be called; else `leave`."""
        with self._lock:
            token = self._token
            if (
                token is not None
                and unix_ns < token.end_ns
                and (self._under_way or unix_ns < max(token.renew_ns, self._not_before_ns))
            ):
                return Move.GO
            if self._under_way:
                self._waiting.append(wake)
                return Move.WAIT
            self._under_way = True
            return Move.FETCH

    def leave(self, wake: Wake) -> None:
        """Who waited does so no longer. Any number of times."""
        with self._lock:
            if wake in self._waiting:
                self._waiting.remove(wake)

    def take(self, answer: Answer, unix_ns: int) -> None:
        """What was asked for at `unix_ns` has come. Raises what is wrong with it; then `give_up`."""
        self._token = self._read(answer, unix_ns)
        self._end(None)

    def give_up(self, error: AbyssalError | None, unix_ns: int) -> bool:
        """The fetch failed with `error`, None if it was broken off. Whether the caller is to raise it."""
        token = self._token
        usable = token is not None and unix_ns < token.end_ns
        if usable:
            self._not_before_ns = unix_ns + int(defaults.RENEW_PAUSE * 1e9)
        self._end(None if usable else error)
        return not usable

    def refuse(self, fields: Mapping[str, str]) -> None:
        """The service did not take the token that gave `fields`; a newer one is left as it is."""
        with self._lock:
            token = self._token
            if token is not None and token.fields is fields:
                self._token = Token(fields, 0, 0)

    def _end(self, error: AbyssalError | None) -> None:
        with self._lock:
            self._under_way = False
            waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake(copy.copy(error))  # a raised error collects a traceback and notes of its own
