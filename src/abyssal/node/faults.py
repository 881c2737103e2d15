"""What can go wrong between the node's parts."""

from __future__ import annotations


class StoreUnavailableError(Exception):
    """The database or the journal's directory cannot be used now; nothing is lost, trying again may help."""
