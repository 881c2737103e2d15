"""Upstream kind `engine`: the embedded llama.cpp server on its Unix socket, made to look official.

Its queue is bounded here (`slots` at work, `queue` waiting), and its build name gives way to the model's
fingerprint.
"""

from __future__ import annotations

import re

from abyssal.config import EngineUpstream
from abyssal.gateway.upstreams.pool import Address
from abyssal.gateway.upstreams.upstream import Profile, StreamFilter, Upstream
from abyssal.wire.official_stream import UsageFolder

_FINGERPRINT = re.compile(rb'("system_fingerprint"\s*:\s*")[^"]*')


class Engine(Upstream):
    """See the module. `fingerprint` is what answers carry as `system_fingerprint`, "" to leave it."""

    profile = Profile(asks_usage=True, usage_chunk=True)
    fingerprint = ""

    def stream_filter(self) -> StreamFilter | None:
        return _EngineFilter(self.fingerprint) if self.fingerprint else UsageFolder()

    def repair_answer(self, body: bytes) -> bytes:
        return _named(body, self.fingerprint)


class _EngineFilter(UsageFolder):
    """Also names the model."""

    __slots__ = ("_fingerprint",)

    def __init__(self, fingerprint: str) -> None:
        super().__init__()
        self._fingerprint = fingerprint

    def feed(self, events: bytes) -> bytes:
        return super().feed(_named(events, self._fingerprint))


def _named(data: bytes, fingerprint: str) -> bytes:
    return _FINGERPRINT.sub(rb"\g<1>" + fingerprint.encode(), data) if fingerprint else data


def build(config: EngineUpstream, socket_path: str, fingerprint: str, workers: int) -> Upstream:
    """The upstream for an engine that listens at `socket_path`; `workers` share its queue evenly."""
    engine = Engine(
        config.name,
        Address(path=socket_path),
        base_path="/v1",
        credential=None,
        first_byte_timeout=config.first_byte_timeout,
        idle_timeout=config.idle_timeout,
        capacity=max(1, -(-(config.slots + config.queue) // workers)),
    )
    engine.fingerprint = fingerprint
    engine.available = False  # until the supervisor says so
    return engine
