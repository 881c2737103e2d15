"""Blocking calls that Ctrl-C can end, although they wait in code that does not look at signals.

Python runs signal handlers in the main thread only, and only between its own instructions. So on the main
thread such a call is made by another thread, and the main thread waits in a way that a signal ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class SideThread:
    """One thread, started when first needed, for the calls of the main thread, one after the other."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], Any] | None] | None = None
        self._results: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def run(self, call: Callable[[], T]) -> T:
        """The result of `call`. If a signal handler raises meanwhile, `call` is left to end by itself."""
        if threading.current_thread() is not threading.main_thread():
            return call()
        if self._calls is None:
            self._calls = SimpleQueue()
            threading.Thread(
                target=_work, args=(self._calls, self._results), name="abyssal-calls", daemon=True
            ).start()
        self._calls.put(call)
        try:
            result, error = self._results.get()
        except BaseException:
            self.close()  # its thread is busy with a call whose result nobody wants any more
            self._results = SimpleQueue()
            raise
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """Ends the thread after the call that it is at."""
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None


def _work(
    calls: SimpleQueue[Callable[[], Any] | None], results: SimpleQueue[tuple[Any, BaseException | None]]
) -> None:
    while (call := calls.get()) is not None:
        try:
            results.put((call(), None))
        except BaseException as error:  # noqa: BLE001 - it is raised again where the call was asked for
            results.put((None, error))
