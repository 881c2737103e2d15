"""`x-abyssal-strict: 1`: a parameter that the upstream would ignore in silence is refused by name instead.

1. What an upstream ignores is data: its `Profile`.
2. A value that asks for nothing (a penalty of 0, one answer, null) is not refused.
3. Thinking counts as on unless the request switches it off, as the official service has it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from abyssal.gateway.exchange import RequestHead
from abyssal.gateway.upstreams.upstream import Profile
from abyssal.wire.chat_request import ChatRequest
from abyssal.wire.errors import BadRequestError

_ASKED = b"x-abyssal-strict"
_NEUTRAL: dict[str, Any] = {"frequency_penalty": 0, "presence_penalty": 0, "n": 1, "logit_bias": {}}
_top_level = msgspec.json.Decoder(dict[str, msgspec.Raw])


def wants_strictness(head: RequestHead) -> bool:
    """Whether the request asks for it. Raises BadRequestError for a value that is neither 0 nor 1."""
    value = head.asks.get(_ASKED, b"0").strip() if head.asks is not None else b"0"
    if value not in (b"0", b"1"):
        raise BadRequestError(
            f'The header x-abyssal-strict is "{value.decode("latin-1")[:50]}"; send 1, or leave it out.',
            param="x-abyssal-strict",
            code="invalid_value",
        )
    return value == b"1"


def check_ignored(request: ChatRequest, body: bytes, profile: Profile) -> None:
    """Raise BadRequestError for the first parameter that the upstream would ignore."""
    thinking = request.reasoning_effort != "none"
    if request.thinking is not None:
        thinking = request.thinking.type == "enabled"
    ignored = profile.ignored | profile.ignored_thinking if thinking else profile.ignored
    for name, value in _top_level.decode(body).items():
        if bytes(value) == b"null":
            continue
        if name in ignored:
            if msgspec.json.decode(value) != _NEUTRAL.get(name, ...):
                while_what = " while it thinks" if name not in profile.ignored else ""
                raise _refusal(name, f"has no effect on this model's upstream{while_what}")
        elif profile.ignores_unknown and name not in ChatRequest.__struct_fields__:
            raise _refusal(name, "is not known to this model's upstream")


def _refusal(name: str, why: str) -> BadRequestError:
    return BadRequestError(
        f'"{name[:100]}" {why}, and x-abyssal-strict asks to be told; leave it out.',
        param=name[:100],
        code="parameter_ignored",
    )
