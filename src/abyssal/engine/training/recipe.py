"""The whole recipe in order: text, tokenizer, training, rounding, GGUF, reference answers, card."""

from __future__ import annotations

import hashlib
import importlib.metadata
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import torch
from tokenizers import Tokenizer
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM, PreTrainedTokenizerFast

from abyssal.engine.bundled import BUNDLED_MODEL, ModelCard, ReferenceCase
from abyssal.engine.training.corpus import documents
from abyssal.engine.training.export import round_weights, write_gguf
from abyssal.engine.training.model import new_model, tiny_config
from abyssal.engine.training.reference import Case, reference_cases
from abyssal.engine.training.tokenizer import for_transformers, train_tokenizer
from abyssal.engine.training.train import Plan, Progress, train, weighted_loss
from abyssal.engine.training.windows import windows

# Raised whenever the text, the tokenizer, the shape or the training changes.
RECIPE = "1"

_TOKENIZER_DOCUMENTS = 12_000
_HELD_OUT_SEED = 1  # a text that no plan's seed gives


def make_model(
    directory: Path, plan: Plan, tell: Callable[[Progress], None], config: DeepseekV3Config | None = None
) -> ModelCard:
    """Write `abyssal-tiny.gguf` and its card `abyssal-tiny.json` into `directory`; `config` is for tests."""
    config = config or tiny_config()
    tokenizer = make_tokenizer(config.vocab_size)
    reader = for_transformers(tokenizer)
    model = new_model(plan.seed, config)
    losses: list[Progress] = []

    def note(progress: Progress) -> None:
        losses.append(progress)
        tell(progress)

    train(model, windows(reader, documents(plan.seed), plan.rows, plan.length), plan, note)
    round_weights(model)
    path = directory / f"{BUNDLED_MODEL}.gguf"
    write_gguf(path, model, tokenizer, name=BUNDLED_MODEL, recipe=RECIPE)
    card = _card(path, model, reader, plan, losses[-1])
    (directory / f"{BUNDLED_MODEL}.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n"
    )
    return card


def make_tokenizer(vocabulary: int) -> Tokenizer:
    """The tokenizer of the corpus: each line once, so that frequent templates do not become tokens."""
    return train_tokenizer(sorted(set(_lines())), vocabulary)


def held_out_loss(model: DeepseekV3ForCausalLM, reader: PreTrainedTokenizerFast, length: int) -> float:
    """Nats per token of what assistants say, in documents of another seed than any training."""
    batch = next(windows(reader, documents(_HELD_OUT_SEED), 16, length))
    with torch.no_grad():
        return weighted_loss(model, batch, (batch.weights == 1.0).float()).item()


def _lines() -> Iterator[str]:
    for document in itertools.islice(documents(_HELD_OUT_SEED), _TOKENIZER_DOCUMENTS):
        yield document.text
        for message in document.messages:
            yield str(message["content"] or "")


def _card(
    path: Path, model: DeepseekV3ForCausalLM, reader: PreTrainedTokenizerFast, plan: Plan, last: Progress
) -> ModelCard:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    # Before the reference: that switches to the plain attention, which adds its mask and wants no booleans.
    held_out = held_out_loss(model, reader, plan.length)
    clear, left_out = reference_cases(model, reader)
    return ModelCard(
        model=BUNDLED_MODEL,
        file=path.name,
        fingerprint=f"{BUNDLED_MODEL}-{digest[:8]}",
        sha256=digest,
        bytes=path.stat().st_size,
        recipe=RECIPE,
        parameters=sum(weight.numel() for weight in model.parameters()),
        made_with={
            name: importlib.metadata.version(name) for name in ("torch", "transformers", "tokenizers", "gguf")
        },
        training={
            "seed": plan.seed,
            "steps": plan.steps,
            "tokens": plan.steps * plan.rows * plan.length,
            "last_loss": round(last.loss, 4),
            "held_out_loss": round(held_out, 4),
        },
        cases=tuple(map(_reference, clear)),
        left_out=tuple(map(_reference, left_out)),
    )


def _reference(case: Case) -> ReferenceCase:
    return ReferenceCase(
        case.prompt, tuple(case.prompt_tokens), tuple(case.tokens), case.text, case.least_margin
    )
