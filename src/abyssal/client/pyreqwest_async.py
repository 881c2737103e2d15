"""Requests through pyreqwest in an asyncio event loop: TLS, proxies, compression."""

from __future__ import annotations

from datetime import timedelta

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError
from pyreqwest.request import RequestBuilder, StreamRequest
from pyreqwest.response import Response

from abyssal.client import defaults
from abyssal.client.answer import Answer
from abyssal.client.pyreqwest_common import MAX_CLIENTS, local_error, set_up
from abyssal.client.request import Request
from abyssal.client.settings import BaseUrl


class AsyncPyreqwestTransport:
    """Keeps the `AsyncTransport` protocol. Its connections belong to no event loop."""

    def __init__(self, base: BaseUrl, pool_size: int) -> None:
        self._base = base
        self._pool_size = pool_size
        self._clients: dict[tuple[float | None, float | None], Client] = {}

    async def send(self, request: Request) -> Answer:
        builder = self._builder(request)
        if request.total is not None:
            builder = builder.timeout(timedelta(seconds=request.total))
        try:
            response = await builder.build().send()
            content = await response.bytes()
        except PyreqwestError as error:
            raise local_error(error, request) from error
        return Answer(response.status, dict(response.headers.items()), content.to_bytes())

    async def open(self, request: Request) -> _Streamed:
        # Without a limit of 0 the bytes would be kept back until there are 64 KiB of them.
        opening = self._builder(request).streamed_read_buffer_limit(0).build_streamed()
        try:
            response = await opening.__aenter__()
        except PyreqwestError as error:
            raise local_error(error, request) from error
        return _Streamed(request, opening, response)

    async def aclose(self) -> None:
        while self._clients:
            await self._clients.popitem()[1].close()

    def _builder(self, request: Request) -> RequestBuilder:
        endpoint = request.endpoint
        builder = self._client(request).request(endpoint.method, endpoint.url).headers(endpoint.headers)
        return builder if request.body is None else builder.body_bytes(request.body)

    def _client(self, request: Request) -> Client:
        timeout = request.timeout
        key = (timeout.connect, timeout.read)
        client = self._clients.get(key)
        if client is None:
            if len(self._clients) >= MAX_CLIENTS:
                del self._clients[next(iter(self._clients))]  # its calls keep it until they end
            client = set_up(
                ClientBuilder(), self._base, self._pool_size, timeout, defaults.POOL_TIMEOUT
            ).build()
            self._clients[key] = client
        return client


class _Streamed:
    """An answer that is read as it comes. Keeps the `AsyncStreamedAnswer` protocol."""

    def __init__(self, request: Request, opening: StreamRequest, response: Response) -> None:
        self.status = response.status
        self.headers = dict(response.headers.items())
        self._request = request
        self._opening: StreamRequest | None = opening
        self._read = response.body_reader.read_chunk

    async def read(self) -> bytes:
        if self._opening is None:
            return b""
        try:
            chunk = await self._read()
        except PyreqwestError as error:
            raise local_error(error, self._request) from error
        return b"" if chunk is None else chunk.to_bytes()

    async def aclose(self, *, drain: bool = False) -> None:
        opening, self._opening = self._opening, None
        if opening is not None:
            await opening.__aexit__(None, None, None)
