"""What one suite needs to run against every upstream kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.unit.gateway.stage import Stage, stages

KINDS = {
    "deepseek": 'kind = "deepseek"\nbase_url = "http://up.test"\napi_key = "upstream-secret"\n',
    "openai": 'kind = "openai"\nbase_url = "http://up.test/v1"\napi_key = "upstream-secret"\n',
    "engine": 'kind = "engine"\n',
}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def stage(kind: str) -> Iterator[Stage]:
    table = '[[models]]\nname = "m"\ntargets = [{ upstream = "engine", model = "their-model" }]\n'
    with stages() as make:
        made = make('[[upstreams]]\nname = "engine"\n' + KINDS[kind] + table)
        made.upstream.available = True
        yield made
