"""Whatever a string holds, it goes nowhere: it is stored as it is, refused, or finds nothing; never a fault."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from tests.unit.platform.identity.tenants import ED25519, MAIN, OURS, ROOT, World, call, key_of

from abyssal.platform.http.management.endpoints import ENDPOINTS, Endpoint
from abyssal.platform.identity.drafts import LimitsChange
from abyssal.stores.sql.schema import metadata

HOSTILE = (
    "' OR 1=1--",
    "'; DROP TABLE users; --",
    '" OR ""="',
    "\0",
    "a\0b",
    "%00",
    "../../../etc/passwd",
    "${jndi:ldap://x}",
    "x" * 300,
    "y" * 100_000,
    "🐙🏴‍☠️",
    "\u202etxt.exe",
    "name\r\nx-injected: 1",
    "\ufffe\uffff",
    "",
    " ",
    "NULL",
    "[]",
    "\\",
    "%",
    "_",
)
FITTING: dict[str, Any] = {
    "name": "new",
    "email": "new@ours.example",
    "role": "member",
    "project": MAIN,
    "organization": OURS,
    "user": "user_1a",
    "scopes": ["chat"],
    "models": ["deepseek-chat"],
    "networks": ["10.0.0.0/8"],
    "expires_at": "2030-01-01T00:00:00Z",
    "public_key": ED25519,
}


def texts_of(body: type[msgspec.Struct]) -> Iterator[tuple[str, bool]]:
    """The fields that are strings or lists of strings, and whether they are lists."""
    for field in msgspec.structs.fields(body):
        if field.name in FITTING:
            yield field.name, isinstance(FITTING[field.name], list)


WITH_BODY = [endpoint for endpoint in ENDPOINTS if endpoint.body and list(texts_of(endpoint.body))]
ID_OF = {"organizations": OURS, "projects": MAIN, "members": "user_4a"}


def named(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def path_of(endpoint: Endpoint) -> str:
    first = endpoint.path.split("/")[1]
    prefix = {"keys": "key", "clients": "client", "signing-keys": "sig", "public-keys": "pub"}
    if "{id}" not in endpoint.path:
        return endpoint.path
    return endpoint.path.replace("{id}", ID_OF.get(first) or f"{prefix[first]}_e3")


def rows(world: World) -> dict[str, int]:
    return {table.name: world.count(table) for table in metadata.sorted_tables}


def test_every_kind_of_string_is_there() -> None:
    """The test below would not notice if a body had no string any more."""
    fields = {name for endpoint in WITH_BODY for name, _ in texts_of(endpoint.body or LimitsChange)}
    assert fields == set(FITTING)


@pytest.mark.parametrize("endpoint", WITH_BODY, ids=named)
def test_in_bodies(endpoint: Endpoint, world: World) -> None:
    assert endpoint.body is not None
    required = {field.name for field in msgspec.structs.fields(endpoint.body) if field.required}
    fitting = {name: FITTING[name] for name in required}
    fitting |= {
        name: FITTING[name] for name in ("organization", "project") if name in endpoint.body.__struct_fields__
    }
    query = {"organization": OURS} if endpoint.query else None
    for field, many in texts_of(endpoint.body):
        for number, text in enumerate(HOSTILE):
            if "email" in fitting:
                fitting["email"] = f"{field}{number}@ours.example"
            body = fitting | {field: [text] if many else text}
            answer = world.ask("operator", endpoint.method, path_of(endpoint), body, query=query)
            assert answer.status in (200, 201, 400, 404), (field, text[:20], answer.body[:200])
            if answer.status < 300:
                assert answer.json[field] in (text.strip(), [text.strip()]), (field, text)
            else:
                assert len(answer.body) < 1000
                assert answer.status == 404 or answer.param in (field, f"{field}[0]"), (field, text[:20])
    assert rows(world).keys() == {table.name for table in metadata.sorted_tables}
    assert world.ask("owner", "GET", "/me").status == 200


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if "{id}" in e.path], ids=named)
def test_in_paths(endpoint: Endpoint, world: World) -> None:
    before = rows(world)
    body = {} if endpoint.body is None else {
        field.name: FITTING[field.name] for field in msgspec.structs.fields(endpoint.body) if field.required
    }  # fmt: skip
    for text in HOSTILE:
        if "/" in text or not text:
            continue  # another path
        answer = world.ask("operator", endpoint.method, endpoint.path.replace("{id}", text), body)
        assert (answer.status, answer.code) == (404, "not_found"), text[:20]
    assert rows(world) == before


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.query], ids=named)
def test_in_queries(endpoint: Endpoint, world: World) -> None:
    for name in endpoint.query:
        for text in HOSTILE:
            answer = world.ask(
                "operator", endpoint.method, path_of(endpoint), {"role": "member"}, query={name: text}
            )
            assert answer.status in (400, 404), (name, text[:20])
            if answer.status == 400:
                assert answer.param == name


@pytest.mark.parametrize(
    "query",
    ["unknown=1", "%00=1", "limit=1&limit=2", "limit", "after=%FF%FE", "limit=%EF%BC%91", "=&=", "limit[]=1"],
)
def test_a_strange_query_is_refused(query: str, world: World) -> None:
    answer = world.ask("owner", "GET", "/keys", query=query)
    assert answer.status == 400
    assert answer.param is not None


@pytest.mark.parametrize(
    "name", ["Ω-Team", "東京", "a'b\"c", "<script>", "x" * 200, "'; DROP TABLE users; --"]
)
def test_a_name_is_kept_as_it_is(name: str, world: World) -> None:
    made = world.ask("owner", "POST", "/projects", {"name": f"  {name} "})
    assert made.status == 201
    assert world.ask("owner", "GET", f"/projects/{made.json['id']}").json["name"] == name


@pytest.mark.parametrize(
    ("raw", "param", "code"),
    [
        (b"{", None, "invalid_json"),
        (b"", "name", "missing_field"),
        (b"[]", None, "invalid_json"),
        (b"null", None, "invalid_json"),
        (b'{"name":"\xff"}', None, "invalid_utf8"),
        (b'{"name":"\\ud800"}', None, "invalid_json"),
        (b'{"name":"a","nmae":"b"}', "nmae", "unknown_field"),
        (b'{"name":"a","a`b - at `$.c`":"b"}', "a`b - at `$.c`", "unknown_field"),
        (b'{"name":1}', "name", "invalid_value"),
        (b'{"name":"a","scopes":"chat"}', "scopes", "invalid_value"),
        (b'{"name":"a","scopes":[1]}', "scopes[0]", "invalid_value"),
        (b'{"name":"a","scopes":[]}', "scopes", "invalid_value"),
        (b'{"name":"a","scopes":["root"]}', "scopes", "invalid_value"),
        (b'{"name":"a","models":[""]}', "models", "invalid_value"),
        (b'{"name":"a","networks":["10.0.0.1/8"]}', "networks", "invalid_value"),
        (b'{"name":"a","networks":["10.0.0.0/33"]}', "networks", "invalid_value"),
        (b'{"name":"a","networks":["fe80::%eth0/64"]}', "networks", "invalid_value"),
        (b'{"name":"a","expires_at":"2001-01-01T00:00:00Z"}', "expires_at", "invalid_value"),
        (b'{"name":"a","expires_at":"9999-12-31T23:59:59-14:00"}', "expires_at", "invalid_value"),
        (b'{"name":"a","expires_at":"0001-01-01T00:00:00+14:00"}', "expires_at", "invalid_value"),
        (b'{"name":"a","expires_at":"2030-01-01T00:00:00"}', "expires_at", "invalid_value"),
        (b'{"name":"a","expires_in":0}', "expires_in", "invalid_value"),
        (b'{"name":"a","expires_in":99999999999}', "expires_in", "invalid_value"),
        (b'{"name":"a","expires_in":1,"expires_at":"2030-01-01T00:00:00Z"}', "expires_in", "invalid_request"),
        (b'{"name":"a","secret":"sk-mine"}', "secret", "unknown_field"),
        (b"[" * 200 + b"]" * 200, None, "nested_too_deeply"),
    ],
)  # fmt: skip
def test_a_body_that_does_not_fit_is_refused(raw: bytes, param: str | None, code: str, world: World) -> None:
    answer = world.ask("owner", "POST", "/keys", raw=raw)
    assert (answer.status, answer.param, answer.code) == (400, param, code)


def test_a_body_is_bounded(world: World) -> None:
    answer = world.ask("owner", "POST", "/keys", raw=b'{"name":"' + b"x" * 300_000 + b'"}')
    assert (answer.status, answer.code) == (413, "payload_too_large")


def test_the_largest_lists_fit(world: World) -> None:
    models = ["東" * 190 + str(number) for number in range(500)]
    body = {"name": "a", "models": models, "networks": [f"10.{n}.0.0/16" for n in range(64)]}
    answer = world.ask("owner", "POST", "/projects", raw=msgspec.json.encode(body))
    assert answer.status == 413  # in the longest script they do not
    body["models"] = ["x" * 190 + str(number) for number in range(500)]
    assert world.ask("owner", "POST", "/projects", body).status == 201


def test_head_and_other_methods(world: World) -> None:
    headers = {"x-abyssal-credential": key_of("owner"), "x-abyssal-scopes": "admin"}
    assert call(world.app(), "HEAD", f"{ROOT}/me", b"", headers, b"").status == 200
    answer = call(world.app(), "PUT", f"{ROOT}/keys/key_e1", b"", headers, b"{}")
    assert answer.status == 405
    allow = dict(answer.headers)[b"allow"].decode()
    assert {"GET", "PATCH", "DELETE"} <= set(allow.split(", "))
