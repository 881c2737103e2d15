"""What may be asked of a text completion: the arguments of `completions.create` and of the text routes.

Source: DeepSeek API, "Create FIM Completion", and the platform's specification, section 2.
"""

from __future__ import annotations

from typing import Required, cast

from abyssal.client.params import CallOptions, SamplingOptions, request_body
from abyssal.client.routes import BETA_COMPLETIONS, COMPLETIONS, Route


class TextOptions(SamplingOptions, total=False):
    """The arguments that all of them take."""

    n: int | None
    echo: bool | None
    """The prompt stands before each text."""
    logprobs: int | None
    """Of each token, and of that many rivals (0 to 20)."""


class TextParams(TextOptions, total=False):
    """Those of `text.generate` and `text.complete`, but for the prompt."""

    model: str | None
    """Which model; None is the service's choice."""


class CompletionParams(TextOptions, total=False):
    """Those of `completions.create`."""

    model: Required[str]
    prompt: Required[str]
    suffix: str | None
    """What comes after the text: the model fills the gap."""
    beta: bool | None
    """Whether to ask `/beta/completions`, where the official service has this; None: if there is a suffix."""


_COMPLETION = frozenset(CompletionParams.__annotations__)
_TEXT = frozenset({*TextParams.__annotations__, "prompt"})


def completion_body(params: CompletionParams, *, stream: bool) -> tuple[Route, dict[str, object]]:
    """The route and the body. Raises TypeError for arguments that do not exist, and for missing ones."""
    body = request_body("create", params, _COMPLETION, ("model", "prompt"), stream=stream)
    beta = body.pop("beta", None)
    if beta is None:
        beta = bool(body.get("suffix"))
    return BETA_COMPLETIONS if beta else COMPLETIONS, body


def text_body(method: str, prompt: str, params: TextParams, *, stream: bool) -> dict[str, object]:
    """The body. Raises TypeError for arguments that do not exist."""
    asked = cast("CallOptions", {**params, "prompt": prompt})
    return request_body(method, asked, _TEXT, ("prompt",), stream=stream)
