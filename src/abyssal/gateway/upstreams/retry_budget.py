"""How many calls may be sent to an upstream a second time: a share of those that are sent at all. Pure.

Without a bound, an upstream in trouble would get twice the load, just then.
"""

from __future__ import annotations

_SHARE = 0.1
_MOST = 10.0


class RetryBudget:
    """A call adds a tenth of a retry, up to ten; a retry takes one."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _MOST

    def call(self) -> None:
        """A call is sent that may have to be sent again."""
        self._left = min(_MOST, self._left + _SHARE)

    def take(self) -> bool:
        """Whether one more retry is within the budget, which it takes."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
