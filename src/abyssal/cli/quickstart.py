"""`abyssal quickstart`: starts the platform, asks it one question, says how to go on, and goes on serving."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from abyssal import __version__
from abyssal.cli.connection import (
    FIRST_KEY_FILE,
    Node,
    client_url,
    data_path,
    node_url,
    read_first_key,
)
from abyssal.cli.conversation import DEMONSTRATION_NOTE, is_demonstration
from abyssal.cli.options import DataOption
from abyssal.cli.server_process import ServerProcess
from abyssal.cli.terminal import answer_view, complain, note
from abyssal.cli.welcome import ShownKey, Stage, show_welcome
from abyssal.config import Secret
from abyssal.wire.errors import AbyssalError, AuthenticationError, ConfigurationError

QUESTION = "Say hello in one sentence."
MODEL = "deepseek-chat"  # in the model table whatever answers it
_MAX_TOKENS = 120


def quickstart(
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to listen.")] = "127.0.0.1:8000",
    data: DataOption = None,
    model: Annotated[
        str | None, typer.Option(metavar="FILE", help="A GGUF file in place of the bundled model.")
    ] = None,
) -> None:
    """Start the platform, ask it one question, and go on serving until Ctrl-C. For the first minute."""
    if sys.platform == "win32":
        raise ConfigurationError("The gateway runs on Linux and macOS; on Windows use WSL, or a remote one.")
    # A stop asked for by the system is as good as Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    raise typer.Exit(_run(listen, data, model))


def _run(listen: str, data: str | None, model: str | None) -> int:
    """The exit code: 0 after Ctrl-C, else that of the server, which ended by itself."""
    directory = data_path(data, os.environ)
    arguments = ["--listen", listen, "--data", str(directory), *(["--model", model] if model else [])]
    began = time.monotonic()
    stage = Stage()
    server = ServerProcess(arguments, directory, stage.warn)
    try:
        with stage:
            node = server.wait_ready(stage.waiting_for)
        if node is None:
            return server.wait()  # it has said why
        stage.ready(time.monotonic() - began, QUESTION)
        _introduce(node, directory)
        code = server.wait()
        complain(f"The platform ended by itself, with exit code {code}; start it again.")
        return code
    except KeyboardInterrupt:
        note("\nStopping: running answers may finish. Ctrl-C again stops at once.")
        return server.stop()
    finally:
        server.stop()


def _introduce(node: Node, directory: Path) -> None:
    """Ask the question and say how to go on. What goes wrong is said, and the platform goes on serving."""
    from abyssal import DeepSeekClient
    from abyssal.cli.asking import open_stream, show_stream

    remark = "Serving until Ctrl-C."
    key = ShownKey("")
    try:
        key, secret = _working_key(node, directory)
        messages = [{"role": "user", "content": QUESTION}]
        with (
            DeepSeekClient(secret.reveal(), base_url=client_url(node)) as client,
            open_stream(client, MODEL, messages, max_tokens=_MAX_TOKENS) as stream,
        ):
            if is_demonstration(show_stream(stream, answer_view())):
                remark = f"{DEMONSTRATION_NOTE}\n{remark}"
    except AbyssalError as error:
        complain(error.message)
    show_welcome(node_url(node), key, MODEL, str(directory), __version__, remark)


def _working_key(node: Node, directory: Path) -> tuple[ShownKey, Secret]:
    """The first of the known keys that the platform takes, and how to show it.

    Raises AuthenticationError when it takes none: its keys were made elsewhere, or revoked.
    """
    from abyssal import DeepSeekClient

    given, kept = os.environ.get("ABYSSAL_API_KEY", "").strip(), read_first_key(directory)
    for value, shown in ((given, ShownKey("")), (kept, ShownKey(kept))):
        if value:
            with DeepSeekClient(value, base_url=client_url(node)) as client:
                try:
                    client.models.list()
                except AuthenticationError:
                    continue
                return shown, Secret(value)
    raise AuthenticationError(
        f"The platform knows no key from ABYSSAL_API_KEY or {directory / FIRST_KEY_FILE}; make one with "
        "`abyssal keys create NAME` and set ABYSSAL_API_KEY to it."
    )
