"""Filling in the middle on the embedded engine: a prompt in which the model's own tokens mark the places.

1. The prompt is a list of texts and token ids, `["", prefix token, text before, suffix token, text after,
   middle token]`; the empty text in front makes llama.cpp begin as the model does (its `add_bos`).
2. llama.cpp's own `/infill` cuts what is longer than its batch without a word and answers in another shape;
   its completions route does neither.
3. What that route would pass over or answer in another shape, `echo` and `logprobs`, is refused by name.
"""

from __future__ import annotations

from typing import Any

import msgspec

from abyssal.wire.errors import BadRequestError

InfillTokens = tuple[int, int, int]
"""The ids of a model's tokens for prefix, suffix and middle."""

_TRAVELS = frozenset(
    {
        "max_tokens",
        "temperature",
        "top_p",
        "n",
        "stop",
        "seed",
        "stream",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
    }
)
_encode = msgspec.json.Encoder().encode


class _Infill(msgspec.Struct):
    prompt: str | list[str]
    suffix: str
    echo: bool | None = None
    logprobs: int | None = None


_infill = msgspec.json.Decoder(_Infill)
_top_level = msgspec.json.Decoder(dict[str, msgspec.Raw])


def check_infill(body: bytes) -> None:
    """Raise BadRequestError for what the engine cannot do beside filling in; `body` has been read before."""
    request = _infill.decode(body)
    for name, asked in (("echo", request.echo), ("logprobs", request.logprobs is not None)):
        if asked:
            raise BadRequestError(
                f'"{name}" is not taken together with "suffix" by this model; leave one of them out.',
                param=name,
                code="unsupported_content",
            )


def infill_body(body: bytes, model: str, tokens: InfillTokens) -> bytes:
    """The body for the engine from the client's `body`, which `check_infill` has passed."""
    request = _infill.decode(body)
    before = request.prompt if isinstance(request.prompt, str) else request.prompt[0]
    prefix, suffix, middle = tokens
    fields: dict[str, Any] = {key: value for key, value in _top_level.decode(body).items() if key in _TRAVELS}
    fields["model"] = model
    fields["prompt"] = ["", prefix, before, suffix, request.suffix, middle]
    if bytes(fields.get("stream", b"")) == b"true":
        fields["stream_options"] = {"include_usage": True}
    return _encode(fields)
