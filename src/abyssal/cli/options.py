"""The options that several commands share, each said once."""

from __future__ import annotations

from typing import Annotated

import typer

BaseUrlOption = Annotated[
    str | None,
    typer.Option(
        "--base-url", metavar="URL", help="The service to ask; without it, the platform on this machine."
    ),
]
ApiKeyOption = Annotated[
    str | None,
    typer.Option(
        "--api-key", metavar="KEY", help="Better in ABYSSAL_API_KEY: others can see a command's arguments."
    ),
]
DataOption = Annotated[
    str | None,
    typer.Option("--data", metavar="DIR", help="The platform's data directory, default ~/.abyssal."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs to read.")]
