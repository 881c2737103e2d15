"""What the commands of every kind of credential do: list, create, show, rotate, revoke."""

from __future__ import annotations

import sys

import msgspec

from abyssal.cli.finding import Noun, find, place
from abyssal.cli.limits import Limits
from abyssal.cli.management import Management, Object, Reach, opened, pages
from abyssal.cli.moments import local_time, parse_duration, parse_end
from abyssal.cli.showing import Column, show_done, show_list, show_one, show_secret, text_of, time_of
from abyssal.cli.tenants import PROJECT, find_member, project_for, within


class Wanted(msgspec.Struct, frozen=True):
    """What the options say of a credential to be made. `public_key` is the public half that was given."""

    name: str
    limits: Limits
    expires: str | None
    user: str | None
    project: str | None
    org: str | None
    public_key: str | None = None


def list_credentials(
    noun: Noun, reach: Reach, project: str | None, org: str | None, *, as_json: bool
) -> None:
    """List them, oldest first. On a terminal the project appears if there is more than one."""
    with opened(reach) as management:
        found = list(pages(management, noun.path, within(management, org, project)))
        columns = [*_columns(noun), *_project_columns(management, found, as_json)]
    show_list(found, columns, noun, as_json=as_json)


def create_credential(noun: Noun, reach: Reach, wanted: Wanted, *, as_json: bool) -> None:
    """Make one and show what it is used with: its secret, this once; a public key's id."""
    body: Object = {"name": wanted.name.strip(), **wanted.limits.fields()}
    if wanted.expires is not None:
        body |= parse_end(wanted.expires, "--expires")
    if wanted.public_key is not None:
        body["public_key"] = wanted.public_key
    with opened(reach) as management:
        project = project_for(management, wanted.org, wanted.project)
        if project is not None:
            body["project"] = project["id"]
        if wanted.user is not None:
            query = {} if project is None else {"organization": project["organization"]}
            body["user"] = find_member(management, wanted.user, query)["id"]
        made = management.request("POST", noun.path, json=body)
    _show_made(made, "", as_json=as_json)


def show_credential(noun: Noun, reach: Reach, which: str, *, as_json: bool) -> None:
    """Everything about one, but its secret."""
    with opened(reach) as management:
        found = find(management, noun, which, {})
    show_one(found, _DETAILS, as_json=as_json)


def rotate_credential(
    noun: Noun, reach: Reach, which: str, overlap: str, *, as_json: bool, public_key: str | None = None
) -> None:
    """Put a new secret beside the old one, which ends after `overlap`."""
    body: Object = {"overlap": parse_duration(overlap, "--overlap")}
    if public_key is not None:
        body["public_key"] = public_key
    with opened(reach) as management:
        found = find(management, noun, which, {})
        made = management.request("POST", f"{place(noun, found['id'])}/rotate", json=body)
    ends = [secret["expires_at"] for secret in made["secrets"] if secret["expires_at"]]
    old = f"is good until {local_time(ends[0])}" if ends else "is out of force"
    _show_made(made, f"The one before {old}.", as_json=as_json)


def revoke_credential(noun: Noun, reach: Reach, which: str, *, as_json: bool) -> None:
    """Take one out of force, for good."""
    with opened(reach) as management:
        found = find(management, noun, which, {})
        before = found["revoked_at"] is not None
        ended = management.request("POST", f"{place(noun, found['id'])}/revoke")
    done = "was revoked before" if before else "is revoked now"
    show_done(ended, f"{found['id']} ({found['name']}) {done}", as_json=as_json)


def _show_made(made: Object, remark: str, *, as_json: bool) -> None:
    kept = f"{made['id']}, for {made['name']}."
    if "secret" in made:
        kept += " Keep it: it is shown this once."
    show_secret(made, made.get("secret", made["id"]), f"{kept} {remark}".strip(), as_json=as_json)


def _project_columns(management: Management, found: list[Object], as_json: bool) -> list[Column]:
    if as_json or not sys.stdout.isatty():
        return [Column("project", text_of("project"))]
    if len({one["project"] for one in found}) < 2:
        return []
    names = {project["id"]: project["name"] for project in pages(management, PROJECT.path, {})}
    return [Column("project", lambda one: names.get(one["project"], one["project"]))]


def _columns(noun: Noun) -> tuple[Column, ...]:
    """What version 0.1 showed comes first: scripts cut these columns."""
    return (
        Column("id", text_of("id"), "bold"),
        Column("name", text_of("name")),
        Column("key" if "key" in noun.one else "secret", _hint),
        Column("made", time_of("created_at")),
        Column("revoked", time_of("revoked_at"), "red"),
        Column("expires", time_of("expires_at")),
        Column("last used", time_of("last_used_at")),
    )


def _hint(found: Object) -> str:
    return f"...{found['hint']}" if found.get("hint") else ""


def _secrets(found: Object) -> str:
    """The hints of all that prove it."""
    shown: list[str] = []
    for secret in found["secrets"]:
        until = f" until {local_time(secret['expires_at'])}" if secret["expires_at"] else ""
        shown.append(f"...{secret['hint']}{until}")
    return ", ".join(shown)


_DETAILS = (
    Column("id", text_of("id")),
    Column("name", text_of("name")),
    Column("secrets", _secrets),
    Column("scopes", text_of("scopes")),
    Column("models", text_of("models")),
    Column("networks", text_of("networks")),
    Column("project", text_of("project")),
    Column("user", text_of("user")),
    Column("made", time_of("created_at")),
    Column("expires", time_of("expires_at")),
    Column("last used", time_of("last_used_at")),
    Column("revoked", time_of("revoked_at")),
)
