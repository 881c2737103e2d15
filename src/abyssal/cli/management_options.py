"""The options of the management commands, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="The platform's TOML file, if it has one: where its database is."
    ),
]
PlatformOption = Annotated[
    str | None,
    typer.Option(
        "--base-url", metavar="URL", help="A platform to ask over HTTP; without it, the one on this machine."
    ),
]
OrgOption = Annotated[
    str | None,
    typer.Option("--org", metavar="ORG", help="An organisation's name or id, if there are several."),
]
ProjectOption = Annotated[
    str | None,
    typer.Option("--project", metavar="PROJECT", help="A project's name or id, if there are several."),
]
ScopeOption = Annotated[
    list[str] | None, typer.Option("--scope", metavar="SCOPE", help="What may be done; may be repeated.")
]
ModelNameOption = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="MODEL", help="A model that may be asked, no other; may be repeated."),
]
NetworkOption = Annotated[
    list[str] | None,
    typer.Option(
        "--network", metavar="CIDR", help="Where calls may come from, such as 10.0.0.0/8; may be repeated."
    ),
]
ExpiresOption = Annotated[
    str | None, typer.Option("--expires", metavar="WHEN", help="When it ends: 30d, 12h, or an ISO 8601 time.")
]
NewNameOption = Annotated[str | None, typer.Option("--name", metavar="NAME", help="What to call it.")]
UserOption = Annotated[
    str | None,
    typer.Option("--user", metavar="WHO", help="The member it belongs to: an e-mail address or id."),
]
OverlapOption = Annotated[
    str,
    typer.Option(
        "--overlap", metavar="TIME", help="How long the old one stays good: 24h, 30m; 0 ends it now."
    ),
]
CredentialName = Annotated[str, typer.Argument(metavar="NAME", help="Who or what will use it.")]
Which = Annotated[str, typer.Argument(metavar="ID", help="Its id; its name, where only one has it.")]
