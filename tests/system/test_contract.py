"""What HTTP and the contract say of every route, asked of a running server: refusals, methods, header fields."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

import pytest
from tests.documented import check_answer, response, validator
from tests.system.calls import table
from tests.system.identities import Identities

from abyssal.contract.operation import JSON, Operation
from abyssal.contract.operations import OPERATIONS
from abyssal.testing import RawConnection, RunningServer, WireResponse

NAMED = {"model": "deepseek-chat", "page": "chat", "file": "docs.css"}


class Asked:
    """A server, and a key of it that may do nothing."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.powerless = Identities(server).create("keys", scopes=["usage:read"])["secret"]

    def ask(
        self,
        operation: Operation,
        body: bytes = b"",
        *,
        method: str = "",
        key: str | None = "",
        beyond: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> WireResponse:
        """One request. `key`: "" for the server's own, None for none."""
        path = re.sub(r"\{(\w+)\}", lambda name: NAMED.get(name[1], "none"), operation.path) + beyond
        method = method or operation.method
        lines = [f"{method} {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}"]
        if operation.bodies:
            lines.append(f"Content-Type: {operation.bodies[0].media}")
        if key is not None:
            lines.append(f"Authorization: Bearer {key or self.server.api_key}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        with RawConnection(self.server.url, timeout=20) as connection:
            connection.send("\r\n".join([*lines, "", ""]).encode() + body)
            answer = connection.read_response(method)
        assert answer.header("x-request-id")
        assert answer.header("x-api-version") == "v1"
        return answer


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    brakes_off = table("[identity]", failures_per_address=100_000, failures_per_key=100_000)
    with RunningServer(brakes_off, tmp_path_factory.mktemp("contract"), grace=0) as server:
        yield Asked(server)
        assert "Traceback" not in server.log()


def check(operation: Operation, answer: WireResponse, *statuses: int) -> None:
    """The answer has one of `statuses`, and is what the document says of it."""
    assert answer.status in statuses, answer.body
    check_answer(
        operation, answer.status, {name.lower(): value for name, value in answer.headers}, answer.body
    )


def is_error_object(answer: WireResponse) -> bool:
    schema = {"$ref": "#/components/schemas/ErrorBody"}
    return not list(validator(schema).iter_errors(answer.json())) and set(answer.json()["error"]) == {
        "message", "type", "param", "code",
    }  # fmt: skip


def each(*operations: Operation) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("operation", operations, ids=lambda operation: operation.id)


PROVED = [item for item in OPERATIONS if item.scope is not None and item.tag != "WebSocket"]
WRITES = [item for item in OPERATIONS if any(body.media == JSON for body in item.bodies)]
METHODS: dict[str, set[str]] = {}
for item in OPERATIONS:
    METHODS.setdefault(item.path, set()).update({"GET", "HEAD"} if item.method == "GET" else {item.method})


@each(*PROVED)
def test_who_shows_nothing_is_refused(asked: Asked, operation: Operation) -> None:
    answer = asked.ask(operation, key=None)
    check(operation, answer, 401)
    assert answer.header("www-authenticate")
    assert answer.json()["error"]["code"] == "missing_api_key"


@each(*PROVED)
def test_who_shows_a_wrong_key_is_refused(asked: Asked, operation: Operation) -> None:
    answer = asked.ask(operation, key="sk-nobody")
    check(operation, answer, 401)


@each(*(item for item in PROVED if item.scope))
def test_who_may_not_is_refused(asked: Asked, operation: Operation) -> None:
    body = json.dumps(operation.example).encode() if operation.bodies else b""
    answer = asked.ask(operation, body, key=asked.powerless)
    check(operation, answer, 403)
    assert answer.json()["error"]["code"] == "scope_missing"


@each(*WRITES)
@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'"text"', b'{"a":' * 600], ids=repr)
def test_a_bad_body_is_an_error_object(asked: Asked, operation: Operation, body: bytes) -> None:
    check(operation, asked.ask(operation, body), 400)


@each(*WRITES)
def test_an_unknown_coding_is_refused(asked: Asked, operation: Operation) -> None:
    check(operation, asked.ask(operation, b"{}", headers={"Content-Encoding": "x-own"}), 415)


@each(*OPERATIONS)
@pytest.mark.parametrize("method", ["PUT", "OPTIONS", "DELETE", "PATCH", "GET", "HEAD", "POST"])
def test_another_method_is_told_which_there_are(asked: Asked, operation: Operation, method: str) -> None:
    allowed = METHODS[operation.path]
    if method in allowed:
        return
    answer = asked.ask(operation, method=method)
    assert answer.status == 405
    assert set((answer.header("allow") or "").split(", ")) == allowed
    assert method == "HEAD" or is_error_object(answer)


@each(*(item for item in OPERATIONS if item.method == "GET" and item.tag != "WebSocket"))
def test_head_is_get_without_a_body(asked: Asked, operation: Operation) -> None:
    whole, head = asked.ask(operation), asked.ask(operation, method="HEAD")
    assert (head.status, head.body) == (whole.status, b"")
    assert head.header("content-type") == whole.header("content-type")
    if operation.path != "/metrics":  # which counts the first
        assert head.header("content-length") == whole.header("content-length")


@each(*(item for item in OPERATIONS if item.path.startswith(("/docs", "/openapi"))))
def test_what_is_known_already_is_not_sent_again(asked: Asked, operation: Operation) -> None:
    known = {"If-None-Match": asked.ask(operation).header("etag") or ""}
    answer = asked.ask(operation, headers=known)
    check(operation, answer, 304)
    assert answer.header("etag") == known["If-None-Match"]
    assert answer.header("transfer-encoding") is None


@each(*OPERATIONS)
def test_beyond_it_there_is_nothing(asked: Asked, operation: Operation) -> None:
    answer = asked.ask(operation, beyond="/beyond/it")
    assert answer.status == 404
    assert is_error_object(answer)


@each(*(item for item in OPERATIONS if "{id}" in item.path))
def test_what_there_is_not_is_not_found(asked: Asked, operation: Operation) -> None:
    body = json.dumps(
        operation.example | {"public_key": "x"} if "$" in str(operation.example) else operation.example
    )
    answer = asked.ask(operation, body.encode() if operation.bodies else b"")
    check(operation, answer, 404)
    assert answer.json()["error"]["code"].endswith("not_found")


@each(*(item for item in OPERATIONS if "query" in {parameter.where for parameter in item.parameters}))
def test_a_wrong_page_is_refused(asked: Asked, operation: Operation) -> None:
    for query in ("?limit=0", "?limit=x", "?after=x", "?surprise=1", "?limit=1&limit=2"):
        check(operation, asked.ask(operation, beyond=query), 404 if "{id}" in operation.path else 400, 400)


@each(*(item for item in OPERATIONS if item.tag == "WebSocket"))
def test_a_socket_s_path_without_an_upgrade(asked: Asked, operation: Operation) -> None:
    answer = asked.ask(operation)
    check(operation, answer, 426)
    assert answer.header("upgrade") == "websocket"


@each(*(item for item in OPERATIONS if item.path.startswith("/oauth/")))
def test_a_client_that_proves_nothing(asked: Asked, operation: Operation) -> None:
    check(operation, asked.ask(operation, b"grant_type=client_credentials&token=x", key=None), 401)
    check(operation, asked.ask(operation, b"{}", key=None, headers={"Content-Encoding": "gzip"}), 400)
    check(operation, asked.ask(operation, b"a=1&a=2", key=None), 400)


def test_every_documented_error_has_words() -> None:
    for operation in OPERATIONS:
        for status in operation.errors:
            assert response(operation, status)["description"]
