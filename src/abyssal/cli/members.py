"""`abyssal members`: the people of an organisation, and what each may do there."""

from __future__ import annotations

from typing import Annotated

import typer

from abyssal.cli.credential_commands import command_group
from abyssal.cli.finding import place
from abyssal.cli.management import Object, Reach, opened, pages
from abyssal.cli.management_options import ConfigOption, OrgOption, PlatformOption
from abyssal.cli.options import ApiKeyOption, DataOption, JsonOption
from abyssal.cli.showing import Column, show_done, show_list, show_one, text_of, time_of
from abyssal.cli.tenants import MEMBER, find_member, within
from abyssal.stores.rights import Role

_COLUMNS = (
    Column("id", text_of("id"), "bold"),
    Column("email", text_of("email")),
    Column("name", text_of("name")),
    Column("role", text_of("role")),
    Column("since", time_of("created_at")),
)
Who = Annotated[str, typer.Argument(metavar="WHO", help="An e-mail address, or a user's id.")]

members = command_group("Add, list, change and remove the people of an organisation.")


@members.command("list")
def list_members(
    org: OrgOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    base_url: PlatformOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the members, the first one first."""
    with opened(Reach(data, config, base_url, api_key)) as management:
        found = list(pages(management, MEMBER.path, within(management, org)))
    show_list(found, _COLUMNS, MEMBER, as_json=as_json)


@members.command()
def create(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="Whom to add.")],
    role: Annotated[
        Role, typer.Option("--role", metavar="ROLE", help="owner, admin, member or viewer.")
    ] = "member",
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What to call the person.")
    ] = None,
    org: OrgOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    base_url: PlatformOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a person to an organisation, in a role."""
    body: Object = {"email": email.strip(), "role": role}
    if name is not None:
        body["name"] = name.strip()
    with opened(Reach(data, config, base_url, api_key)) as management:
        made = management.request("POST", MEMBER.path, json=body | within(management, org))
    show_done(made, made["id"], as_json=as_json)


@members.command()
def show(
    who: Who,
    org: OrgOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    base_url: PlatformOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a member."""
    with opened(Reach(data, config, base_url, api_key)) as management:
        found = find_member(management, who, within(management, org))
    show_one(found, _COLUMNS, as_json=as_json)


@members.command()
def role(
    who: Who,
    role: Annotated[Role, typer.Argument(metavar="ROLE", help="owner, admin, member or viewer.")],
    org: OrgOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    base_url: PlatformOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a member another role."""
    with opened(Reach(data, config, base_url, api_key)) as management:
        query = within(management, org)
        found = find_member(management, who, query)
        changed = management.request("PATCH", place(MEMBER, found["id"]), query=query, json={"role": role})
    show_done(changed, f"{changed['id']} ({changed['email']}) is {role} now", as_json=as_json)


@members.command()
@members.command("revoke", hidden=True)
def remove(
    who: Who,
    org: OrgOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    base_url: PlatformOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a person from an organisation, with the credentials that are theirs there. (Also: revoke.)"""
    with opened(Reach(data, config, base_url, api_key)) as management:
        query = within(management, org)
        found = find_member(management, who, query)
        gone = management.request("DELETE", place(MEMBER, found["id"]), query=query)
    show_done(gone, f"{found['id']} ({found['email']}) is removed now", as_json=as_json)
