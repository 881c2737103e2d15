"""The table of operations and the routes that there are, held against each other: none is missing on either side."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.routing import Route
from tests.unit.gateway.stage import stages

from abyssal.config import IdentityConfig
from abyssal.contract.http import contract_routes
from abyssal.contract.operation import PROTOBUF
from abyssal.contract.operations import OPERATIONS, TAGS
from abyssal.gateway.bodies import layer
from abyssal.platform.http.app import build_app
from abyssal.wire.protobuf import SCHEMA

ROOT = Path(__file__).parents[3]
TABLE = {(operation.method, operation.path) for operation in OPERATIONS}


def worker_routes() -> set[tuple[str, str]]:
    """Those of the fast lane that are a whole path."""
    with stages() as make:
        gateway: Any = make().gateway
        return {("POST", path.decode()) for path in gateway._posts} | {
            ("GET", path.decode()) for path in gateway._gets
        }


def worker_prefixes() -> set[str]:
    """Beginnings of paths that the worker gives a meaning to."""
    tree = ast.parse((ROOT / "src/abyssal/gateway/app.py").read_text(encoding="utf-8"))
    found = {
        node.value.decode()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, bytes)
    }
    return {path for path in found if path.startswith("/") and path.endswith("/")}


def control_routes() -> set[tuple[str, str]]:
    """Those of the control process."""

    async def metrics() -> bytes:
        return b""

    plane: Any = SimpleNamespace(
        issuer="https://platform.test",
        identity=IdentityConfig(),
        engine=None,
        vault=None,
        clock=None,
        uses=None,
    )
    app = build_app(metrics=metrics, plane=plane, pages=contract_routes(models=[]))
    routes = [route for route in app.routes if isinstance(route, Route)]
    assert len(routes) == len(app.routes)
    return {(method, route.path) for route in routes for method in (route.methods or ()) if method != "HEAD"}


def test_every_route_of_a_worker_is_an_operation() -> None:
    routes = worker_routes()
    assert {("POST", "/v1/chat/completions"), ("GET", "/readyz"), ("GET", "/v1/stream")} <= routes
    assert routes - TABLE == set(), "add a row to abyssal/contract/operations/"


def test_every_beginning_of_a_path_is_that_of_an_operation() -> None:
    prefixes = worker_prefixes()
    assert {"/v1/models/", "/oauth/"} <= prefixes
    unknown = {prefix for prefix in prefixes if not any(path.startswith(prefix) for _, path in TABLE)}
    assert unknown == set(), "add a row to abyssal/contract/operations/"


def test_every_route_of_the_control_process_is_an_operation() -> None:
    routes = control_routes()
    assert {("GET", "/metrics"), ("POST", "/oauth/token"), ("GET", "/v1/platform/me")} <= routes
    assert routes - TABLE == set(), "add a row to abyssal/contract/operations/"


def test_every_operation_has_a_route() -> None:
    routes, prefixes = worker_routes() | control_routes(), worker_prefixes()
    models = {prefix for prefix in prefixes if prefix.endswith("models/")}
    answered = {row for row in TABLE if any(row == ("GET", prefix + "{model}") for prefix in models)}
    assert TABLE - routes - answered == set()


def test_protobuf_is_taken_where_the_table_says_so() -> None:
    taken = {
        operation.path
        for operation in OPERATIONS
        if PROTOBUF in {body.media for body in operation.bodies}
        and PROTOBUF in {body.media for answer in operation.answers for body in answer.bodies}
    }
    assert {path.encode() for path in taken} == set(layer._PROTOBUF)
    messages = set(re.findall(r"^message (\w+)", SCHEMA.read_text(), re.MULTILINE))
    named = {
        name
        for operation in OPERATIONS
        for body in (*operation.bodies, *(body for answer in operation.answers for body in answer.bodies))
        if body.media == PROTOBUF
        for name in re.findall(r"`([A-Z]\w+)`", body.says)
    }
    assert "ChatRequest" in named
    assert named <= messages


def test_each_is_there_once_and_belongs_to_a_family() -> None:
    ids = [operation.id for operation in OPERATIONS]
    assert len(set(ids)) == len(ids) == len(TABLE)
    assert {operation.tag for operation in OPERATIONS} == set(TAGS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_parameters_of_the_path_are_described(operation: Any) -> None:
    inside = {part[1:-1] for part in operation.path.split("/") if part.startswith("{")}
    described = {parameter.name for parameter in operation.parameters if parameter.where == "path"}
    assert inside == described
    assert all(parameter.required for parameter in operation.parameters if parameter.where == "path")
