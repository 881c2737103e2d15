"""`abyssal projects`: what credentials belong to, each with limits of its own."""

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
    OrgOption,
    PlatformOption,
    ScopeOption,
    Which,
)
from abyssal.cli.options import ApiKeyOption, DataOption, JsonOption
from abyssal.cli.showing import show_list
from abyssal.cli.tenants import PROJECT, TENANT_COLUMNS, archive_tenant, create_tenant, show_tenant, within

projects = command_group("Make, list, change and archive projects. Whoever has one never needs to name it.")


@projects.command("list")
def list_projects(
    org: OrgOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    base_url: PlatformOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the projects, oldest first."""
    with opened(Reach(data, config, base_url, api_key)) as management:
        found = list(pages(management, PROJECT.path, within(management, org)))
    show_list(found, TENANT_COLUMNS, PROJECT, as_json=as_json)


@projects.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")],
    scope: ScopeOption = None,
    model: ModelNameOption = None,
    network: NetworkOption = None,
    org: OrgOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    base_url: PlatformOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a project. Scopes, models and networks that are named limit all that is in it."""
    reach = Reach(data, config, base_url, api_key)
    create_tenant(PROJECT, reach, name, Limits(scope, model, network), org, as_json=as_json)


@projects.command()
def show(
    which: Which,
    org: OrgOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    base_url: PlatformOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a project and its limits."""
    show_tenant(PROJECT, Reach(data, config, base_url, api_key), which, org, as_json=as_json)


@projects.command()
def edit(
    which: Which,
    name: NewNameOption = None,
    scope: ScopeOption = None,
    model: ModelNameOption = None,
    network: NetworkOption = None,
    org: OrgOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    base_url: PlatformOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a project's name or limits. `any` takes a limit away."""
    changes = changes_of(name, Limits(scope, model, network))
    edit_object(PROJECT, Reach(data, config, base_url, api_key), which, changes, org=org, as_json=as_json)


@projects.command()
@projects.command("revoke", hidden=True)
def archive(
    which: Which,
    org: OrgOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    base_url: PlatformOption = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a project out of use: its credentials are nobody's from then on. (Also: revoke.)"""
    archive_tenant(PROJECT, Reach(data, config, base_url, api_key), which, org, as_json=as_json)
