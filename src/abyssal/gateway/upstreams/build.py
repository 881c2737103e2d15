"""The table of upstream kinds: what a configured upstream is made with."""

from __future__ import annotations

from abyssal.config import DeepSeekUpstream, EngineUpstream
from abyssal.config import Upstream as UpstreamConfig
from abyssal.gateway.link import Setup
from abyssal.gateway.upstreams import deepseek, engine, openai
from abyssal.gateway.upstreams.upstream import Upstream


def build_upstream(item: UpstreamConfig, setup: Setup) -> Upstream:
    """The upstream that `item` describes; an engine's place is in `setup`."""
    if isinstance(item, EngineUpstream):
        return engine.build(item, setup.engines[item.name], setup.workers)
    return deepseek.build(item) if isinstance(item, DeepSeekUpstream) else openai.build(item)
