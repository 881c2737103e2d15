"""A conversation as a value: what was said, and what the next request says. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from abyssal import ChatCompletion

PREFERRED_MODELS = ("deepseek-chat", "deepseek-flash")
DEMONSTRATION_MODEL = "abyssal-tiny"
DEMONSTRATION_NOTE = (
    "This is abyssal-tiny, a small demonstration model: it knows little and errs often. For the official "
    "models start the platform with DEEPSEEK_API_KEY set, for your own with --model FILE.gguf."
)
_CUT_SHORT = {
    "length": "it reached the most tokens that were allowed",
    "content_filter": "the service's content filter stopped it",
    "insufficient_system_resource": "the service ran out of resources",
    "aborted": "the service aborted it",
}


class Conversation:
    """The turns so far, under one system prompt. `model` and `system` may be changed at any time."""

    def __init__(self, model: str, system: str | None = None) -> None:
        self.model = model
        self.system = system
        self._turns: list[dict[str, object]] = []

    def with_question(self, question: str) -> list[dict[str, object]]:
        """The messages of a request that asks `question` next."""
        system: list[dict[str, object]] = []
        if self.system:
            system = [{"role": "system", "content": self.system}]
        return [*system, *self._turns, {"role": "user", "content": question}]

    def add(self, question: str, answer: str) -> None:
        """Keep a turn. Reasoning is left out: a service ignores it in later requests without tools."""
        self._turns.append({"role": "user", "content": question})
        self._turns.append({"role": "assistant", "content": answer})

    def clear(self) -> None:
        """Forget the turns; model and system prompt stay."""
        self._turns.clear()


def default_model(offered: Iterable[str]) -> str:
    """Which of the models that a service offers to ask when nobody named one."""
    names = list(offered)
    preferred = [name for name in PREFERRED_MODELS if name in names]
    return next(iter([*preferred, *names]), PREFERRED_MODELS[0])


def is_demonstration(completion: ChatCompletion) -> bool:
    """Whether the bundled model gave this answer."""
    return (completion.system_fingerprint or "").startswith(DEMONSTRATION_MODEL)


def why_cut_short(completion: ChatCompletion) -> str | None:
    """Why the answer ends before its end, None if it does not."""
    reason = completion.choices[0].finish_reason if completion.choices else None
    return _CUT_SHORT.get(reason or "")
