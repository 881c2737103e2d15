"""The commands as a whole: quick to load, and documented."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from abyssal.cli.app import app

DOCUMENTATION = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()

# What costs time to load: not before a command needs it.
HEAVY = (
    "rich",
    "sqlalchemy",
    "pyreqwest",
    "uvicorn",
    "starlette",
    "httptools",
    "xllamacpp",
    "abyssal.client",
)

# What Windows does not have. (asyncio takes some of them here, and others there.)
POSIX = ("fcntl", "grp", "pwd", "pty", "readline", "resource", "termios", "tty", "uvloop")

# What the management commands load for the platform of a data directory.
DATA_DIRECTORY = (
    "import abyssal.platform.http.management, abyssal.stores.master_key, abyssal.stores.sql.database, "
    "abyssal.stores.sql.vault"
)


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_loading_the_commands_loads_nothing_heavy() -> None:
    code = f"import sys, abyssal.cli.app; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run_python(code) == "[]"


def test_the_client_s_commands_load_without_what_windows_lacks() -> None:
    asked = ("app", "asking", "chat", "connection", "files", "keys", "models", "prompt", "repl", "terminal")
    managing = ("clients", "members", "orgs", "projects", "public_keys", "signing_keys")
    reached = ("management", "management_local", "management_remote")
    code = f"import asyncio, subprocess, sys; sys.modules.update(dict.fromkeys({POSIX!r}))\n"
    code += "\n".join(f"import abyssal.cli.{name}" for name in asked + managing + reached)
    run_python(f"{code}\n{DATA_DIRECTORY}\nimport abyssal.client.sync_client")


def commands() -> Iterator[tuple[str, Any]]:
    def below(path: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield path, command
        for name, inner in getattr(command, "commands", {}).items():
            yield from below(f"{path} {name}", inner)

    yield from below("abyssal", typer.main.get_command(app))


def sections() -> dict[str, str]:
    """The documentation, cut at its headings; a heading names its commands in backticks."""
    parts = DOCUMENTATION.split("\n## ")
    return {part.partition("\n")[0]: part for part in parts}


@pytest.mark.parametrize(("path", "command"), [pytest.param(*found, id=found[0]) for found in commands()])
def test_each_command_and_option_is_documented_and_says_what_it_does(path: str, command: Any) -> None:
    top = " ".join(path.split()[:2])
    section = DOCUMENTATION if path == "abyssal" else sections()[f"`{top}`"]
    assert f"`{path}" in DOCUMENTATION
    assert command.help
    for parameter in command.params:
        if parameter.name == "help":
            continue
        assert parameter.help, f"{path} {parameter.name} has no help"
        for option in parameter.opts:
            if option.startswith("-"):
                assert f"`{option}" in section, f"{path} {option} is not in docs/cli.md"
