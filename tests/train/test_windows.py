from __future__ import annotations

import itertools

import pytest
import torch

from abyssal.engine.training.corpus import Document, documents
from abyssal.engine.training.model import new_model, tiny_config
from abyssal.engine.training.recipe import make_tokenizer
from abyssal.engine.training.tokenizer import (
    ASSISTANT,
    BOS,
    BOS_ID,
    EOS,
    PAD_ID,
    USER,
    VOCABULARY,
    for_transformers,
)
from abyssal.engine.training.train import weighted_loss
from abyssal.engine.training.windows import READ_WEIGHT, Batch, encode, windows


@pytest.fixture(scope="module")
def reader():
    return for_transformers(make_tokenizer(VOCABULARY))


def test_text_survives_the_tokenizer(reader) -> None:
    for text in (
        "Hello, world!",
        "你好，世界。",
        "1234567",
        "def f(a):\n    return a  # ü 🦑\n",
        "㐀 rare 龘",
    ):
        assert reader.decode(reader.encode(text, add_special_tokens=False)) == text


def test_digits_stand_alone_and_markup_is_one_token(reader) -> None:
    assert reader.tokenize("2026") == ["2", "0", "2", "6"]
    assert len(reader.encode("<tool_call>", add_special_tokens=False)) == 1


def test_every_letter_of_the_text_has_a_token(reader) -> None:
    letters = {letter for document in itertools.islice(documents(1), 3000) for letter in document.text}
    assert all(
        len(reader.encode(letter, add_special_tokens=False)) == 1
        for letter in letters
        if not letter.isascii()
    )


def test_what_the_assistant_says_counts_in_full(reader) -> None:
    chat = Document([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}])
    ids, weights = encode(reader, chat)
    assert reader.decode(ids) == f"{BOS}{USER}Hi{ASSISTANT}Yes{EOS}"
    heavy = [reader.decode([token]) for token, weight in zip(ids, weights, strict=True) if weight == 1.0]
    light = [
        reader.decode([token]) for token, weight in zip(ids, weights, strict=True) if weight == READ_WEIGHT
    ]
    assert "".join(heavy) == f"Yes{EOS}"
    assert "".join(light) == f"{USER}Hi{ASSISTANT}"


def test_windows_hold_whole_documents_and_weigh_no_padding(reader) -> None:
    for batch in itertools.islice(windows(reader, documents(4), rows=3, length=200), 20):
        assert batch.ids.shape == batch.weights.shape == batch.positions.shape == (3, 200)
        assert bool((batch.ids[:, 0] == BOS_ID).all())
        assert bool(((batch.positions == 0) & (batch.owners >= 0)).eq(batch.ids == BOS_ID).all())
        assert float(batch.weights[batch.owners < 0].sum()) == 0.0
        assert bool((batch.ids[batch.owners < 0] == PAD_ID).all())


def test_a_document_among_others_reads_as_it_does_alone(reader) -> None:
    """Its loss in a window is its loss alone: neighbours are not seen, positions start anew."""
    model = new_model(1, tiny_config(num_hidden_layers=2, initializer_range=0.2))
    batch = next(windows(reader, documents(4), rows=1, length=200))
    for owner in range(int(batch.owners.max()) + 1):
        chosen = batch.owners == owner
        alone = Batch(
            *(each[chosen][None] for each in (batch.ids, batch.weights, batch.positions, batch.owners))
        )
        with torch.no_grad():
            expected = weighted_loss(model, alone, alone.weights).item()
            found = weighted_loss(model, batch, batch.weights * chosen).item()
        assert found == pytest.approx(expected, abs=1e-4)
