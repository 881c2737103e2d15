"""`abyssal keys`: API keys."""

from __future__ import annotations

from abyssal.cli.credential_commands import add_create_rotate, add_list_show_edit_revoke, command_group
from abyssal.cli.finding import Noun

KEY = Noun("key", "keys", "keys", "/keys", ended="revoked_at")

keys = command_group("Make, list, change, rotate and revoke API keys.")
add_create_rotate(keys, KEY, "key")
add_list_show_edit_revoke(keys, KEY)
