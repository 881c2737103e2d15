"""`abyssal files`: what is stored for chats, batches and training in the project of a key."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from abyssal.cli.credential_commands import command_group
from abyssal.cli.moments import parse_duration
from abyssal.cli.options import ApiKeyOption, BaseUrlOption, DataOption, JsonOption
from abyssal.wire.errors import BadRequestError, ConfigurationError, NotFoundError, PayloadTooLargeError

if TYPE_CHECKING:
    from abyssal import DeepSeekClient
    from abyssal.wire.files import FileObject

_HEADS = ("id", "name", "bytes", "type", "purpose", "created", "expires", "sha256")
_IN_LISTS = len(_HEADS) - 1
_PAGE = 1000  # files

files = command_group("Store, list, show, download and delete files. They belong to the key's project.")

_Id = Annotated[str, typer.Argument(metavar="ID", help="The file's id, file-api-….")]


@files.command("list")
def list_files(
    purpose: Annotated[
        str | None, typer.Option("--purpose", metavar="PURPOSE", help="Only those of this purpose.")
    ] = None,
    base_url: BaseUrlOption = None,
    api_key: ApiKeyOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the files, newest first. In a pipe: lines with tabs between the columns."""
    from abyssal.cli.terminal import note, print_json, print_line, print_table

    with _client(base_url, api_key, data) as client:
        found = list(_all_files(client, purpose))
    if as_json:
        print_json(found)
        return
    rows = [_cells(one)[:_IN_LISTS] for one in found]
    if not sys.stdout.isatty():
        for row in rows:
            print_line("\t".join(row))
    elif rows:
        print_table(_HEADS[:_IN_LISTS], rows, {"id": "bold", "type": "dim"})
    else:
        note("There are no files; see: abyssal files upload --help")


@files.command()
def upload(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file; - is standard input.")],
    purpose: Annotated[
        str, typer.Option("--purpose", metavar="PURPOSE", help="What it is for: user_data, batch, ...")
    ] = "user_data",
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="What to call it.")] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="When it goes by itself: 12h, 30d.")
    ] = None,
    base_url: BaseUrlOption = None,
    api_key: ApiKeyOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Store a file and print its id."""
    from abyssal.cli.terminal import print_json, print_line

    seconds = None if expires is None else parse_duration(expires, "--expires")
    chosen: Any = purpose  # which there are, the platform says
    with _client(base_url, api_key, data) as client:
        content = sys.stdin.buffer.read() if file == "-" else Path(file)
        made = client.files.create(file=content, purpose=chosen, filename=name, expires_in=seconds)
    if as_json:
        print_json(made)
    else:
        print_line(made.id)


@files.command()
def show(
    file_id: _Id,
    base_url: BaseUrlOption = None,
    api_key: ApiKeyOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is known of a file."""
    from abyssal.cli.terminal import print_json, print_line

    with _client(base_url, api_key, data) as client:
        found = client.files.retrieve(file_id)
    if as_json:
        print_json(found)
        return
    for head, cell in zip(_HEADS, _cells(found), strict=True):
        if not sys.stdout.isatty():
            print_line(f"{head}\t{cell}")
        elif cell:
            print_line(f"{head:8}{cell}")


@files.command()
def download(
    file_id: _Id,
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="PATH", help="Where to write it; - is standard output."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    base_url: BaseUrlOption = None,
    api_key: ApiKeyOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a file's content. Without --output: under its own name, in this directory."""
    from abyssal.cli.terminal import print_json, print_line

    with _client(base_url, api_key, data) as client:
        found = client.files.retrieve(file_id)
        path = Path(output or Path(found.filename).name or "file")
        if output != "-" and path.exists() and not force:
            raise ConfigurationError(
                f"{path}: is there already; name another with --output, or replace it with --force"
            )
        content = client.files.content(file_id)
    if output == "-":
        sys.stdout.buffer.write(content)
        return
    path.write_bytes(content)
    if as_json:
        print_json({"file": found, "path": str(path)})
    else:
        print_line(str(path))


@files.command()
def delete(
    file_id: _Id,
    base_url: BaseUrlOption = None,
    api_key: ApiKeyOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a file, for good."""
    from abyssal.cli.terminal import print_json, print_line

    with _client(base_url, api_key, data) as client:
        done = client.files.delete(file_id)
    if as_json:
        print_json(done)
    else:
        print_line(f"{done.id} is deleted")


@contextmanager
def _client(base_url: str | None, api_key: str | None, data: str | None) -> Generator[DeepSeekClient]:
    """A client. What a route says of an argument is the user's to fix: ConfigurationError."""
    from abyssal.cli.connection import connect

    try:
        with connect(base_url, api_key, data) as client:
            yield client
    except (BadRequestError, NotFoundError, PayloadTooLargeError) as error:
        raise ConfigurationError(error.message) from None


def _all_files(client: DeepSeekClient, purpose: str | None) -> Iterator[FileObject]:
    after: str | None = None
    while True:
        page = client.files.list(purpose=purpose, limit=_PAGE, after=after)
        yield from page.data
        if not page.has_more or page.last_id is None:
            return
        after = page.last_id


def _cells(found: FileObject) -> tuple[str, ...]:
    return (
        found.id,
        found.filename,
        str(found.bytes),
        found.content_type or "",
        found.purpose,
        _local(found.created_at),
        "" if found.expires_at is None else _local(found.expires_at),
        found.sha256 or "",
    )


def _local(unix_seconds: int) -> str:
    return f"{datetime.fromtimestamp(unix_seconds).astimezone():%Y-%m-%d %H:%M}"
