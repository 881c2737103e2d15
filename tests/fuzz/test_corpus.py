"""Everything that the long hunts found worth keeping, once more."""

from __future__ import annotations

from pathlib import Path

import pytest

from .targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_the_saved_corpus(name: str) -> None:
    saved = sorted((CORPUS / name).iterdir())
    assert saved
    for path in saved:
        try:
            TARGETS[name](path.read_bytes())
        except BaseException as fault:
            raise AssertionError(f"{path} breaks the target {name}") from fault


def test_no_corpus_without_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == {*TARGETS}
