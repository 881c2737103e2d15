"""What stands around every route: plain JSON goes in, and what comes out is put as the client wants it.

1. The answer's side stands before anything else, so that refusals are in the client's form too.
2. A body is opened when it is known whose it is: a stranger has nothing inflated, and what was signed is the
   bytes as they came.
3. Inflating beyond `AT_ONCE` goes on in a thread, of which there is one: a bomb keeps nobody waiting but the
   next large compressed body, and takes no more memory than the limit of a body. Behind it at most
   `MOST_WAITING` wait, which are seconds.
4. A request whose forms are plain comes by none of this.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from abyssal.gateway.bodies.compressed import Compressed
from abyssal.gateway.bodies.link import Connection
from abyssal.gateway.exchange import Exchange, RequestHead
from abyssal.wire.content_coding import Inflater
from abyssal.wire.errors import UnavailableError, UnsupportedMediaTypeError
from abyssal.wire.forms import Forms

AT_ONCE = 1024 * 1024  # bytes; 2 ms or so
MOST_WAITING = 16

_PROTOBUF = {
    b"/v1/chat/completions": "chat",
    b"/chat/completions": "chat",
    b"/beta/chat/completions": "chat",
    b"/v1/completions": "completions",
    b"/beta/completions": "completions",
    b"/v1/text/generate": "completions",
    b"/v1/text/completion": "completions",
    b"/v1/embeddings": "embeddings",
    b"/embeddings": "embeddings",
}
"""The routes whose bodies have messages, and of which format of `wire.protobuf` they are."""

_NOT_COMPRESSED = b"/oauth/"  # answers that are secrets


class Bodies:
    """See the module. `most` is the limit of a body in bytes, inflated."""

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int) -> None:
        self._loop = loop
        self._most = most
        self._thread: ThreadPoolExecutor | None = None
        self._waiting = 0  # bodies at or before the thread

    def wrap(self, exchange: Exchange) -> None:
        """Put the answer's side before the client of an exchange whose head has forms."""
        head = exchange.head
        forms = exchange.forms = head.forms
        assert forms is not None
        client = cast("Connection", exchange.client)
        if forms.answer_coding and head.method != b"HEAD" and not head.path.startswith(_NOT_COMPRESSED):
            client = Compressed(client, forms.answer_coding)
        if forms.answer_protobuf and (name := _PROTOBUF.get(head.path)) is not None:
            from abyssal.gateway.bodies.protobuf import ProtobufAnswer  # loaded by the first such call

            client = ProtobufAnswer(client, name)
        exchange.client = client

    def open(self, exchange: Exchange) -> asyncio.Future[None] | None:
        """Make the body of a wrapped exchange plain; None when it is so already.

        Raises ApiError, or the future does.
        """
        forms, exchange.forms = exchange.forms, None
        assert forms is not None
        if forms.protobuf and exchange.head.path not in _PROTOBUF:
            if exchange.body or exchange.head.method == b"POST":
                raise UnsupportedMediaTypeError(
                    "This route takes no Protobuf; send JSON. GET /v1/schema.proto says which routes do."
                )
            forms = forms._replace(
                protobuf=False
            )  # many clients say their type in requests without a body too
        if forms.coding:
            inflater = Inflater(forms.coding, exchange.body, self._most)
            if not inflater.run(AT_ONCE):
                if self._waiting > MOST_WAITING:
                    raise UnavailableError(
                        "Too many large compressed bodies came at once; try again, or send it as it is.",
                        retry_after=1,
                    )
                return self._loop.create_task(self._inflate(exchange, forms, inflater))
            exchange.body = inflater.body()
        self._read(exchange, forms)
        return None

    async def _inflate(self, exchange: Exchange, forms: Forms, inflater: Inflater) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="inflate")
        self._waiting += 1
        try:
            await self._loop.run_in_executor(self._thread, inflater.run, self._most)
        finally:
            self._waiting -= 1
        exchange.body = inflater.body()
        self._read(exchange, forms)

    def _read(self, exchange: Exchange, forms: Forms) -> None:
        if forms.protobuf:
            from abyssal.wire import protobuf  # loaded by the first such call

            exchange.body = protobuf.decode_request(
                protobuf.FORMATS[_PROTOBUF[exchange.head.path]], exchange.body
            )
        if forms.coding or forms.protobuf or forms.answer_protobuf:
            exchange.head = _as_plain(exchange.head, forms)

    def close(self) -> None:
        """Let the thread end; what is being inflated is of no use to anyone."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)


def _as_plain(head: RequestHead, forms: Forms) -> RequestHead:
    """`head` with the lines that travel on saying what the body is now."""
    dropped = [b"content-encoding:"]
    added = b""
    if forms.protobuf:
        dropped.append(b"content-type:")
        added = b"content-type: application/json\r\n"
    if forms.answer_protobuf:
        dropped.append(b"accept:")
    lines = head.forwarded.split(b"\r\n")
    kept = [line + b"\r\n" for line in lines if line and not line.startswith(tuple(dropped))]
    return head.with_forwarded(added + b"".join(kept))
