"""Request heads for the calls of a socket, made from the head of its upgrade. Pure."""

from __future__ import annotations

from math import inf

from abyssal.gateway.exchange import RequestHead
from abyssal.gateway.principal import Credential

# What was said of the upgrade and is not said of a call; RFC 6455 §11.3.
_OF_THE_UPGRADE = (b"sec-websocket-", b"content-type:", b"content-encoding:")


def has_credential(head: RequestHead) -> bool:
    """Whether a head tries to prove anything."""
    return head.authorization is not None or head.x_api_key is not None or head.proof is not None


def is_same(head: RequestHead, authorization: bytes) -> bool:
    """Whether `authorization`, from a message, is what the head has already."""
    token = authorization.partition(b" ")[2]
    if head.proof is not None:
        return False
    if head.authorization is not None:
        return head.authorization.partition(b" ")[2].strip() == token
    return head.x_api_key is not None and head.x_api_key.strip() == token


def for_calls(head: RequestHead, proven: Credential | None) -> RequestHead:
    """The head that a socket's calls have, once its credential was proved.

    `proven` is whose a signed upgrade is: its nonce was good once, so its calls are known by what it proved,
    for as long as that is in force.
    """
    made = head.with_authorization(head.authorization or b"")
    if head.authorization is None:
        made.authorization = None
    lines = [line for line in head.forwarded.split(b"\r\n") if line and not line.startswith(_OF_THE_UPGRADE)]
    made.forwarded = b"content-type: application/json\r\n" + b"".join(line + b"\r\n" for line in lines)
    made.upstream_lines = None
    made.content_encoding = None
    if head.proof is not None:
        made.proof = made.x_api_key = None
        made.proven, made.proven_until = proven, inf
    return made
