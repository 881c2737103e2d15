"""How much is held of what a client does not read: in the transport, and unsent in the kernel."""

from __future__ import annotations

import socket
from typing import Any

HOLD_BYTES = 256 * 1024

_TCP_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_NOTSENT_LOWAT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # Linux and macOS


def hold(transport: Any, most: int | None) -> None:
    """Let `transport` hold about `most` bytes before its protocol is paused, and the kernel as many unsent.

    None: the usual. The kernel would take megabytes (tcp(7), TCP_NOTSENT_LOWAT), which are lost with the
    connection.
    """
    if transport.is_closing():
        return
    high = most or HOLD_BYTES
    transport.set_write_buffer_limits(high=high, low=high // 4)
    connected = transport.get_extra_info("socket")
    if connected is not None and connected.family in _TCP_FAMILIES and _NOTSENT_LOWAT is not None:
        connected.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, most or 0)
