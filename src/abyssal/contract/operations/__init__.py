"""The table of operations, a file per family. A new route is a row in one of them."""

from __future__ import annotations

from abyssal.contract.operation import Operation
from abyssal.contract.operations.conversations import CONVERSATIONS
from abyssal.contract.operations.dialects import DIALECTS
from abyssal.contract.operations.files import FILES
from abyssal.contract.operations.identity import OAUTH
from abyssal.contract.operations.management import MANAGEMENT
from abyssal.contract.operations.service import SERVICE
from abyssal.contract.operations.sockets import SOCKETS
from abyssal.contract.operations.text import TEXT

OPERATIONS: tuple[Operation, ...] = (
    *TEXT,
    *DIALECTS,
    *SOCKETS,
    *CONVERSATIONS,
    *FILES,
    *OAUTH,
    *MANAGEMENT,
    *SERVICE,
)

TAGS: dict[str, str] = {
    "Chat": "The official format: what every DeepSeek and OpenAI client speaks.",
    "Text": "Completions and the text routes: one prompt, one text.",
    "Embeddings": "A vector for each text.",
    "Models": "The names that can be asked for.",
    "Anthropic": "Anthropic's Messages, answered by DeepSeek models.",
    "Responses": "OpenAI's Responses, stateless.",
    "WebSocket": "Streams over WebSocket; the first messages decide which of three dialects is spoken.",
    "Conversations": "What was said, kept for a project: a call sends only what is new.",
    "Files": "Files for chats, batches and training; each belongs to one project.",
    "OAuth": "Access tokens for OAuth 2.0 clients.",
    "Organisations": "Organisations, their projects and members; notifications.",
    "Credentials": "API keys, OAuth clients, signing keys and public keys.",
    "Service": "Health, metrics, and what describes this service.",
}
"""Families in their order, and what each is for."""
