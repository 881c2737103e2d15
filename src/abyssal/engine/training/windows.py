"""From documents to windows of token ids with a weight for each: what a training step sees.

1. A window holds whole documents, one after the other, each opened by the first token of a text.
2. The model is asked most for what an assistant says (and for plain texts); what users and systems say
   counts a little, since a model that knows how people ask reads them better.
3. The rest of a window is padding with weight 0.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from transformers import PreTrainedTokenizerFast

from abyssal.engine.training.corpus import Document
from abyssal.engine.training.tokenizer import ASSISTANT_ID, BOS_ID, EOS_ID, PAD_ID

READ_WEIGHT = 0.1


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
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches without end: ids and weights, each [rows, length]; longer documents are dropped."""
    ids = torch.full((rows, length), PAD_ID)
    weights = torch.zeros(rows, length)
    row = column = 0
    for document in documents:
        tokens, token_weights = encode(tokenizer, document)
        if len(tokens) > length:
            continue
        if column + len(tokens) > length:
            row, column = row + 1, 0
        if row == rows:
            yield ids, weights
            ids, weights, row = torch.full((rows, length), PAD_ID), torch.zeros(rows, length), 0
        ids[row, column : column + len(tokens)] = torch.tensor(tokens)
        weights[row, column : column + len(tokens)] = torch.tensor(token_weights)
        column += len(tokens)
