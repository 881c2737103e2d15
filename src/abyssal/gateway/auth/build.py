"""Puts the stage *authenticate* together: the ways in, the store of nonces that fits the node, the brakes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from abyssal.clock import Clock
from abyssal.config import Config
from abyssal.gateway.auth.api_key import ApiKeys
from abyssal.gateway.auth.authentication import Authentication, Note
from abyssal.gateway.auth.directory import Directory
from abyssal.gateway.auth.jwt import JsonWebTokens
from abyssal.gateway.auth.message_signature import MessageSignatures
from abyssal.gateway.auth.nonce_memory import MemoryNonces
from abyssal.gateway.auth.nonce_node import NodeNonces
from abyssal.gateway.auth.nonces import Nonces
from abyssal.gateway.auth.signed_request import SignedRequests
from abyssal.gateway.auth.ways import Ways
from abyssal.stores.brake import Attempts


def choose_nonces(config: Config, path: Path, shared: NodeNonces, loop: asyncio.AbstractEventLoop) -> Nonces:
    """Redis where one is configured; a single worker's own; else the node's, which its workers share."""
    if config.stores.redis_url is not None:
        from abyssal.gateway.auth.nonce_redis import RedisNonces

        return RedisNonces(config.stores.redis_url.reveal(), loop=loop)
    if config.server.workers == 1:
        return MemoryNonces(path, capacity=config.identity.nonces)
    return shared


def build_authentication(
    config: Config, directory: Directory, nonces: Nonces, issuer: str, clock: Clock, note: Note
) -> Authentication:
    """The whole stage. `issuer` is the address that access tokens name."""
    ways = Ways(
        api_key=ApiKeys(directory),
        jwt=JsonWebTokens(directory, issuer=issuer),
        signed=SignedRequests(directory),
        message=MessageSignatures(directory),
    )
    attempts = Attempts(
        per_address=config.identity.failures_per_address, per_credential=config.identity.failures_per_key
    )
    return Authentication(ways, directory, nonces, attempts, clock, note)
