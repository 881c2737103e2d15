"""The management routes, made from their own table of endpoints; here are words, answers and examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

from msgspec import Meta

from abyssal.contract.operation import JSON, Answer, Body, Operation, Parameter
from abyssal.platform.http.management.endpoints import ENDPOINTS, KINDS, ROOT, Endpoint
from abyssal.platform.identity.objects import (
    CallerObject,
    CredentialObject,
    MemberObject,
    NotificationObject,
    OrganizationObject,
    ProjectObject,
)
from abyssal.platform.identity.pages import Page

_KEY = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
_QUERY = {
    "limit": Parameter("limit", "query", "How many; 50 unless said.", Annotated[int, Meta(ge=1, le=200)]),
    "after": Parameter("after", "query", "The `next` of the page before."),
    "organization": Parameter("organization", "query", "The organisation; absent: the caller's."),
    "project": Parameter("project", "query", "Only those of this project."),
}
REPEATABLE = Parameter(
    "Idempotency-Key",
    "header",
    "The same key within a day gets the same answer; a random UUID is a good one.",
    Annotated[str, Meta(min_length=1, max_length=255, pattern="^[!-~]+$")],
)
PAGE = (_QUERY["limit"], _QUERY["after"])
_ID = Parameter("id", "path", "Its id.", required=True)


class _Said(NamedTuple):
    id: str
    summary: str
    answer: Any
    answered: str
    example: Any = None


_ONE = {
    "organizations": ("Organization", "organisation", OrganizationObject),
    "projects": ("Project", "project", ProjectObject),
    "members": ("Member", "member", MemberObject),
    "notifications": ("Notification", "notification", NotificationObject),
    "keys": ("Key", "API key", CredentialObject),
    "clients": ("Client", "OAuth client", CredentialObject),
    "signing-keys": ("SigningKey", "signing key", CredentialObject),
    "public-keys": ("PublicKey", "public key", CredentialObject),
}
_VERBS = {
    "GET": ("show", "Show"),
    "PATCH": ("change", "Change"),
    "rotate": ("rotate", "Give a new secret to"),
    "revoke": ("revoke", "Revoke"),
}
_DELETES = {
    "organizations": ("archive", "Archive"),
    "projects": ("archive", "Archive"),
    "members": ("remove", "Remove"),
}
_DRAFTS: dict[str, Any] = {
    "organizations": {"name": "Research"},
    "projects": {"name": "Search", "scopes": ["chat"]},
    "members": {"email": "$EMAIL", "name": "Ada", "role": "member"},
    "public-keys": {"name": "robot", "scopes": ["chat"], "public_key": "$PUBLIC_KEY"},
}
_CHANGES: dict[str, Any] = {"members": {"role": "viewer"}}


def _said(endpoint: Endpoint) -> _Said:
    _, family, *rest = endpoint.path.split("/")
    if family == "me":
        return _Said("showCaller", "Who asks", CallerObject, "The caller.")
    name, what, answer = _ONE[family]
    now = f"The {what} as it is now."
    an = "an" if what[0] in "aoAO" else "a"
    if not rest:
        if endpoint.method == "GET":
            return _Said(f"list{name}s", f"List {what}s", Page[answer], "A page of them.")
        draft = _DRAFTS.get(family, {"name": "robot", "scopes": ["chat"]})
        return _Said(f"create{name}", f"Make {an} {what}", answer, f"The new {what}.", draft)
    if len(rest) == 2:
        verb, words = _VERBS[rest[1]]
        example: Any = {}
        if rest[1] == "rotate":
            example = {"overlap": 3600} | ({"public_key": "$PUBLIC_KEY"} if family == "public-keys" else {})
        return _Said(f"{verb}{name}", f"{words} {an} {what}", answer, now, example)
    if endpoint.method == "DELETE":
        verb, words = _DELETES.get(family, ("delete", "Revoke"))
        return _Said(f"{verb}{name}", f"{words} {an} {what}", answer, now)
    verb, words = _VERBS[endpoint.method]
    changed = _CHANGES.get(family, {"name": "Renamed"}) if endpoint.method == "PATCH" else None
    return _Said(f"{verb}{name}", f"{words} {an} {what}", answer, now, changed)


def _operation(endpoint: Endpoint) -> Operation:
    said = _said(endpoint)
    family = endpoint.path.split("/")[1]
    has_id = "{id}" in endpoint.path
    creates = endpoint.status == 201
    return Operation(
        id=said.id,
        method=endpoint.method,
        path=ROOT + endpoint.path,
        tag="Credentials" if family in KINDS else "Organisations",
        summary=said.summary,
        says="`secret` is shown in this answer and never again."
        if family in KINDS and family != "public-keys" and (creates or endpoint.path.endswith("/rotate"))
        else "",
        scope="admin",
        parameters=(
            *((_ID,) if has_id else ()),
            *(_QUERY[name] for name in endpoint.query),
            *((REPEATABLE,) if endpoint.repeatable else ()),
        ),
        bodies=() if endpoint.body is None else (Body(JSON, endpoint.body),),
        answers=(Answer(said.answered, (Body(JSON, said.answer),), endpoint.status),),
        errors=(
            *((404,) if has_id or "organization" in endpoint.query or endpoint.body else ()),
            *((409,) if endpoint.changes else ()),
            *((413, 415) if endpoint.body else ()),
        ),
        example=said.example,
        names=(("id", f"{family.removesuffix('s').replace('-', '_')}_id".upper()),) if has_id else (),
    )


def _operations() -> Iterator[Operation]:
    for endpoint in ENDPOINTS:
        yield _operation(endpoint)


MANAGEMENT: tuple[Operation, ...] = tuple(_operations())
