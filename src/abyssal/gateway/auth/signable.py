"""What of an exchange a message signature can cover: its line, its authority, and the fields that were kept.

Fields that end at this hop are not kept and cannot be covered (`cookie`, `accept-encoding`, `connection` and
what it nominates, `x-forwarded-*`); `content-length` can, since it is the body's.
"""

from __future__ import annotations

from abyssal.gateway.exchange import Exchange
from abyssal.wire.message_signatures import Message


def message_of(exchange: Exchange) -> Message:
    """The request as `wire.message_signatures` reads it."""
    head = exchange.head
    kept: dict[bytes, bytes] = {}

    def field(name: bytes) -> bytes | None:
        if head.proof is not None and name in head.proof:
            return head.proof[name]
        if name == b"host":
            return head.host or None
        if name == b"content-length":
            return b"%d" % len(exchange.body)
        if not kept:
            for line in head.forwarded.split(b"\r\n")[:-1]:
                known, _, value = line.partition(b":")
                value = value.strip(b" \t")
                kept[known] = kept[known] + b", " + value if known in kept else value
        return kept.get(name)

    return Message(head.method, exchange.client.scheme, head.host, head.target, field)
