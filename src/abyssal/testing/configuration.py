"""The TOML of a gateway in front of scripted upstreams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from abyssal.testing.upstream import ScriptedUpstream

UPSTREAM_KEY = "upstream-secret"
"""The credential that the gateway sends to a scripted upstream."""


def gateway_config(
    upstream: ScriptedUpstream | str,
    models: Sequence[str] = ("test-model",),
    *,
    kind: Literal["openai", "deepseek"] = "openai",
    upstream_model: str = "upstream-model",
    ca_file: str = "",
    server: Mapping[str, object] | None = None,
    limits: Mapping[str, object] | None = None,
) -> str:
    """A configuration that answers each of `models` from `upstream` (or a base URL) as `upstream_model`.

    `server` and `limits` are the keys of those tables, for instance ``{"idle_timeout": 2}``. The text can
    be extended: more `[[upstreams]]` and `[[models]]` tables may follow it.
    """
    base_url = upstream if isinstance(upstream, str) else upstream.base_url
    lines: list[str] = []
    for name, table in (("server", server), ("limits", limits)):
        if table:
            lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    settings = {"name": "scripted", "kind": kind, "base_url": base_url, "api_key": UPSTREAM_KEY}
    if ca_file:
        settings["ca_file"] = ca_file
    lines += ["[[upstreams]]", *(f"{key} = {_toml(value)}" for key, value in settings.items())]
    for model in models:
        target = f'{{ upstream = "scripted", model = {_toml(upstream_model)} }}'
        lines += ["[[models]]", f"name = {_toml(model)}", f"targets = [{target}]"]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """A scalar; JSON's strings, numbers and booleans are TOML's too."""
    return msgspec.json.encode(value).decode()
