"""Everyone anew for each test."""

from __future__ import annotations

import pytest

from .people import People


@pytest.fixture
def people() -> People:
    return People()
