"""What a model's file and the configuration allow for embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from abyssal.engine.bundled import bundled_path
from abyssal.engine.embedding import EmbeddingLimits, embedding_limits
from abyssal.engine.gguf_head import model_head
from abyssal.engine.spec import EngineSpec

from .gguf_heads import head, pair


def limits(tmp_path: Path, *pairs: bytes, **settings: Any) -> EmbeddingLimits | None:
    file = tmp_path / "m.gguf"
    file.write_bytes(head(*pairs))
    return embedding_limits(EngineSpec(name="m", model=str(file), **{"socket": "/run/m.sock"} | settings))


MODEL = [pair("bert.embedding_length", 384), pair("general.architecture", "bert")]


def test_the_bundled_model() -> None:
    spec = EngineSpec(name="tiny", model="abyssal-tiny", socket="/run/m.sock")
    assert embedding_limits(spec) == EmbeddingLimits(128, 2048, own_pooling=False)


@pytest.mark.parametrize(
    ("settings", "trained", "tokens"),
    [
        ({}, None, 2048),
        ({"embedding_tokens": 100}, None, 100),
        ({"embedding_tokens": 8192, "context": 4096}, None, 4096),
        ({"embedding_tokens": 8192, "context": 4096}, 512, 512),
    ],
)
def test_the_longest_input(
    tmp_path: Path, settings: dict[str, Any], trained: int | None, tokens: int
) -> None:
    pairs = MODEL if trained is None else [*MODEL, pair("bert.context_length", trained)]
    assert limits(tmp_path, *pairs, **settings) == EmbeddingLimits(384, tokens, own_pooling=False)


@pytest.mark.parametrize(("pooling", "own"), [(0, False), (1, True), (3, True)])
def test_a_pooling_that_the_file_names_is_the_models(tmp_path: Path, pooling: int, own: bool) -> None:
    found = limits(tmp_path, *MODEL, pair("bert.pooling_type", pooling))
    assert found is not None
    assert found.own_pooling is own


def test_what_has_no_embeddings(tmp_path: Path) -> None:
    assert limits(tmp_path, *MODEL, embedding_tokens=0) is None
    assert limits(tmp_path, *MODEL, socket="", listen="localhost:1") is None
    assert limits(tmp_path, pair("general.architecture", "bert")) is None
    assert limits(tmp_path, pair("bert.embedding_length", 384)) is None
    assert embedding_limits(EngineSpec(name="m", model=str(tmp_path / "none"), socket="/m.sock")) is None


def test_a_head_is_read_without_its_vocabulary() -> None:
    found = model_head(bundled_path())
    assert found is not None
    assert found.architecture == b"deepseek2"
    assert found.of_architecture(b"context_length") == 4096
    assert found.of_architecture(b"no_such_key") is None
    assert found.tokens == {}
