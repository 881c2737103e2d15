"""`abyssal signing-keys`: keys that requests are signed with (HMAC)."""

from __future__ import annotations

from abyssal.cli.credential_commands import add_create_rotate, add_list_show_edit_revoke, command_group
from abyssal.cli.finding import Noun

SIGNING_KEY = Noun("signing key", "signing keys", "signing-keys", "/signing-keys", ended="revoked_at")

signing_keys = command_group("Make, list, change, rotate and revoke keys that sign requests (HMAC).")
add_create_rotate(signing_keys, SIGNING_KEY, "secret")
add_list_show_edit_revoke(signing_keys, SIGNING_KEY)
