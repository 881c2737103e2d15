"""What `abyssal quickstart` shows: what it waits for, then the address, the key, and lines ready to paste."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from abyssal.cli.terminal import new_console, print_line, safe_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

_MESSAGES = '[{"role": "user", "content": "Hello!"}]'


class ShownKey(msgspec.Struct, frozen=True):
    """A key as it is shown: `value`, or where it is "", the environment variable that has it."""

    value: str
    variable: str = "ABYSSAL_API_KEY"


class Stage:
    """What is going on. On a terminal a line that moves, in a pipe a line for each step."""

    def __init__(self) -> None:
        self._console: Console | None = new_console() if sys.stdout.isatty() else None
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if self._console is not None:
            self._status = self._console.status("Starting the platform", spinner="dots")
            self._status.start()
        else:
            print_line("Starting the platform")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def waiting_for(self, what: str) -> None:
        """Say what is missing."""
        if self._status is not None:
            self._status.update(f"Starting the platform: waiting for {what}")
        else:
            print_line(f"Waiting for {what}")
            sys.stdout.flush()

    def warn(self, line: str) -> None:
        """Pass on what the server said; from any thread."""
        if self._console is None or not sys.stderr.isatty():
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
            return
        from rich.text import Text

        self._console.print(Text(safe_text(line), "yellow"))

    def ready(self, seconds: float, question: str) -> None:
        """The platform is up; the answer to `question` comes next."""
        if self._console is None:
            print_line(f"Ready in {seconds:.1f} s\n\n> {question}")
            sys.stdout.flush()
            return
        from rich.text import Text

        self._console.print(Text.assemble(("Ready", "bold green"), f" in {seconds:.1f} s\n"))
        self._console.print(Text(f"> {question}", "bold"))


def curl_line(url: str, key: ShownKey, model: str) -> str:
    """A call, for a shell."""
    body = f'{{"model": "{model}", "messages": {_MESSAGES}}}'
    return (
        f'curl {url}/v1/chat/completions -H "Authorization: Bearer {key.value or f"${key.variable}"}" '
        f"-H 'Content-Type: application/json' -d '{body}'"
    )


def python_lines(url: str, key: ShownKey, model: str) -> str:
    """The same call through the SDK; a key in the environment is found there."""
    shown = f'api_key="{key.value}", ' if key.value else ""
    return f"""\
from abyssal import DeepSeekClient
client = DeepSeekClient({shown}base_url="{url}/v1")
question = {_MESSAGES}
answer = client.chat.completions.create(model="{model}", messages=question)
print(answer.choices[0].message.content)"""


def show_welcome(url: str, key: ShownKey, model: str, data: str, version: str, remark: str) -> None:
    """The address, the key and how to go on; `remark` comes last."""
    facts = {"URL": url, "API key": key.value or f"in {key.variable}", "Data": data}
    examples = {
        "Ask from a shell": curl_line(url, key, model),
        "or from Python": python_lines(url, key, model),
    }
    if sys.stdout.isatty():
        _draw(f"Abyssal {version}", facts, examples, remark)
        return
    print_line(f"\nAbyssal {version}")
    for name, value in facts.items():
        print_line(f"{name:8} {value}")
    for title, lines in examples.items():
        print_line(f"\n{title}:\n\n{lines}")
    print_line(f"\n{remark}")
    sys.stdout.flush()


def _draw(title: str, facts: dict[str, str], examples: dict[str, str], remark: str) -> None:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    console = new_console()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        grid.add_row(name, Text(safe_text(value), "bold"))
    panel = Panel.fit(
        grid, title=Text(title, "bold cyan"), title_align="left", border_style="cyan", padding=(0, 2)
    )
    console.print()
    console.print(panel, soft_wrap=False)
    for heading, lines in examples.items():
        # No border, no colour inside: what is marked with the mouse must be the lines alone.
        console.print(Text.assemble("\n", (heading, "cyan"), "\n"))
        console.print(Text(lines))
    console.print(Text(f"\n{remark}", "dim"), soft_wrap=False)
