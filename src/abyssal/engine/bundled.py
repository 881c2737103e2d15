"""The model that comes with Abyssal: where its file is, what it is called, and what is known about it."""

from __future__ import annotations

from pathlib import Path

import msgspec

BUNDLED_MODEL = "abyssal-tiny"


class ReferenceCase(msgspec.Struct, frozen=True):
    """A prompt and what `transformers` answers greedily; `least_margin` is in logits, over all steps.

    `tokens` ends with the end-of-sentence token where the answer ended by itself, as llama.cpp's do.
    """

    prompt: str
    prompt_tokens: tuple[int, ...]
    tokens: tuple[int, ...]
    text: str
    least_margin: float


class ModelCard(msgspec.Struct, frozen=True):
    """What the recipe wrote beside the file.

    `fingerprint` is what answers carry as `system_fingerprint`: the model's name and the first eight hex
    digits of `sha256`, the digest of the whole file. `bytes` is the file's size.
    """

    model: str
    file: str
    fingerprint: str
    sha256: str
    bytes: int
    recipe: str
    parameters: int
    made_with: dict[str, str]
    training: dict[str, float]
    cases: tuple[ReferenceCase, ...]
    left_out: tuple[ReferenceCase, ...]


def bundled_path() -> Path:
    """The GGUF file of the bundled model."""
    return _models() / f"{BUNDLED_MODEL}.gguf"


def bundled_card() -> ModelCard:
    """Read the card beside the file. Raises OSError or msgspec.ValidationError if either is damaged."""
    return msgspec.json.decode((_models() / f"{BUNDLED_MODEL}.json").read_bytes(), type=ModelCard)


def _models() -> Path:
    return Path(__file__).parent / "models"
