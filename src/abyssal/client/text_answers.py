"""What came back from the text routes and from embeddings: the typed value in a whole answer. No I/O."""

from __future__ import annotations

import msgspec

from abyssal.client import faults
from abyssal.client.answer import Answer, decoded
from abyssal.client.settings import Secret
from abyssal.wire.completions import TextCompletion
from abyssal.wire.embeddings import EmbeddingList, decode_embeddings

_text = msgspec.json.Decoder(TextCompletion).decode


def parse_text(answer: Answer, secret: Secret) -> TextCompletion:
    """The text completion in `answer`. Raises as `parse_completion` does."""
    completion = decoded(answer, _text, "a text completion", secret)
    if not completion.choices:
        hidden = faults.error_in_event(answer.content, answer.request_id, secret)
        raise hidden or faults.not_expected(
            answer.headers, answer.content, "a text completion", "it has no choices", secret
        )
    msgspec.structs.force_setattr(completion, "request_id", answer.request_id)
    return completion


def parse_embeddings(answer: Answer, secret: Secret) -> EmbeddingList:
    """The vectors in `answer`, as numbers, in the order of the request's texts. Raises ProtocolError."""
    embeddings = decoded(answer, decode_embeddings, "a list of embeddings", secret)
    msgspec.structs.force_setattr(embeddings, "request_id", answer.request_id)
    return embeddings
