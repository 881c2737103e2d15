"""Upstream kind `openai`: any compatible server (vLLM, SGLang, Ollama, ...), made to look official.

A stream is asked for its usage, and the usage is folded into the finishing chunk as the official service
sends it. What a model thought has the official name, `reasoning_content`, also where vLLM says `reasoning`.
"""

from __future__ import annotations

import msgspec

from abyssal.config import OpenAIUpstream
from abyssal.gateway.exchange import Exchange
from abyssal.gateway.upstreams.upstream import Profile, Upstream, address_of
from abyssal.wire.reasoning_field import with_official_reasoning


class OpenAICompatible(Upstream):
    """See the module."""

    profile = Profile(
        asks_usage=True,
        usage_chunk=True,
        repairs=frozenset(
            {
                "legacy_functions",
                "leaked_tool_calls",
                "reasoning_field",
                "empty_json",
                "strict_tools",
                "usage",
                "blank_lines",
                "error_label",
            }
        ),
    )

    def repair_answer(self, exchange: Exchange, body: bytes) -> bytes:
        """A whole answer, reasoning in it under its official name."""
        if "reasoning_field" in self.profile.repairs:
            renamed = with_official_reasoning(body)
            if renamed is not body:
                exchange.repairs += ("reasoning_field",)
                return renamed
        return body


def build(config: OpenAIUpstream) -> Upstream:
    """The upstream that `config` describes."""
    address, base_path = address_of(config.base_url, ca_file=config.ca_file)
    upstream = OpenAICompatible(
        config.name,
        address,
        base_path=base_path,
        credential=config.api_key.reveal() if config.api_key else None,
        first_byte_timeout=config.first_byte_timeout,
        idle_timeout=config.idle_timeout,
        connect_timeout=config.connect_timeout,
        routes={"completions": f"{base_path}/completions", "embeddings": f"{base_path}/embeddings"},
    )
    profile = upstream.profile.with_repairs(config.repairs)
    upstream.profile = msgspec.structs.replace(
        profile, ignored=frozenset(config.ignores), takes_files=config.takes_files
    )
    return upstream
