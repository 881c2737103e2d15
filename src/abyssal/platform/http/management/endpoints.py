"""Every management route as a row: method, path, which permission it needs, what it does.

Routes and the test of who may do what are made from this table; a row without a permission cannot be made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import get_args

import msgspec

from abyssal.platform.http.once import Asked
from abyssal.platform.identity import credentials as creds
from abyssal.platform.identity import drafts, members, organizations, projects
from abyssal.platform.identity.me import show_caller
from abyssal.platform.identity.notifications import list_notifications
from abyssal.platform.identity.pages import QUERY
from abyssal.platform.identity.rotation import rotate_credential
from abyssal.platform.identity.rules import Permission
from abyssal.platform.identity.transaction import Transaction

ROOT = "/v1/platform"
ID = "{id}"
KINDS = {"keys": "api_key", "clients": "client", "signing-keys": "signing_key", "public-keys": "public_key"}
_PERMISSIONS = frozenset(get_args(Permission))


Handle = Callable[[Transaction, Asked], msgspec.Struct]


class Endpoint(msgspec.Struct, frozen=True):
    """One route. `query`: the parameters that it takes. `repeatable`: it makes something, has an answer that
    is shown once, and takes an idempotency key.

    `body` is the type of its body, None where it takes none. ValueError for a permission that there is not.
    """

    method: str
    path: str
    permission: Permission
    handle: Handle
    query: tuple[str, ...] = ()
    body: type[msgspec.Struct] | None = None
    status: int = 200
    repeatable: bool = False

    def __post_init__(self) -> None:
        if self.permission not in _PERMISSIONS:
            raise ValueError(f"{self.method} {self.path}: {self.permission!r} is no permission of the rules")

    @property
    def changes(self) -> bool:
        """Whether it writes."""
        return self.method != "GET"


def _tenancy() -> Iterator[Endpoint]:
    of = ("organization",)
    yield Endpoint("GET", "/me", "caller:read", lambda turn, _: show_caller(turn))
    yield Endpoint(
        "GET",
        "/organizations",
        "organization:read",
        lambda turn, asked: organizations.list_organizations(turn, asked.query),
        QUERY,
    )
    yield _creation(
        "/organizations",
        "organization:create",
        lambda turn, asked: organizations.create_organization(turn, asked.body),
        drafts.OrganizationDraft,
    )
    yield Endpoint(
        "GET",
        f"/organizations/{ID}",
        "organization:read",
        lambda turn, asked: organizations.show_organization(turn, asked.id),
    )
    yield Endpoint(
        "PATCH",
        f"/organizations/{ID}",
        "organization:change",
        lambda turn, asked: organizations.change_organization(turn, asked.id, asked.body),
        body=drafts.LimitsChange,
    )
    yield Endpoint(
        "DELETE",
        f"/organizations/{ID}",
        "organization:archive",
        lambda turn, asked: organizations.archive_organization(turn, asked.id),
    )
    yield Endpoint(
        "GET",
        "/projects",
        "project:read",
        lambda turn, asked: projects.list_projects(turn, asked.query),
        (*QUERY, *of),
    )
    yield _creation(
        "/projects",
        "project:create",
        lambda turn, asked: projects.create_project(turn, asked.body),
        drafts.ProjectDraft,
    )
    yield Endpoint(
        "GET",
        f"/projects/{ID}",
        "project:read",
        lambda turn, asked: projects.show_project(turn, asked.id, asked.query),
        of,
    )
    yield Endpoint(
        "PATCH",
        f"/projects/{ID}",
        "project:change",
        lambda turn, asked: projects.change_project(turn, asked.id, asked.body),
        body=drafts.LimitsChange,
    )
    yield Endpoint(
        "DELETE",
        f"/projects/{ID}",
        "project:archive",
        lambda turn, asked: projects.archive_project(turn, asked.id),
    )
    yield Endpoint(
        "GET",
        "/members",
        "member:read",
        lambda turn, asked: members.list_members(turn, asked.query),
        (*QUERY, *of),
    )
    yield _creation(
        "/members",
        "member:create",
        lambda turn, asked: members.create_member(turn, asked.body),
        drafts.MemberDraft,
    )
    yield Endpoint(
        "GET",
        f"/members/{ID}",
        "member:read",
        lambda turn, asked: members.show_member(turn, asked.id, asked.query),
        of,
    )
    yield Endpoint(
        "PATCH",
        f"/members/{ID}",
        "member:change",
        lambda turn, asked: members.change_member(turn, asked.id, asked.query, asked.body),
        of,
        drafts.MemberChange,
    )
    yield Endpoint(
        "DELETE",
        f"/members/{ID}",
        "member:remove",
        lambda turn, asked: members.remove_one_member(turn, asked.id, asked.query),
        of,
    )
    yield Endpoint(
        "GET",
        "/notifications",
        "notification:read",
        lambda turn, asked: list_notifications(turn, asked.query),
        (*QUERY, *of),
    )


def _credentials(path: str, kind: str) -> Iterator[Endpoint]:
    brought = kind == "public_key"
    one = f"/{path}/{ID}"
    yield Endpoint(
        "GET",
        f"/{path}",
        "credential:read",
        lambda turn, asked: creds.list_credentials(turn, kind, asked.query),
        (*QUERY, "organization", "project"),
    )
    yield _creation(
        f"/{path}",
        "credential:create",
        lambda turn, asked: creds.create_credential(turn, kind, asked.body),
        drafts.PublicKeyDraft if brought else drafts.CredentialDraft,
    )
    yield Endpoint(
        "GET",
        one,
        "credential:read",
        lambda turn, asked: creds.show_credential(turn, kind, asked.id),
    )
    yield Endpoint(
        "PATCH",
        one,
        "credential:change",
        lambda turn, asked: creds.change_credential(turn, kind, asked.id, asked.body),
        body=drafts.CredentialChange,
    )
    yield Endpoint(
        "POST",
        f"{one}/rotate",
        "credential:rotate",
        lambda turn, asked: rotate_credential(turn, kind, asked.id, asked.body),
        body=drafts.PublicKeyRotation if brought else drafts.Rotation,
        repeatable=True,
    )
    for method, where in (("DELETE", one), ("POST", f"{one}/revoke")):
        yield Endpoint(
            method,
            where,
            "credential:revoke",
            lambda turn, asked: creds.revoke_credential(turn, kind, asked.id),
            body=drafts.Nothing if method == "POST" else None,
        )


def _creation(path: str, permission: Permission, handle: Handle, body: type[msgspec.Struct]) -> Endpoint:
    return Endpoint("POST", path, permission, handle, body=body, status=201, repeatable=True)


ENDPOINTS: tuple[Endpoint, ...] = (
    *_tenancy(),
    *(endpoint for path, kind in KINDS.items() for endpoint in _credentials(path, kind)),
)
