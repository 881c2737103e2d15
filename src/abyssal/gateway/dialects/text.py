"""The text routes: `/v1/text/generate` and `/v1/text/completion`, completions with defaults of their own.

`language`, `context_window` and `conversation_id` mean what they do in a chat, and travel on to it.
"""

from __future__ import annotations

from abyssal.gateway.dialects.completions_request import Route

DEFAULT_MODEL = "deepseek-chat"

GENERATE = Route(model=DEFAULT_MODEL, temperatures=(0.1, 1.0), max_tokens=2048, tells_conversation=True)
COMPLETION = Route(model=DEFAULT_MODEL, temperature=0.7)
