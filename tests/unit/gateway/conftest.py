"""A stage for each test; see `stage`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from .stage import Stage, stages


@pytest.fixture
def make_stage() -> Iterator[Callable[..., Stage]]:
    with stages() as make:
        yield make


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    return make_stage()
