"""From documents to windows of token ids with a weight for each: what a training step sees.

1. A window holds whole documents, one after the other. Each has positions of its own and sees only itself:
   with its neighbours in view, the model does not learn to look for a name or a number where it was said.
2. The model is asked most for what an assistant says (and for plain texts); what users and systems say
   counts a little, since a model that knows how people ask reads them better.
3. The rest of a window is padding with weight 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from abyssal.engine.training.corpus import Document
from abyssal.engine.training.tokenizer import ASSISTANT_ID, BOS_ID, EOS_ID, PAD_ID

READ_WEIGHT = 0.1


@dataclass(frozen=True)
class Batch:
    """Four tensors, each [rows, length]: token ids, the weight of predicting each of them, its position in
    its document, and which document of the row it belongs to (-1 for padding)."""

    ids: torch.Tensor
    weights: torch.Tensor
    positions: torch.Tensor
    owners: torch.Tensor

    def visible(self) -> torch.Tensor:
        """Which tokens each may look at, [rows, 1, length, length]: those of its document, up to itself."""
        same = self.owners[:, :, None] == self.owners[:, None, :]
        return same.tril()[:, None]


def encode(tokenizer: PreTrainedTokenizerFast, document: Document) -> tuple[list[int], list[float]]:
    """Token ids of `document`, and for each the weight of predicting it."""
    if not document.messages:
        ids = [BOS_ID, *tokenizer.encode(document.text, add_special_tokens=False), EOS_ID]
        return ids, [0.0, *[1.0] * (len(ids) - 1)]
    ids = tokenizer.apply_chat_template(
        document.messages, tools=document.tools or None, tokenize=True, return_dict=False
    )
    weights: list[float] = []
    answering = False
    for token in ids:
        weights.append(0.0 if token == BOS_ID else 1.0 if answering else READ_WEIGHT)
        answering = token == ASSISTANT_ID or (answering and token != EOS_ID)
    return ids, weights


def windows(
    tokenizer: PreTrainedTokenizerFast, documents: Iterator[Document], rows: int, length: int
) -> Iterator[Batch]:
    """Batches without end; documents longer than `length` tokens are dropped."""
    batch = _blank(rows, length)
    row = column = owner = 0
    for document in documents:
        tokens, weights = encode(tokenizer, document)
        if len(tokens) > length:
            continue
        if column + len(tokens) > length:
            row, column = row + 1, 0
        if row == rows:
            yield batch
            batch, row = _blank(rows, length), 0
        place = (row, slice(column, column + len(tokens)))
        batch.ids[place] = torch.tensor(tokens)
        batch.weights[place] = torch.tensor(weights)
        batch.positions[place] = torch.arange(len(tokens))
        batch.owners[place] = owner
        column, owner = column + len(tokens), owner + 1


def _blank(rows: int, length: int) -> Batch:
    zeros = torch.zeros(rows, length, dtype=torch.long)
    return Batch(
        ids=torch.full_like(zeros, PAD_ID),
        weights=torch.zeros(rows, length),
        positions=zeros,
        owners=torch.full_like(zeros, -1),
    )
