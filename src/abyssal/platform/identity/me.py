"""Who the caller is, as they may want to know."""

from __future__ import annotations

from abyssal.platform.identity.objects import CallerObject, caller_object
from abyssal.platform.identity.rules import Located
from abyssal.platform.identity.transaction import Transaction


def show_caller(turn: Transaction) -> CallerObject:
    """The credential that asks, whose and where it is, and what its proof allows."""
    caller = turn.caller
    turn.allow(Located(caller.organization, caller.project, caller.user))
    return caller_object(caller)
