"""`abyssal serve`: the platform in the foreground, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from abyssal.config import (
    BUNDLED_MODEL,
    Config,
    Secret,
    ServerConfig,
    check_front,
    check_redis_url,
    data_directory,
    default_config,
    load_config,
    parse_listen,
)
from abyssal.wire.errors import ConfigurationError


def serve(
    config: Annotated[Path | None, typer.Option(help="TOML file; without one the defaults run.")] = None,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT, default 127.0.0.1:8000.")] = None,
    data: Annotated[str | None, typer.Option(help="Where state is kept, default ~/.abyssal.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes, default 1.")] = None,
    model: Annotated[str | None, typer.Option(help="A GGUF file for the embedded engine.")] = None,
    grace: Annotated[
        float | None, typer.Option(min=0, help="Seconds that running answers get at the end, default 30.")
    ] = None,
    tls_cert: Annotated[
        str | None, typer.Option(metavar="FILE", help="PEM file of the server's certificate: serves HTTPS.")
    ] = None,
    tls_key: Annotated[str | None, typer.Option(metavar="FILE", help="PEM file of its private key.")] = None,
    allow_plaintext: Annotated[
        bool, typer.Option("--allow-plaintext", help="Plain HTTP also on an address that others can reach.")
    ] = False,
) -> None:
    """Start the platform: gateway, engine and control process."""
    if sys.platform == "win32":
        raise ConfigurationError("The gateway runs on Linux and macOS; on Windows use WSL, or a remote one.")
    given = {"listen": listen, "workers": workers, "grace": grace, "tls_cert": tls_cert, "tls_key": tls_key}
    chosen = _configuration(config, model, {**given, "allow_plaintext": allow_plaintext or None})
    directory = data_directory(chosen, data, os.environ)
    _check_first_key(chosen, directory)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    _check_tls(chosen.server)
    sys.exit(asyncio.run(_serve(chosen, directory)))


def _configuration(file: Path | None, model: str | None, given: Mapping[str, object]) -> Config:
    """The file's or the default one, with the settings of `[server]` that were `given` (None: not)."""
    if file is not None:
        chosen = load_config(file, os.environ)
    else:
        if model is not None and not Path(model).is_file() and model != BUNDLED_MODEL:
            raise ConfigurationError(f"--model: there is no file {model}; name a GGUF file")
        chosen = default_config(os.environ, model=model or BUNDLED_MODEL)
    if file is not None and model is not None:
        raise ConfigurationError("--model: with --config, set the engine's model in the file instead")
    changes = {key: value for key, value in given.items() if value is not None}
    server = msgspec.structs.replace(chosen.server, **changes)
    if given["listen"] is not None:
        parse_listen(server.listen)
    check_front(server)
    stores = chosen.stores
    if stores.redis_url is None and os.environ.get("ABYSSAL_REDIS_URL"):
        address = Secret(os.environ["ABYSSAL_REDIS_URL"].strip())
        check_redis_url(address, "ABYSSAL_REDIS_URL")
        stores = msgspec.structs.replace(stores, redis_url=address)
    return msgspec.structs.replace(chosen, server=server, stores=stores)


def _check_tls(server: ServerConfig) -> None:
    """Before any process is started: what the workers would find wrong with the files."""
    if server.tls_cert:
        from abyssal.gateway.front.tls import check_tls

        check_tls(server)


def _check_first_key(config: Config, directory: Path) -> None:
    """Refuse a first key that is none before any process is started, if this is certainly the first start."""
    from abyssal.stores.api_keys import check_given_key

    try:
        check_given_key(os.environ.get("ABYSSAL_API_KEY", ""))
    except ConfigurationError:
        from abyssal.stores.sql.address import FILE, VARIABLE  # half a second, for those who wait to be told

        elsewhere = config.stores.database_url is not None or os.environ.get(VARIABLE)
        if not elsewhere and not (directory / FILE).exists():
            raise


async def _serve(config: Config, directory: Path) -> int:
    from abyssal.node.node import Node

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    node = Node(config, directory, first_key=os.environ.get("ABYSSAL_API_KEY", ""))
    starting = loop.create_task(node.start())
    stopping = loop.create_task(stop.wait())
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting  # raises what went wrong
            typer.echo(f"abyssal listens on {node.url}")
            if node.first_key_made:
                typer.echo(
                    f"first API key: {node.first_key}   (shown once; kept in {directory / 'first-key'})"
                )
            await stopping
            typer.echo("stopping: running answers may finish")
    finally:
        for task in (starting, stopping):
            task.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)
        await node.stop(config.server.grace)
    return 0
