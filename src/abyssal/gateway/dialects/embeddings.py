"""The client's side of an embeddings call that asked for base64 or for fewer dimensions.

1. An answer whose vectors are as asked passes as it came, in pieces if it came so.
2. One whose vectors are numbers where base64 was asked, or must be shortened, is held until it is whole.
"""

from __future__ import annotations

from abyssal.gateway.exchange import Client, RequestHead
from abyssal.wire.embedding_request import EmbeddingRequest, Encoding
from abyssal.wire.errors import UpstreamBrokenError
from abyssal.wire.vectors import as_asked, encoding_in

_JSON = b"content-type: application/json\r\n"


def needs_conversion(request: EmbeddingRequest) -> bool:
    """Whether an upstream might answer otherwise than `request` asks."""
    return request.dimensions is not None or request.encoding == "base64"


class VectorsAsAsked:
    """See the module."""

    def __init__(self, client: Client, request: EmbeddingRequest) -> None:
        self._client = client
        self._encoding: Encoding = request.encoding
        self._dimensions = request.dimensions
        self._begun: tuple[int, bytes, int | None] = (200, b"", None)
        self._held: list[bytes] | None = []  # None once the pieces pass

    @property
    def scheme(self) -> bytes:
        return self._client.scheme

    def address_of(self, head: RequestHead) -> str:
        return self._client.address_of(head)

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """A whole answer, its vectors as asked; or a refusal."""
        if status == 200 and not self._passes(body):
            try:
                body = as_asked(body, self._encoding, self._dimensions)
            except ValueError:
                error = UpstreamBrokenError(
                    "The upstream answered something that is no list of vectors; try again.",
                    code="upstream_garbage",
                )
                status, headers, body = error.status_code, _JSON, error.as_json()
        self._client.answer(status, headers, body)

    def begin(self, status: int, headers: bytes, length: int | None) -> None:
        """The head of a large answer; it waits for the first vector."""
        self._begun = (status, headers, length)

    def send(self, data: bytes) -> None:
        """A piece of it."""
        held = self._held
        if held is None:
            self._client.send(data)
            return
        held.append(data)
        if len(held) == 1 and self._passes(data):
            self._held = None
            self._client.begin(*self._begun)
            self._client.send(data)

    def finish(self) -> None:
        """The end of what `begin` announced."""
        if self._held is None:
            self._client.finish()
        else:
            status, headers, _ = self._begun
            self.answer(status, headers, b"".join(self._held))

    def abort(self) -> None:
        self._client.abort()

    def _passes(self, beginning: bytes) -> bool:
        return self._dimensions is None and encoding_in(beginning) in (self._encoding, None)
