"""What tests of programs that speak to DeepSeek need: a scripted upstream, a real server, a held clock.

    with ScriptedUpstream() as upstream:
        upstream.enqueue(Answer.chat("hello").delayed(0.2))
        ...                                     # the program under test calls upstream.base_url
        assert upstream.requests[0].json()["model"] == "deepseek-chat"

Nothing is loaded before it is named: the pytest plugin beside this file is imported in every test run.
`ScriptedUpstream`, `RunningServer` and the fixtures need the `server` extra.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from abyssal.testing.answers import Answer
    from abyssal.testing.clock import ManualClock
    from abyssal.testing.completions import tool_call
    from abyssal.testing.configuration import UPSTREAM_KEY, gateway_config
    from abyssal.testing.embeddings import embedding_of
    from abyssal.testing.raw_http import RawConnection, WireResponse
    from abyssal.testing.received import ReceivedRequest
    from abyssal.testing.running_server import RunningServer, ServerFailedError
    from abyssal.testing.upstream import ScriptedUpstream, UpstreamStatistics

__all__ = [
    "UPSTREAM_KEY",
    "Answer",
    "ManualClock",
    "RawConnection",
    "ReceivedRequest",
    "RunningServer",
    "ScriptedUpstream",
    "ServerFailedError",
    "UpstreamStatistics",
    "WireResponse",
    "embedding_of",
    "gateway_config",
    "tool_call",
]

_HOME = {
    "UPSTREAM_KEY": "configuration",
    "Answer": "answers",
    "ManualClock": "clock",
    "RawConnection": "raw_http",
    "WireResponse": "raw_http",
    "ReceivedRequest": "received",
    "RunningServer": "running_server",
    "ScriptedUpstream": "upstream",
    "ServerFailedError": "running_server",
    "UpstreamStatistics": "upstream",
    "embedding_of": "embeddings",
    "gateway_config": "configuration",
    "tool_call": "completions",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(
            f"module 'abyssal.testing' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    value = getattr(import_module(f"abyssal.testing.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
