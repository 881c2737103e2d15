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
from abyssal.gateway.link import EnginePoint
from abyssal.gateway.upstreams.engine_embedding import EngineEmbeddings
from abyssal.gateway.upstreams.engine_errors import official_error
from abyssal.gateway.upstreams.engine_infill import InfillTokens, check_infill, infill_body
from abyssal.gateway.upstreams.engine_logprobs import OfficialLogprobs, counts_choices, tokens_told
from abyssal.gateway.upstreams.engine_request import check_for_engine, engine_body
from abyssal.gateway.upstreams.pool import Address
from abyssal.gateway.upstreams.upstream import Profile, Upstream
from abyssal.wire.chat_request import ChatRequest
from abyssal.wire.official_stream import UsageFolder
from abyssal.wire.usage import TokenUsage

_FINGERPRINT = re.compile(rb'("system_fingerprint"\s*:\s*")[^"]*"')

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
        request = exchange.request
        assert isinstance(request, ChatRequest)
        check_for_engine(request, exchange.body, self.context)
        if exchange.route == "completions":
            check_infill(exchange.body)

    def chat_body(self, exchange: Exchange) -> bytes:
        request = exchange.request
        assert isinstance(request, ChatRequest)
        model = exchange.upstream_model or request.model
        if exchange.route == "completions" and self.infill is not None:
            return infill_body(exchange.body, model, self.infill)
        return engine_body(request, exchange.body, model)

    def stream_filter(self, exchange: Exchange) -> StreamFilter | None:
        request = exchange.request
        assert isinstance(request, ChatRequest)
        logprobs = OfficialLogprobs(request.top_logprobs or 0) if request.logprobs else None
        options = request.stream_options
        return _EngineFilter(
            self.fingerprint, logprobs, nulls=options is not None and bool(options.include_usage)
        )

    def repair_error(self, status: int, body: bytes) -> tuple[int, bytes]:
        return official_error(status, body)

    def repair_answer(self, exchange: Exchange, body: bytes) -> bytes:
        request = exchange.request
        assert isinstance(request, ChatRequest)
        answer: dict[str, Any] = dict(_answer.decode(body))
        answer.pop("timings", None)
        if counts_choices(request) and "usage" in answer:
            answer["usage"] = _with_tokens(answer["usage"], tokens_told(msgspec.json.decode(body)))
        if "usage" in answer:
            answer["usage"] = official_usage(answer["usage"])
        if self.fingerprint:
            answer["system_fingerprint"] = self.fingerprint
        body = _encode(answer)
        if request.logprobs or counts_choices(request):
            body = OfficialLogprobs(request.top_logprobs or 0 if request.logprobs else None).answer(body)
        return body


def _with_role(delta: re.Match[bytes]) -> bytes:
    return b'"delta":{"role":"assistant"' + (b"}" if delta[1] else b",")


class _EngineFilter(UsageFolder):
    """Also names the model, completes the usage and adds it up over the choices.

    With `nulls`, events that have no usage say so, as the official service's do when `include_usage` asks.
    """

    __slots__ = ("_begun", "_line", "_logprobs", "_tokens")

    def __init__(self, fingerprint: str, logprobs: OfficialLogprobs | None, *, nulls: bool) -> None:
        super().__init__()
        self._begun = False
        self._logprobs = logprobs
        self._tokens = 0  # of the choices that have ended
        # Where an event has a usage, it stands further back, and counts.
        told = b'","usage":null' if nulls else b'"'
        self._line = rb"\g<1>" + fingerprint.encode() + told if fingerprint else b""

    def feed(self, events: bytes) -> bytes:
        if self._line:
            events = _FINGERPRINT.sub(self._line, events)
        if not self._begun and b"data: {" in events:
            self._begun = True
            if b'"role":"assistant"' not in events:  # llama.cpp omits it when a first character is split
                events = _FIRST_DELTA.sub(_with_role, events, count=1)
        if self._logprobs is not None:
            events = self._logprobs.feed(events)
        return super().feed(events)

    def fold(self, usage: msgspec.Raw) -> msgspec.Raw:
        if self._tokens:
            usage = _with_tokens(usage, self._tokens + _tokens_of(usage))
        self._tokens = _tokens_of(usage)
        return official_usage(usage)


def _tokens_of(usage: msgspec.Raw) -> int:
    try:
        return _counts.decode(usage).completion_tokens
    except msgspec.ValidationError:
        return 0


def _with_tokens(usage: msgspec.Raw, completion_tokens: int) -> msgspec.Raw:
    """`usage` with another count of the answer's tokens."""
    counts = _usage.decode(usage)
    counts["completion_tokens"] = completion_tokens
    counts["total_tokens"] = counts.get("prompt_tokens", 0) + completion_tokens
    return msgspec.Raw(_encode(counts))


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


def build(config: EngineUpstream, point: EnginePoint, workers: int) -> Upstream:
    """The upstream for the engine at `point`; `workers` share its queue evenly."""
    capacity = max(1, -(-(config.slots + config.queue) // workers))
    engine = Engine(
        config.name,
        Address(path=point.socket_path),
        base_path="/v1",
        credential=None,
        first_byte_timeout=config.first_byte_timeout,
        idle_timeout=config.idle_timeout,
        capacity=capacity,
        routes={"completions": "/v1/completions"},
    )
    engine.fingerprint = point.fingerprint
    engine.context = config.context
    engine.infill = point.infill
    engine.profile = engine.profile.with_repairs(config.repairs)
    if point.embedding is not None:
        engine.embeddings = EngineEmbeddings(config, point.embedding, capacity)
    engine.available = False  # until the supervisor says so
    return engine
