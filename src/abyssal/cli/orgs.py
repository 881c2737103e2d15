"""`abyssal orgs`: organisations, each with projects, members and limits of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from abyssal.cli.credential_commands import command_group
from abyssal.cli.editing import changes_of, edit_object
from abyssal.cli.limits import Limits
from abyssal.cli.management import Reach, opened, pages
from abyssal.cli.management_options import (
    ConfigOption,
    ModelNameOption,
    NetworkOption,
    NewNameOption,
    PlatformOption,
    ScopeOption,
    Which,
)
from abyssal.cli.options import ApiKeyOption, DataOption, JsonOption
from abyssal.cli.showing import show_list
from abyssal.cli.tenants import ORGANIZATION, TENANT_COLUMNS, archive_tenant, create_tenant, show_tenant

orgs = command_group("Make, list, change and archive organisations. Whoever has one never needs to name it.")


@orgs.command("list")
def list_orgs(
    data: DataOption = None,
    config: ConfigOption = None,
    base_url: PlatformOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the organisations, oldest first."""
    with opened(Reach(data, config, base_url, api_key)) as management:
        found = list(pages(management, ORGANIZATION.path, {}))
    show_list(found, TENANT_COLUMNS, ORGANIZATION, as_json=as_json)


@orgs.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")],
    scope: ScopeOption = None,
    model: ModelNameOption = None,
    network: NetworkOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    base_url: PlatformOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an organisation. Scopes, models and networks that are named limit all that is in it."""
    reach = Reach(data, config, base_url, api_key)
    create_tenant(ORGANIZATION, reach, name, Limits(scope, model, network), None, as_json=as_json)


@orgs.command()
def show(
    which: Which,
    data: DataOption = None,
    config: ConfigOption = None,
    base_url: PlatformOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an organisation and its limits."""
    show_tenant(ORGANIZATION, Reach(data, config, base_url, api_key), which, None, as_json=as_json)


@orgs.command()
def edit(
    which: Which,
    name: NewNameOption = None,
    scope: ScopeOption = None,
    model: ModelNameOption = None,
    network: NetworkOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    base_url: PlatformOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change an organisation's name or limits. `any` takes a limit away."""
    changes = changes_of(name, Limits(scope, model, network))
    edit_object(ORGANIZATION, Reach(data, config, base_url, api_key), which, changes, as_json=as_json)


@orgs.command()
@orgs.command("revoke", hidden=True)
def archive(
    which: Which,
    data: DataOption = None,
    config: ConfigOption = None,
    base_url: PlatformOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an organisation out of use: its credentials are nobody's from then on. (Also: revoke.)"""
    archive_tenant(ORGANIZATION, Reach(data, config, base_url, api_key), which, None, as_json=as_json)
