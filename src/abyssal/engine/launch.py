"""An engine alone in the foreground, without a gateway: what `abyssal engine` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from abyssal.engine.bundled import BUNDLED_MODEL
from abyssal.engine.serving import serve_until_stopped
from abyssal.engine.spec import EngineSpec

DEFAULT_LISTEN = "127.0.0.1:8081"


def standalone_spec(
    model: str, *, listen: str = "", socket: str = "", slots: int, context: int, threads: int
) -> EngineSpec:
    """The spec of an engine named after its model; at `DEFAULT_LISTEN` when no address is given.

    Raises `ConfigurationError` for values that cannot be.
    """
    return EngineSpec(
        name=BUNDLED_MODEL if model == BUNDLED_MODEL else Path(model).stem,
        model=model,
        listen=listen if listen or socket else DEFAULT_LISTEN,
        socket=socket,
        slots=slots,
        context=context,
        threads=threads,
        embedding_tokens=0,
    )


def run_standalone(spec: EngineSpec, say: Callable[[str], None]) -> NoReturn:
    """Serve until SIGTERM or Ctrl-C, then end the process: 0, or an `EngineExit` code after a line to
    standard error. `say` gets what a person wants to read once it answers."""

    def announce(address: str) -> None:
        say(f"{spec.name} answers at {address}/v1, {spec.slots} at a time, {spec.context} tokens each.")
        if spec.model == BUNDLED_MODEL:
            say("It is a small demonstration model: it shows that everything works, and knows little.")
        say(f"Try:  {_curl(address)}")
        say("Ctrl-C stops it.")

    serve_until_stopped(spec, on_ready=announce)


def _curl(address: str) -> str:
    path = address.removeprefix("unix://")
    where = address if path == address else f"--unix-socket {path} http://engine"
    return (
        f"curl {where}/v1/chat/completions -H 'content-type: application/json' "
        """-d '{"messages": [{"role": "user", "content": "Hello"}]}'"""
    )
