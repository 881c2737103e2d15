"""The commands that every kind of credential has, on the command line of each kind."""

from __future__ import annotations

import typer

from abyssal.cli.credentials import (
    Wanted,
    create_credential,
    list_credentials,
    revoke_credential,
    rotate_credential,
    show_credential,
)
from abyssal.cli.editing import changes_of, edit_object
from abyssal.cli.finding import Noun
from abyssal.cli.limits import Limits
from abyssal.cli.management import Reach
from abyssal.cli.management_options import (
    ConfigOption,
    CredentialName,
    ExpiresOption,
    ModelNameOption,
    NetworkOption,
    NewNameOption,
    OrgOption,
    OverlapOption,
    PlatformOption,
    ProjectOption,
    ScopeOption,
    UserOption,
    Which,
)
from abyssal.cli.options import ApiKeyOption, DataOption, JsonOption


def _without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def command_group(about: str) -> typer.Typer:
    """A command with commands below it; alone it shows its help."""
    return typer.Typer(
        help=about, invoke_without_command=True, rich_markup_mode=None, callback=_without_command
    )


def add_list_show_edit_revoke(app: typer.Typer, noun: Noun) -> None:
    """The commands that need no secret."""

    def list_them(
        project: ProjectOption = None,
        org: OrgOption = None,
        data: DataOption = None,
        config: ConfigOption = None,
        base_url: PlatformOption = None,
        api_key: ApiKeyOption = None,
        as_json: JsonOption = False,
    ) -> None:
        list_credentials(noun, Reach(data, config, base_url, api_key), project, org, as_json=as_json)

    def show(
        which: Which,
        data: DataOption = None,
        config: ConfigOption = None,
        base_url: PlatformOption = None,
        api_key: ApiKeyOption = None,
        as_json: JsonOption = False,
    ) -> None:
        show_credential(noun, Reach(data, config, base_url, api_key), which, as_json=as_json)

    def edit(
        which: Which,
        name: NewNameOption = None,
        scope: ScopeOption = None,
        model: ModelNameOption = None,
        network: NetworkOption = None,
        expires: ExpiresOption = None,
        data: DataOption = None,
        config: ConfigOption = None,
        base_url: PlatformOption = None,
        api_key: ApiKeyOption = None,
        as_json: JsonOption = False,
    ) -> None:
        changes = changes_of(name, Limits(scope, model, network), expires)
        edit_object(noun, Reach(data, config, base_url, api_key), which, changes, as_json=as_json)

    def revoke(
        which: Which,
        data: DataOption = None,
        config: ConfigOption = None,
        base_url: PlatformOption = None,
        api_key: ApiKeyOption = None,
        as_json: JsonOption = False,
    ) -> None:
        revoke_credential(noun, Reach(data, config, base_url, api_key), which, as_json=as_json)

    app.command("list", help=f"List the {noun.several}, oldest first.")(list_them)
    app.command(help=f"Show what there is to know of a {noun.one}, but no secret.")(show)
    app.command(help=f"Change a {noun.one}'s name, limits or end. `any` takes a limit away, `never` an end.")(
        edit
    )
    app.command(
        help=f"Take a {noun.one} out of force, for good. Calls that are under way go on to their end."
    )(revoke)


def add_create_rotate(app: typer.Typer, noun: Noun, secret: str) -> None:
    """The commands that make a `secret` and show it."""

    def create(
        name: CredentialName,
        scope: ScopeOption = None,
        model: ModelNameOption = None,
        network: NetworkOption = None,
        expires: ExpiresOption = None,
        user: UserOption = None,
        project: ProjectOption = None,
        org: OrgOption = None,
        data: DataOption = None,
        config: ConfigOption = None,
        base_url: PlatformOption = None,
        api_key: ApiKeyOption = None,
        as_json: JsonOption = False,
    ) -> None:
        wanted = Wanted(name, Limits(scope, model, network), expires, user, project, org)
        create_credential(noun, Reach(data, config, base_url, api_key), wanted, as_json=as_json)

    def rotate(
        which: Which,
        overlap: OverlapOption = "24h",
        data: DataOption = None,
        config: ConfigOption = None,
        base_url: PlatformOption = None,
        api_key: ApiKeyOption = None,
        as_json: JsonOption = False,
    ) -> None:
        rotate_credential(noun, Reach(data, config, base_url, api_key), which, overlap, as_json=as_json)

    app.command(help=f"Make a {noun.one} and show its {secret}, once. In a pipe: the {secret} alone.")(create)
    app.command(help=f"Make a new {secret} beside the old one and show it, once.")(rotate)
