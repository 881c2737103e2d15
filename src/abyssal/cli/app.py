"""Assembles the commands and turns errors into one sentence and an exit code.

0: done. 1: the other side failed, or could not be reached. 2: the user's to fix (an option, a file, a key).
130: Ctrl-C.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import Annotated

import typer

from abyssal import __version__
from abyssal.cli.chat import chat
from abyssal.cli.clients import clients
from abyssal.cli.db import db
from abyssal.cli.engine import engine
from abyssal.cli.files import files
from abyssal.cli.keys import keys
from abyssal.cli.members import members
from abyssal.cli.models import models
from abyssal.cli.orgs import orgs
from abyssal.cli.projects import projects
from abyssal.cli.public_keys import public_keys
from abyssal.cli.quickstart import quickstart
from abyssal.cli.secrets import secrets
from abyssal.cli.serve import serve
from abyssal.cli.signing_keys import signing_keys
from abyssal.cli.terminal import complain
from abyssal.wire.errors import AbyssalError, ConfigurationError

_log = logging.getLogger("abyssal.cli")

# Help without Rich: drawing it would take longer than everything else that --help does.
app = typer.Typer(
    name="abyssal",
    help="A DeepSeek API platform that one command starts.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"abyssal {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for command in (quickstart, serve, chat, models, engine):
    app.command()(command)
for name, group in {
    "keys": keys,
    "clients": clients,
    "signing-keys": signing_keys,
    "public-keys": public_keys,
    "orgs": orgs,
    "projects": projects,
    "members": members,
    "files": files,
    "db": db,
    "secrets": secrets,
}.items():
    app.add_typer(group, name=name)


def run() -> None:
    """Run the command that the arguments name, and end with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what a terminal cannot show is no reason to fail
    sys.exit(_exit_code())


def _exit_code() -> int:
    try:
        code = app(prog_name="abyssal", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_gone()
    except AbyssalError as error:
        complain(error.message)
        return 2 if isinstance(error, ConfigurationError) else 1
    except typer.TyperException as error:
        complain(_usage_sentence(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        complain(f"{error.filename or 'a file or address'}: {error.strerror or error}")
        return 1
    except Exception as error:  # the last door: no traceback for somebody who asked a question
        if os.environ.get("ABYSSAL_DEBUG"):
            raise
        if _log.hasHandlers():  # a server: its operator needs the traceback
            _log.exception("stopped by an error that should not happen")
        complain(
            f"An error that should not happen: {type(error).__name__}: {error}. Please report it, with what "
            "ABYSSAL_DEBUG=1 shows."
        )
        return 1
    return code if isinstance(code, int) else 0


def _usage_sentence(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "abyssal"
    return f"{error.format_message()} See: {path} --help"


def _reader_gone() -> int:
    """Whoever read the output has left (`| head`): nothing to say, and nothing left to flush."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return 1
