"""The embeddings request as the gateway reads it: types, ranges, one sentence for each thing that is wrong.

Sources: OpenAI API, "Create embeddings"; the platform's specification, section 2.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from abyssal.wire.errors import BadRequestError
from abyssal.wire.guard import KeyGuard
from abyssal.wire.json_body import decode_body

MOST_INPUTS = 2048
MOST_DIMENSIONS = 65_536

Token = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Encoding = Literal["float", "base64"]


class EmbeddingRequest(msgspec.Struct):
    """What the gateway knows of an embeddings request. Unknown keys are the upstream's matter.

    `input` is a text, or a list of texts, of tokens (one input), or of lists of tokens.
    """

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    input: str | list[str | Token | list[Token]]
    dimensions: Annotated[int, Meta(ge=1, le=MOST_DIMENSIONS)] | None = None
    encoding_format: Encoding | None = None
    user: str | None = None

    @property
    def stream(self) -> bool:
        """Vectors come whole."""
        return False

    @property
    def encoding(self) -> Encoding:
        return self.encoding_format or "float"

    def inputs(self) -> list[str | list[int]]:
        """What is to be embedded, one by one."""
        if isinstance(self.input, str):
            return [self.input]
        texts = [item for item in self.input if not isinstance(item, int)]
        return texts or [[item for item in self.input if isinstance(item, int)]]


_decoder = msgspec.json.Decoder(EmbeddingRequest)
_guard = KeyGuard(EmbeddingRequest.__struct_fields__)


def parse_embedding_request(body: bytes) -> EmbeddingRequest:
    """The request in `body` (JSON bytes). Raises BadRequestError whose `param` names the field."""
    request = decode_body(body, _decoder, _guard)
    if isinstance(request.input, list):
        _check_list(request.input)
    elif not request.input:
        raise _empty("input")
    return request


def _check_list(given: list[str | int | list[int]]) -> None:
    if not given:
        raise _empty("input")
    kind = type(given[0])
    for index, item in enumerate(given):
        if type(item) is not kind:
            raise BadRequestError(
                f'"input[{index}]": texts, tokens and lists of tokens are mixed; send one kind in a call.',
                param=f"input[{index}]",
                code="invalid_value",
            )
        if item in ("", []):
            raise _empty(f"input[{index}]")
    if kind is not int and len(given) > MOST_INPUTS:
        raise BadRequestError(
            f'"input": {len(given)} inputs in one call; at most {MOST_INPUTS} are taken, so send them in '
            "several.",
            param="input",
            code="invalid_value",
        )


def _empty(where: str) -> BadRequestError:
    return BadRequestError(
        f'"{where}" is empty; send what is to be embedded.', param=where, code="invalid_value"
    )
