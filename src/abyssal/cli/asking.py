"""One question to a service: which model, the stream shown as it comes, what is said beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from abyssal.cli.conversation import (
    DEMONSTRATION_NOTE,
    PREFERRED_MODELS,
    default_model,
    is_demonstration,
    why_cut_short,
)
from abyssal.cli.terminal import AnswerView, note
from abyssal.wire.errors import MethodNotAllowedError, NotFoundError

if TYPE_CHECKING:
    from abyssal import ChatCompletion, ChatStream, DeepSeekClient, MessageParam


def choose_model(client: DeepSeekClient) -> str:
    """The model to ask when nobody named one: one of ours if it is offered, else the first that is."""
    try:
        return default_model(model.id for model in client.models.list())
    except (NotFoundError, MethodNotAllowedError):  # a service without a list of models
        return PREFERRED_MODELS[0]


def open_stream(
    client: DeepSeekClient, model: str, messages: Sequence[MessageParam], *, max_tokens: int | None = None
) -> ChatStream:
    """The streamed answer to `messages`, with its usage at the end. Raises as the client does."""
    return client.chat.completions.create(
        model=model,
        messages=messages,
        stream=True,
        stream_options={"include_usage": True},
        max_tokens=max_tokens,
    )


def show_stream(stream: ChatStream, view: AnswerView) -> ChatCompletion:
    """Show the answer as it comes; the whole of it. The line is ended whatever happens."""
    try:
        for chunk in stream:
            for choice in chunk.choices:
                if choice.index == 0:
                    view.reasoning(choice.delta.reasoning_content or "")
                    view.content(choice.delta.content or "")
    finally:
        view.end()
    return stream.get_final_completion()


class Remarks:
    """What is said beside answers: that one was cut short; once, that a demonstration model speaks.

    `to_person`: whether somebody sees standard error.
    """

    def __init__(self, *, to_person: bool) -> None:
        self._demonstration_due = to_person

    def on(self, completion: ChatCompletion) -> None:
        """Say what there is to say about this answer."""
        why = why_cut_short(completion)
        if why:
            note(f"The answer ends early: {why}.")
        if self._demonstration_due and is_demonstration(completion):
            self._demonstration_due = False
            note(DEMONSTRATION_NOTE)
