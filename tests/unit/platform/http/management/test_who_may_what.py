"""Every route × every standing × own, other and unknown objects, from the table that the routes are made from.

What is expected stands here once more, by hand: the rules under test are not asked what they should say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.unit.platform.identity.tenants import (
    ABSENT,
    ED25519,
    MAIN,
    OURS,
    ROOT,
    SPARE,
    STANDINGS,
    THEIR_PROJECT,
    THEIRS,
    World,
    call,
    credential_of,
    key_of,
    sqlite_world,
    user_of,
)

from abyssal.platform.http.management.endpoints import ENDPOINTS, KINDS, Endpoint
from abyssal.platform.identity.objects import caller_object
from abyssal.stores.rights import SCOPES
from abyssal.stores.sql.members import set_role

MINE = "mine"  # in place of an id: the caller's own


class Case(NamedTuple):
    """A request and its status for operator, owner, admin, member, viewer, service."""

    about: str
    id: str
    expected: str
    body: Any = None
    query: str = ""


READ = "200 200 200 200 200 404"
HIDDEN = "200 404 404 404 404 404"
LIST = "200 200 200 200 200 403"
WRITE_PROJECT = "200 200 200 403 403 404"

TENANCY: dict[tuple[str, str], list[Case]] = {
    ("GET", "/me"): [Case("self", "", "200 200 200 200 200 200")],
    ("GET", "/organizations"): [Case("all", "", LIST)],
    ("POST", "/organizations"): [Case("new", "", "201 403 403 403 403 403", {"name": "new"})],
    ("GET", "/organizations/{id}"): [Case("own", OURS, READ), Case("other", THEIRS, HIDDEN)],
    ("PATCH", "/organizations/{id}"): [
        Case("own", OURS, "200 200 403 403 403 404", {"name": "new"}),
        Case("other", THEIRS, HIDDEN, {"name": "new"}),
    ],
    ("DELETE", "/organizations/{id}"): [
        Case("own", OURS, "200 403 403 403 403 404"),
        Case("other", THEIRS, HIDDEN),
    ],
    ("GET", "/projects"): [
        Case("all", "", "200 200 200 200 200 200"),
        Case("own", "", "200 200 200 200 200 200", query=f"organization={OURS}"),
        Case("other", "", HIDDEN, query=f"organization={THEIRS}"),
    ],
    ("POST", "/projects"): [
        Case("default", "", "201 201 201 403 403 403", {"name": "new"}),
        Case("own", "", "201 201 201 403 403 404", {"name": "new", "organization": OURS}),
        Case("other", "", "201 404 404 404 404 404", {"name": "new", "organization": THEIRS}),
    ],
    ("GET", "/projects/{id}"): [
        Case("own", MAIN, "200 200 200 200 200 200"),
        Case("sister", SPARE, READ),
        Case("other", THEIR_PROJECT, HIDDEN),
    ],
    ("PATCH", "/projects/{id}"): [
        Case("own", MAIN, "200 200 200 403 403 403", {"name": "new"}),
        Case("sister", SPARE, WRITE_PROJECT, {"name": "new"}),
        Case("other", THEIR_PROJECT, HIDDEN, {"name": "new"}),
    ],
    ("DELETE", "/projects/{id}"): [
        Case("own", MAIN, "200 409 409 403 403 403"),
        Case("sister", SPARE, WRITE_PROJECT),
        Case("other", THEIR_PROJECT, HIDDEN),
    ],
    ("GET", "/members"): [
        Case("default", "", LIST),
        Case("own", "", LIST, query=f"organization={OURS}"),
        Case("other", "", "200 404 404 404 404 403", query=f"organization={THEIRS}"),
    ],
    ("POST", "/members"): [
        Case("default", "", "201 201 201 403 403 403", {"email": "a@new.example", "role": "member"}),
        Case("an owner", "", "201 201 403 403 403 403", {"email": "a@new.example", "role": "owner"}),
        Case(
            "other",
            "",
            "201 404 404 404 404 404",
            {"email": "a@new.example", "role": "member", "organization": THEIRS},
        ),
    ],
    ("GET", "/members/{id}"): [
        Case("own", "user_4a", READ, query=f"organization={OURS}"),
        Case("other", "user_1b", HIDDEN, query=f"organization={THEIRS}"),
        Case("other, not said", "user_1b", "404 404 404 404 404 404"),
    ],
    ("PATCH", "/members/{id}"): [
        Case("viewer", "user_4a", WRITE_PROJECT, {"role": "member"}, f"organization={OURS}"),
        Case("viewer up", "user_4a", "200 200 403 403 403 404", {"role": "owner"}, f"organization={OURS}"),
        Case("an owner", "user_9a", "200 200 403 403 403 404", {"role": "member"}, f"organization={OURS}"),
        Case("an operator", "user_0a", "200 403 403 403 403 404", {"role": "member"}, f"organization={OURS}"),
        Case("other", "user_1b", HIDDEN, {"role": "member"}, f"organization={THEIRS}"),
    ],
    ("DELETE", "/members/{id}"): [
        Case("viewer", "user_4a", WRITE_PROJECT, query=f"organization={OURS}"),
        Case("an owner", "user_9a", "200 200 403 403 403 404", query=f"organization={OURS}"),
        Case("an operator", "user_0a", "200 403 403 403 403 404", query=f"organization={OURS}"),
        Case("other", "user_1b", HIDDEN, query=f"organization={THEIRS}"),
    ],
    ("GET", "/notifications"): [
        Case("default", "", LIST),
        Case("other", "", "200 404 404 404 404 403", query=f"organization={THEIRS}"),
    ],
}

# For one credential, by whose it is.
CREDENTIAL_READ = {
    MINE: "200 200 200 200 200 200",
    "service": "200 200 200 200 200 200",
    "member": "200 200 200 200 200 200",
    "owner": "200 200 200 200 200 200",
    "operator": "200 200 200 200 200 200",
    "spare": READ,
    "theirs": HIDDEN,
}
CREDENTIAL_WRITE = {
    MINE: "200 200 200 200 403 200",
    "service": "200 200 200 403 403 200",
    "member": "200 200 200 200 403 403",
    "viewer": "200 200 200 403 403 403",
    "admin": "200 200 200 403 403 403",
    "owner": "200 200 403 403 403 403",
    "operator": "200 403 403 403 403 403",
    "spare": "200 200 200 403 403 404",
    "theirs": HIDDEN,
}
CREDENTIAL_LIST = [
    Case("all", "", "200 200 200 200 200 200"),
    Case("own", "", "200 200 200 200 200 200", query=f"project={MAIN}"),
    Case("sister", "", READ, query=f"project={SPARE}"),
    Case("other", "", HIDDEN, query=f"project={THEIR_PROJECT}"),
    Case("other organisation", "", HIDDEN, query=f"organization={THEIRS}"),
    Case(
        "a project of another", "", "404 404 404 404 404 404", query=f"project={MAIN}&organization={THEIRS}"
    ),
]
# By the project that is named and whose it is to be.
CREDENTIAL_CREATE = {
    (None, None): "201 201 201 201 403 201",
    (MAIN, None): "201 201 201 201 403 201",
    (MAIN, "member"): "201 201 201 201 403 404",
    (MAIN, "viewer"): "201 201 201 403 403 404",
    (MAIN, "admin"): "201 201 201 403 403 404",
    (MAIN, "owner"): "201 201 403 403 403 404",
    (MAIN, "operator"): "201 403 403 403 403 404",
    (SPARE, None): "201 201 201 201 403 404",
    (THEIR_PROJECT, None): "201 404 404 404 404 404",
    (THEIR_PROJECT, "member"): "404 404 404 404 404 404",
}
BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/{kind}/{id}"): {"name": "new"},
    ("POST", "/{kind}/{id}/rotate"): {"overlap": 60},
    ("POST", "/{kind}/{id}/revoke"): {},
    ("DELETE", "/{kind}/{id}"): None,
}


def cases_of(endpoint: Endpoint) -> list[Case]:
    """What is expected of a route; KeyError for one that nobody thought about here."""
    for path, kind in KINDS.items():
        if not endpoint.path.startswith(f"/{path}"):
            continue
        brought = {"public_key": ED25519} if kind == "public_key" else {}
        shape = (endpoint.method, endpoint.path.replace(f"/{path}", "/{kind}"))
        if shape == ("GET", "/{kind}"):
            return CREDENTIAL_LIST
        if shape == ("POST", "/{kind}"):
            return [
                Case(f"in {project} for {whose}", "", expected, {
                    "name": "new", **brought,
                    **({} if project is None else {"project": project}),
                    **({} if whose is None else {"user": user_of(whose)}),
                })
                for (project, whose), expected in CREDENTIAL_CREATE.items()
            ]  # fmt: skip
        if shape == ("GET", "/{kind}/{id}"):
            return [Case(whose, whose, expected) for whose, expected in CREDENTIAL_READ.items()]
        body = BODIES[shape]
        if shape[1].endswith("/rotate"):
            body = body | brought
        return [Case(whose, whose, expected, body) for whose, expected in CREDENTIAL_WRITE.items()]
    return TENANCY[endpoint.method, endpoint.path]


def kind_of(endpoint: Endpoint) -> str | None:
    return KINDS.get(endpoint.path.split("/")[1])


def asked_id(endpoint: Endpoint, case: Case, standing: str) -> str:
    kind = kind_of(endpoint)
    if kind is None or not case.id:
        return case.id
    return credential_of(kind, standing if case.id == MINE else case.id)


def named(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


@pytest.fixture
def fresh(tmp_path: Path, tenants_template: Path) -> Iterator[Callable[[Endpoint, Case, str], int]]:
    """Puts a request to a world that none before it has changed; gives the status."""
    with ExitStack() as worlds:
        unchanged: list[World] = []
        made = 0

        def ask(endpoint: Endpoint, case: Case, standing: str) -> int:
            nonlocal made
            if not unchanged:
                made += 1
                folder = tmp_path / str(made)
                folder.mkdir()
                unchanged.append(worlds.enter_context(sqlite_world(folder, tenants_template)))
            path = endpoint.path.replace("{id}", asked_id(endpoint, case, standing))
            answer = unchanged[0].ask(standing, endpoint.method, path, case.body, query=case.query)
            if endpoint.changes and answer.status < 300:
                unchanged.clear()
            return answer.status

        yield ask


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=named)
def test_who_may_what(endpoint: Endpoint, fresh: Callable[[Endpoint, Case, str], int]) -> None:
    found: dict[str, str] = {}
    expected: dict[str, str] = {}
    for case in cases_of(endpoint):
        expected[case.about] = case.expected
        found[case.about] = " ".join(str(fresh(endpoint, case, standing)) for standing in STANDINGS)
    assert found == expected


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=named)
def test_nobody_may_without_the_scope_admin(endpoint: Endpoint, world: World) -> None:
    """And whether the object exists makes no difference."""
    without = " ".join(scope for scope in SCOPES if scope != "admin")
    answers = set()
    for case in cases_of(endpoint):
        for wanted in (asked_id(endpoint, case, "owner"), f"org_{ABSENT}"):
            path = endpoint.path.replace("{id}", wanted)
            answer = world.ask("owner", endpoint.method, path, case.body, query=case.query, scopes=without)
            answers.add((answer.status, answer.body))
    assert [status for status, _ in answers] == [403]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=named)
def test_nobody_may_without_credentials(endpoint: Endpoint, world: World) -> None:
    case = cases_of(endpoint)[0]
    path = endpoint.path.replace("{id}", asked_id(endpoint, case, "owner"))
    for who in ("", "key_dead", "nonsense", "key_1' OR 1=1--", "key_1\0", "x" * 5000):
        answer = world.ask(who, endpoint.method, path, case.body, query=case.query)
        assert (answer.status, answer.code) == (401, "invalid_api_key"), who


WITH_ID = [endpoint for endpoint in ENDPOINTS if "{id}" in endpoint.path]
WITH_TENANT = [endpoint for endpoint in ENDPOINTS if {"organization", "project"} & set(endpoint.query)]


@pytest.mark.parametrize("standing", STANDINGS[1:])
@pytest.mark.parametrize("endpoint", WITH_ID, ids=named)
def test_anothers_id_and_an_unknown_one_get_the_same_bytes(
    endpoint: Endpoint, standing: str, world: World
) -> None:
    cases = [case for case in cases_of(endpoint) if case.about in ("other", "theirs")]
    assert cases
    for case in cases:
        theirs = asked_id(endpoint, case, standing)
        query = case.query if "organization=" not in case.query else ""
        answers = [
            world.ask(
                standing, endpoint.method, endpoint.path.replace("{id}", wanted), case.body, query=query
            )
            for wanted in (theirs, theirs.partition("_")[0] + "_" + ABSENT, "nonsense", "key_0' OR 1=1--")
        ]
        assert answers[0].status == 404
        assert theirs.encode() not in answers[0].body
        assert {repr(answer.whole) for answer in answers} == {repr(answers[0].whole)}


@pytest.mark.parametrize("standing", STANDINGS[1:])
@pytest.mark.parametrize("endpoint", WITH_TENANT, ids=named)
def test_anothers_tenant_and_an_unknown_one_get_the_same_bytes_in_queries(
    endpoint: Endpoint, standing: str, world: World
) -> None:
    path = endpoint.path.replace("{id}", "user_4a" if "member" in endpoint.path else MAIN)
    body = cases_of(endpoint)[0].body
    for name, theirs in (("organization", THEIRS), ("project", THEIR_PROJECT)):
        if name not in endpoint.query:
            continue
        answers = [
            world.ask(standing, endpoint.method, path, body, query={name: wanted})
            for wanted in (theirs, theirs[:4].rstrip("_") + "_" + ABSENT, "nonsense", "\0", "' OR 1=1--")
        ]
        assert answers[0].status in (403, 404)
        assert {repr(answer.whole) for answer in answers} == {repr(answers[0].whole)}


@pytest.mark.parametrize("standing", STANDINGS[1:])
@pytest.mark.parametrize(
    ("path", "field", "theirs", "body"),
    [
        ("/projects", "organization", THEIRS, {"name": "new"}),
        ("/members", "organization", THEIRS, {"email": "a@new.example", "role": "viewer"}),
        ("/keys", "project", THEIR_PROJECT, {"name": "new"}),
        ("/clients", "project", THEIR_PROJECT, {"name": "new"}),
        ("/keys", "user", "user_1b", {"name": "new"}),
    ],
)
def test_and_in_bodies(
    path: str, field: str, theirs: str, body: dict[str, Any], standing: str, world: World
) -> None:
    answers = [
        world.ask(standing, "POST", path, body | {field: wanted})
        for wanted in (theirs, theirs.partition("_")[0] + "_" + ABSENT, "nonsense", "\0", "' OR 1=1--")
    ]
    assert answers[0].status in (403, 404)
    assert {repr(answer.whole) for answer in answers} == {repr(answers[0].whole)}


def test_a_credential_of_one_kind_is_none_of_another(world: World) -> None:
    for path, kind in KINDS.items():
        for other in set(KINDS.values()) - {kind}:
            assert world.ask("operator", "GET", f"/{path}/{credential_of(other, 'member')}").status == 404


def test_a_row_without_a_permission_cannot_be_made() -> None:
    with pytest.raises(TypeError):
        Endpoint("GET", "/new")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="no permission"):
        Endpoint("GET", "/new", "", lambda turn, asked: turn)  # type: ignore[arg-type]


def test_a_route_that_asks_no_rule_answers_nothing_and_changes_nothing(world: World) -> None:
    def careless(turn: Any, _: Any) -> Any:
        set_role(turn.connection, OURS, "user_4a", "owner")
        return caller_object(turn.caller)

    app = world.app((Endpoint("POST", "/careless", "member:change", careless),))
    headers = {"x-abyssal-credential": key_of("viewer"), "x-abyssal-scopes": "admin"}
    with pytest.raises(RuntimeError, match="never asked"):
        call(app, "POST", f"{ROOT}/careless", b"", headers, b"")
    assert world.ask("viewer", "GET", "/members/user_4a").json["role"] == "viewer"
