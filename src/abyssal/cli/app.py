"""Assembles the commands and turns errors into one sentence and an exit code (2: the user's to fix)."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from abyssal import __version__
from abyssal.cli.serve import serve
from abyssal.wire.errors import AbyssalError, ConfigurationError

app = typer.Typer(
    name="abyssal",
    help="A DeepSeek API platform that one command starts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"abyssal {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


app.command()(serve)


def run() -> None:
    """Run the command that the arguments name."""
    try:
        app()
    except AbyssalError as error:
        typer.echo(f"abyssal: {error.message}", err=True)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
