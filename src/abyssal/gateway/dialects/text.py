"""The text routes: `/v1/text/generate` and `/v1/text/completion`, completions with defaults of their own.

`language` steers the answer, `context_window` cuts nothing where there is one prompt and no history.
"""

from __future__ import annotations

from abyssal.gateway.dialects.completions_request import Route

DEFAULT_MODEL = "deepseek-chat"

GENERATE = Route(model=DEFAULT_MODEL, temperatures=(0.1, 1.0), max_tokens=2048)
COMPLETION = Route(model=DEFAULT_MODEL, temperature=0.7)
