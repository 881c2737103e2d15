"""What embeddings an engine can make: how long a vector is, how long an input may be, how tokens are pooled.

1. llama.cpp pools what it computes in one piece, so an input is at most one physical batch, and alone in it:
   beside shorter ones it would be computed in parts, and the mean be that of its last part (seen in 2026.10).
   Hence a second server in the engine's process, with one slot; the weights are the same pages of the file.
2. An input fits the context of a chat, and what the model was trained for (learned positions end there).
3. A model whose file names a pooling was trained to embed with that; every other one is given the mean.
"""

from __future__ import annotations

from typing import NamedTuple

from abyssal.engine.gguf_head import ModelHead, model_head
from abyssal.engine.spec import EngineSpec


class EmbeddingLimits(NamedTuple):
    """Numbers in a vector, tokens in an input; `own_pooling` is the model's, otherwise the mean is taken."""

    dimensions: int
    tokens: int
    own_pooling: bool


def embedding_limits(spec: EngineSpec) -> EmbeddingLimits | None:
    """What `spec` allows and its model's file says; None without embeddings, or for a file not understood."""
    head = model_head(spec.model_file()) if spec.embedding_socket else None
    return None if head is None else limits_of(head, spec)


def limits_of(head: ModelHead, spec: EngineSpec) -> EmbeddingLimits | None:
    """As `embedding_limits`, from the file's head."""
    dimensions = head.of_architecture(b"embedding_length")
    if not dimensions:
        return None
    trained = head.of_architecture(b"context_length") or spec.context
    tokens = min(spec.embedding_tokens, spec.context, trained)
    return EmbeddingLimits(dimensions, tokens, bool(head.of_architecture(b"pooling_type")))
