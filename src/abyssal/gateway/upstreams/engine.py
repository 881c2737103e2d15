"""Upstream kind `engine`: the embedded llama.cpp server on its Unix socket, made to look official.

Its queue is bounded here (`slots` at work, `queue` waiting), its build name gives way to the model's
fingerprint, its usage is completed and its timings are dropped.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from abyssal.config import EngineUpstream
from abyssal.gateway.exchange import Exchange, Native, StreamFilter
from abyssal.gateway.upstreams.engine_infill import InfillTokens, check_infill, infill_body
from abyssal.gateway.upstreams.engine_request import check_for_engine, engine_body
from abyssal.gateway.upstreams.pool import Address
from abyssal.gateway.upstreams.upstream import Profile, Upstream
from abyssal.wire.official_stream import UsageFolder
from abyssal.wire.usage import TokenUsage

_FINGERPRINT = re.compile(rb'("system_fingerprint"\s*:\s*")[^"]*')

_FIRST_DELTA = re.compile(rb'"delta":\{(\}?)')

_answer = msgspec.json.Decoder(dict[str, msgspec.Raw])
_usage = msgspec.json.Decoder(dict[str, Any])
_counts = msgspec.json.Decoder(TokenUsage)
_encode = msgspec.json.Encoder().encode


class Engine(Upstream):
    """See the module. `fingerprint` is what answers carry as `system_fingerprint`, "" to leave it."""

    profile = Profile(
        asks_usage=True,
        usage_chunk=True,
        ignored=frozenset({"user", "user_id"}),
        ignores_unknown=True,  # rule 1 of `engine_request`
        repairs=frozenset({"legacy_functions", "error_label"}),
    )
    fingerprint = ""

    context = 0  # tokens per slot
    infill: InfillTokens | None = None  # of a model that can fill in the middle

    def knows(self, native: Native) -> bool:
        return native.only == "suffix" and self.infill is not None

    def check(self, exchange: Exchange) -> None:
        assert exchange.request is not None
        check_for_engine(exchange.request, exchange.body, self.context)
        if exchange.route == "completions":
            check_infill(exchange.body)

    def chat_body(self, exchange: Exchange) -> bytes:
        assert exchange.request is not None
        if exchange.route == "completions" and self.infill is not None:
            return infill_body(exchange.body, exchange.upstream_model or exchange.request.model, self.infill)
        return engine_body(exchange.request, exchange.body, exchange.upstream_model or exchange.request.model)

    def stream_filter(self) -> StreamFilter | None:
        return _EngineFilter(self.fingerprint)

    def repair_answer(self, body: bytes) -> bytes:
        answer: dict[str, Any] = dict(_answer.decode(body))
        answer.pop("timings", None)
        if "usage" in answer:
            answer["usage"] = official_usage(answer["usage"])
        if self.fingerprint:
            answer["system_fingerprint"] = self.fingerprint
        return _encode(answer)


def _with_role(delta: re.Match[bytes]) -> bytes:
    return b'"delta":{"role":"assistant"' + (b"}" if delta[1] else b",")


class _EngineFilter(UsageFolder):
    """Also names the model and completes the usage."""

    __slots__ = ("_begun", "_line")

    def __init__(self, fingerprint: str) -> None:
        super().__init__()
        self._begun = False
        self._line = rb"\g<1>" + fingerprint.encode() if fingerprint else b""

    def feed(self, events: bytes) -> bytes:
        if self._line:
            events = _FINGERPRINT.sub(self._line, events)
        if not self._begun and b"data: {" in events:
            self._begun = True
            if b'"role":"assistant"' not in events:  # llama.cpp omits it when a first character is split
                events = _FIRST_DELTA.sub(_with_role, events, count=1)
        return super().feed(events)

    def fold(self, usage: msgspec.Raw) -> msgspec.Raw:
        return official_usage(usage)


def official_usage(usage: msgspec.Raw) -> msgspec.Raw:
    """llama.cpp's usage with the official service's cache counts (hit + miss = prompt tokens)."""
    try:
        known = _counts.decode(usage)
    except msgspec.ValidationError:
        return usage  # not llama.cpp's
    counts = _usage.decode(usage)
    counts["prompt_cache_hit_tokens"] = known.cached_tokens
    counts["prompt_cache_miss_tokens"] = max(0, known.prompt_tokens - known.cached_tokens)
    return msgspec.Raw(_encode(counts))


def build(
    config: EngineUpstream,
    socket_path: str,
    fingerprint: str,
    workers: int,
    infill: InfillTokens | None = None,
) -> Upstream:
    """The upstream for an engine that listens at `socket_path`; `workers` share its queue evenly.

    `infill` are the tokens by which its model fills in the middle, None for one that cannot.
    """
    engine = Engine(
        config.name,
        Address(path=socket_path),
        base_path="/v1",
        credential=None,
        first_byte_timeout=config.first_byte_timeout,
        idle_timeout=config.idle_timeout,
        capacity=max(1, -(-(config.slots + config.queue) // workers)),
        routes={"completions": "/v1/completions"},
    )
    engine.fingerprint = fingerprint
    engine.context = config.context
    engine.infill = infill
    engine.profile = engine.profile.with_repairs(config.repairs)
    engine.available = False  # until the supervisor says so
    return engine
