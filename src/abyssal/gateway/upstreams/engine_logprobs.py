"""llama.cpp's log probabilities in the official shape, and what several answers to one call cost.

1. A token has an `id` more than the official one, which goes; `top_logprobs` are those that were asked for,
   though the engine must always be asked for one (with 0 it leaves out `logprobs` altogether).
2. With `n` above 1 a whole answer tells the tokens of one choice only. So log probabilities are asked for,
   which tell how many tokens each has; who did not want them does not see them. A `stop` that was met is
   among the tokens used and not among those told.
"""

from __future__ import annotations

from typing import Any

from abyssal.gateway.repairs.events import Fields, Rewriter, choices_of
from abyssal.wire.chat_request import ChatRequest


def fields_for(request: ChatRequest) -> Fields:
    """What `logprobs` and `n` of `request` become in what the engine is asked."""
    if request.logprobs:
        return {"logprobs": True, "top_logprobs": max(1, request.top_logprobs or 0)}
    if counts_choices(request):
        return {"logprobs": True, "top_logprobs": 1}
    return {}


def counts_choices(request: ChatRequest) -> bool:
    """Whether the answer's usage must be added up from its choices."""
    return (request.n or 1) > 1 and not request.stream


class OfficialLogprobs(Rewriter):
    """Puts log probabilities in the official shape, with the `top` most probable; None takes them away."""

    __slots__ = ("_top",)

    needle = b'"logprobs"'

    def __init__(self, top: int | None) -> None:
        self._top = top

    def rewrite(self, choice: Fields, said: Fields, *, whole: bool) -> bool:
        told: Fields | None = choice.get("logprobs")
        if told is None:
            return False
        if self._top is None:
            del choice["logprobs"]
            return True
        tokens: list[Fields] = told["content"]
        for token in tokens:
            token.pop("id", None)
            tops: list[Fields] = token.get("top_logprobs") or []
            token["top_logprobs"] = tops[: self._top]
            for other in tops:
                other.pop("id", None)
        return True


def tokens_told(answer: Fields) -> int:
    """The tokens of all choices of a whole answer, by their log probabilities."""
    told: list[Any] = [choice.get("logprobs") or {} for choice, _ in choices_of(answer, "message")]
    return sum(len(one.get("content") or ()) for one in told)
