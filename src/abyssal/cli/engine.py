"""`abyssal engine`: one model on its own, without the platform in front of it."""

from __future__ import annotations

from typing import Annotated

import typer

from abyssal.wire.errors import ConfigurationError


def engine(
    model: Annotated[str, typer.Option(help="A GGUF file, or abyssal-tiny.")] = "abyssal-tiny",
    listen: Annotated[str, typer.Option(help="HOST:PORT; 127.0.0.1:8081 without --socket.")] = "",
    socket: Annotated[str, typer.Option(help="A Unix socket's path, ending in .sock, instead.")] = "",
    slots: Annotated[int, typer.Option(help="Answers written at the same time.")] = 4,
    context: Annotated[int, typer.Option(help="Tokens of one request, prompt and answer.")] = 4096,
    threads: Annotated[int, typer.Option(help="Threads to compute with; 0 suits the machine.")] = 0,
) -> None:
    """Run one model on its own: no keys, no limits, and a queue without bound. For trying a GGUF file.

    It speaks the OpenAI dialect of llama.cpp. `abyssal serve` puts the platform in front of it.
    """
    # Only now: loading the engine's parts would slow down every other command.
    from abyssal.engine.launch import run_standalone, standalone_spec

    try:
        spec = standalone_spec(
            model, listen=listen, socket=socket, slots=slots, context=context, threads=threads
        )
    except ConfigurationError as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(2) from None
    run_standalone(spec, typer.echo)
