"""Organisations, projects and members as commands name them; whoever has one of each names none."""

from __future__ import annotations

from collections.abc import Mapping

from abyssal.cli.finding import Noun, find, place
from abyssal.cli.limits import Limits
from abyssal.cli.management import Management, Object, Reach, opened, pages
from abyssal.cli.showing import Column, show_done, show_one, text_of, time_of
from abyssal.wire.errors import ConfigurationError

ORGANIZATION = Noun("organisation", "organisations", "orgs", "/organizations", ended="archived_at")
PROJECT = Noun("project", "projects", "projects", "/projects", ended="archived_at")
MEMBER = Noun("member", "members", "members", "/members", names=("email", "name"))

TENANT_COLUMNS = (
    Column("id", text_of("id"), "bold"),
    Column("name", text_of("name")),
    Column("scopes", text_of("scopes")),
    Column("models", text_of("models")),
    Column("networks", text_of("networks")),
    Column("made", time_of("created_at")),
    Column("archived", time_of("archived_at"), "red"),
)


def within(management: Management, org: str | None, project: str | None = None) -> dict[str, str]:
    """The query that keeps a list to the organisation and the project that were named, if any was."""
    query: dict[str, str] = {}
    if org is not None:
        query["organization"] = find(management, ORGANIZATION, org, {})["id"]
    if project is not None:
        query["project"] = find(management, PROJECT, project, query)["id"]
    return query


def project_for(management: Management, org: str | None, project: str | None) -> Object | None:
    """The project that something new belongs to; None where neither was named: the platform chooses.

    Raises ConfigurationError when only an organisation was named and it has several.
    """
    if org is None and project is None:
        return None
    query = within(management, org)
    if project is not None:
        return find(management, PROJECT, project, query)
    live = [found for found in pages(management, "/projects", query) if not found.get("archived_at")]
    if len(live) == 1:
        return live[0]
    if not live:
        raise ConfigurationError(
            f'The organisation "{org}" has no project; make one: abyssal projects create NAME --org {org}'
        )
    names = ", ".join(found["name"] for found in live[:20])
    raise ConfigurationError(
        f'The organisation "{org}" has {len(live)} projects; name one with --project: {names}'
    )


def find_member(management: Management, who: str, query: Mapping[str, str]) -> Object:
    """A member by address, name or id; addresses are kept in lower case."""
    return find(management, MEMBER, who.lower() if "@" in who else who, query)


def create_tenant(
    noun: Noun, reach: Reach, name: str, limits: Limits, org: str | None, *, as_json: bool
) -> None:
    """Make an organisation, or a project in the organisation that is named."""
    body: Object = {"name": name.strip(), **limits.fields()}
    with opened(reach) as management:
        made = management.request("POST", noun.path, json=body | within(management, org))
    show_done(made, made["id"], as_json=as_json)


def show_tenant(noun: Noun, reach: Reach, which: str, org: str | None, *, as_json: bool) -> None:
    """Everything about an organisation or a project."""
    with opened(reach) as management:
        found = find(management, noun, which, within(management, org))
    show_one(found, TENANT_COLUMNS, as_json=as_json)


def archive_tenant(noun: Noun, reach: Reach, which: str, org: str | None, *, as_json: bool) -> None:
    """Take an organisation or a project out of use."""
    with opened(reach) as management:
        found = find(management, noun, which, within(management, org))
        ended = management.request("DELETE", place(noun, found["id"]))
    done = "was archived before" if found["archived_at"] else "is archived now"
    show_done(ended, f"{found['id']} ({found['name']}) {done}", as_json=as_json)
