"""`abyssal chat`: one question and its answer, or a conversation."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from abyssal.cli.options import ApiKeyOption, BaseUrlOption, DataOption, JsonOption
from abyssal.wire.errors import ConfigurationError

if TYPE_CHECKING:
    from abyssal import ChatCompletion

_STDIN = "-"


def chat(
    question: Annotated[
        list[str] | None,
        typer.Argument(help="What to ask. A - stands for what comes on standard input."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which model to ask; `abyssal models` lists them.")
    ] = None,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the model is told beforehand.")
    ] = None,
    base_url: BaseUrlOption = None,
    api_key: ApiKeyOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a model and watch the answer come. Without a question, on a terminal: a conversation."""
    asked = _question(question or [])
    if asked is None:
        if as_json or not sys.stdout.isatty():
            raise ConfigurationError(
                'The question is missing: abyssal chat "...", or - to read it from stdin.'
            )
        from abyssal.cli.repl import converse

        converse(base_url=base_url, api_key=api_key, data=data, model=model, system=system)
        return

    from abyssal.cli.asking import Remarks, choose_model, open_stream, show_stream
    from abyssal.cli.connection import connect
    from abyssal.cli.conversation import Conversation
    from abyssal.cli.terminal import answer_view, print_json

    with connect(base_url, api_key, data) as client:
        conversation = Conversation(model or choose_model(client), system)
        with open_stream(client, conversation.model, conversation.with_question(asked)) as stream:
            if as_json:
                print_json(_as_object(stream.get_final_completion()))
                return
            completion = show_stream(stream, answer_view())
    Remarks(to_person=sys.stderr.isatty()).on(completion)


def _question(words: list[str]) -> str | None:
    """What is asked: the words, with standard input in place of a "-" or if there are none.

    None if there are no words and standard input is a terminal. Raises ConfigurationError if it is empty.
    """
    if not words and (sys.stdin is None or sys.stdin.isatty()):  # None: it was closed by who started us
        return None
    said = " ".join(word for word in words if word != _STDIN)
    parts = [said, _read_stdin() if not words or _STDIN in words else ""]
    question = "\n\n".join(part for part in parts if part.strip())
    if not question:
        raise ConfigurationError("The question is empty; write what to ask.")
    try:
        question.encode()
    except UnicodeEncodeError:
        raise ConfigurationError("The question is not UTF-8 text; convert it first.") from None
    return question


def _read_stdin() -> str:
    if sys.stdin is None:
        return ""
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError:
        raise ConfigurationError("Standard input is not UTF-8 text; convert it first.") from None


def _as_object(completion: ChatCompletion) -> dict[str, object]:
    choice = completion.choices[0]
    return {
        "content": choice.message.content,
        "reasoning_content": choice.message.reasoning_content,
        "finish_reason": choice.finish_reason,
        "model": completion.model,
        "system_fingerprint": completion.system_fingerprint,
        "usage": completion.usage,
    }
