"""Upstream kind `deepseek`: the official service. Its wire is the platform's own, so it passes untouched.

Its beta routes lie beside `/v1`, not below it, whichever of the two the base URL names.
"""

from __future__ import annotations

import msgspec

from abyssal.config import DeepSeekUpstream
from abyssal.gateway.upstreams.upstream import Profile, Upstream, address_of


class DeepSeek(Upstream):
    """See the module."""

    profile = Profile(
        # Its documentation says of the penalties that they have no effect, and of the others nothing.
        ignored=frozenset(
            {
                "frequency_penalty",
                "presence_penalty",
                "n",
                "seed",
                "logit_bias",
                "user",
                "parallel_tool_calls",
                "max_completion_tokens",
            }
        ),
        ignored_thinking=frozenset({"temperature", "top_p"}),
        ignores_unknown=True,
        strict_routes=frozenset({"beta chat"}),
        repairs=frozenset(
            {
                "reasoning_content",
                "thinking_tool_choice",
                "legacy_functions",
                "empty_json",
                "json_schema",
                "strict_tools",
                "blank_lines",
                "error_label",
            }
        ),
    )


def build(config: DeepSeekUpstream) -> Upstream:
    """The upstream that `config` describes."""
    address, base_path = address_of(config.base_url, ca_file=config.ca_file)
    beta = base_path.removesuffix("/v1").removesuffix("/beta") + "/beta"
    upstream = DeepSeek(
        config.name,
        address,
        base_path=base_path,
        credential=config.api_key.reveal() if config.api_key else None,
        first_byte_timeout=config.first_byte_timeout,
        idle_timeout=config.idle_timeout,
        connect_timeout=config.connect_timeout,
        routes={"beta chat": f"{beta}/chat/completions", "completions": f"{beta}/completions"},
    )
    profile = upstream.profile.with_repairs(config.repairs)
    upstream.profile = msgspec.structs.replace(profile, takes_files=config.takes_files)
    return upstream
