"""A conversation at the terminal: reads, asks, shows, until Ctrl-D.

1. A line that begins with "/" is a command, anything else a question.
2. Ctrl-C ends the answer that is being written, or the line that is being typed; never the program. What
   was said up to there stays in the conversation.
3. A question that failed is not part of the conversation: it may be asked again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from abyssal.cli.asking import Remarks, choose_model, open_stream, show_stream
from abyssal.cli.conversation import Conversation
from abyssal.cli.terminal import AnswerView, answer_view, complain, say
from abyssal.wire.errors import AbyssalError

if TYPE_CHECKING:
    from abyssal import ChatStream, DeepSeekClient

HISTORY_FILE = "chat-history"

HELP = """\
/model NAME    ask another model; without NAME: which there are
/system TEXT   tell the model something beforehand; without TEXT: nothing any more
/clear         forget what was said
/help          this
/quit          leave, as Ctrl-D does
Ctrl-C stops an answer. A line that ends in \\ goes on in the next.
A space before / makes the line a question."""


class Repl:
    """The conversation of one `client`. `read` gives what was typed next."""

    def __init__(
        self, client: DeepSeekClient, conversation: Conversation, read: Callable[[], str], view: AnswerView
    ) -> None:
        self._client = client
        self._conversation = conversation
        self._read = read
        self._view = view
        self._remarks = Remarks(to_person=True)
        self._left = False
        self._commands: dict[str, Callable[[str], None]] = {
            "/model": self._choose_model,
            "/system": self._set_system,
            "/clear": self._clear,
            "/help": lambda _: say(HELP),
            "/quit": self._leave,
        }

    def run(self) -> None:
        """Until /quit or the end of input."""
        while not self._left:
            try:
                self._take(self._read())
            except EOFError:
                self._leave("")
                say("")
            except KeyboardInterrupt:
                say("")  # the line that was being typed is left behind
            except AbyssalError as error:
                complain(error.message)

    def _take(self, text: str) -> None:
        if not text.strip():
            return
        if not text.startswith("/"):
            self._ask(text.strip())
            return
        name, _, argument = text.strip().partition(" ")
        command = self._commands.get(name)
        if command is not None:
            command(argument.strip())
            return
        near = get_close_matches(name, self._commands, 1)
        say(f"There is no command {name}; {f'did you mean {near[0]}?' if near else '/help lists them.'}")

    def _ask(self, question: str) -> None:
        said = self._conversation
        try:
            with open_stream(self._client, said.model, said.with_question(question)) as stream:
                try:
                    completion = show_stream(stream, self._view)
                except KeyboardInterrupt:
                    self._keep(question, stream)
                    raise
        except KeyboardInterrupt:
            say("(stopped)")
            return
        self._keep(question, stream)
        self._remarks.on(completion)

    def _keep(self, question: str, stream: ChatStream) -> None:
        choices = stream.completion_so_far().choices
        if choices and choices[0].message.content:
            self._conversation.add(question, choices[0].message.content)

    def _choose_model(self, name: str) -> None:
        if name:
            self._conversation.model = name
            say(f"Asking {name} from now on.")
            return
        offered = ", ".join(model.id for model in self._client.models.list())
        say(f"Asking {self._conversation.model}. There are: {offered}")

    def _set_system(self, text: str) -> None:
        self._conversation.system = text or None
        say("The model is told this from now on." if text else "The model is told nothing beforehand.")

    def _clear(self, _: str) -> None:
        self._conversation.clear()
        say("Forgotten.")

    def _leave(self, _: str) -> None:
        self._left = True


def converse(
    *,
    base_url: str | None,
    api_key: str | None,
    data: str | None,
    model: str | None,
    system: str | None,
) -> None:
    """The conversation that the options of `abyssal chat` and the environment ask for."""
    from abyssal.cli.connection import open_client, resolve_connection
    from abyssal.cli.history import History
    from abyssal.cli.prompt import Prompt

    connection = resolve_connection(os.environ, base_url=base_url, api_key=api_key, data=data)
    with open_client(connection) as client:
        conversation = Conversation(model or choose_model(client), system)
        prompt = Prompt(History(connection.data / HISTORY_FILE), say)
        say(f"{conversation.model} at {client.base_url}   /help for commands, Ctrl-D to leave")
        Repl(client, conversation, prompt.read, answer_view()).run()
