"""`abyssal clients`: OAuth clients, which also sign JWTs."""

from __future__ import annotations

from abyssal.cli.credential_commands import add_create_rotate, add_list_show_edit_revoke, command_group
from abyssal.cli.finding import Noun

CLIENT = Noun("client", "clients", "clients", "/clients", ended="revoked_at")

clients = command_group("Make, list, change, rotate and revoke OAuth clients.")
add_create_rotate(clients, CLIENT, "secret")
add_list_show_edit_revoke(clients, CLIENT)
