"""Conversations as routes and workers use them: a world of tenants, requests to the routes, calls' questions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from tests.unit.platform.identity.tenants import (
    MAIN,
    Answer,
    World,
    call,
    credential_of,
    key_of,
)

from abyssal.config import ConversationsConfig, IdentityConfig
from abyssal.platform.conversations.calls import append_turn, open_conversation, release_conversation
from abyssal.platform.conversations.ordering import Ordering
from abyssal.platform.http.tenant import tenant_routes
from abyssal.platform.plane import ControlPlane
from abyssal.stores.conversation_inquiries import Append, Open, Opened, Release
from abyssal.stores.rights import SCOPES
from abyssal.wire.errors import ApiError

T = TypeVar("T")

OURS, OURS_TOO = key_of("service"), key_of("member")  # both of the project MAIN
SPARE, THEIRS = credential_of("api_key", "spare"), credential_of("api_key", "theirs")
SCOPED = " ".join(SCOPES)


class Talk:
    """One node's control plane over the world's database. `writer` is the worker that asks."""

    def __init__(self, world: World, **settings: Any) -> None:
        self.world = world
        self.clock = world.clock
        config = ConversationsConfig(**settings)
        self.plane = ControlPlane(
            engine=world.engine,
            vault=world.vault,
            clock=world.clock,
            identity=IdentityConfig(),
            files=world.files,
            blobs=world.blobs,
            issuer="https://a.example",
            run=_run,
            in_force=_in_force,
            failed=lambda **_: None,
            conversations=config,
            ordering=Ordering(config.waiting),
        )
        self.app = Starlette(routes=tenant_routes(self.plane), exception_handlers={ApiError: _error_object})

    def ask(
        self,
        who: str,
        method: str,
        path: str = "",
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        scopes: str = SCOPED,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request to `/v1/conversations` and `path`, as the worker passes it on; "" is nobody."""
        proof = {"x-abyssal-credential": who} if who else {}
        sent = {**proof, "x-abyssal-scopes": scopes, **(headers or {})}
        raw = b"" if body is None else msgspec.json.encode(body)
        asked = urlencode(query or {}).encode()
        return call(self.app, method, "/v1/conversations" + path, asked, sent, raw)

    def begin(self, who: str = OURS, **fields: Any) -> str:
        """A new conversation's id."""
        answer = self.ask(who, "POST", body=fields)
        assert answer.status == 201, answer.body
        return answer.json["id"]

    async def open(
        self,
        conversation: str,
        call_id: str = "c1",
        *,
        project: str = MAIN,
        writer: str = "w0",
        wait: bool = True,
        tokens: int = 10**9,
    ) -> Opened:
        asked = Open(project, conversation, writer, call_id, wait, tokens)
        answer = await open_conversation(msgspec.msgpack.encode(asked), self.plane)
        return msgspec.msgpack.decode(answer, type=Opened)

    async def append(
        self,
        conversation: str,
        call_id: str = "c1",
        *messages: dict[str, Any],
        project: str = MAIN,
        writer: str = "w0",
        tokens: int = 10,
        user: str | None = None,
    ) -> int:
        said = msgspec.json.encode(messages)
        asked = Append(project, conversation, writer, call_id, "m", said, tokens, user)
        return int(await append_turn(msgspec.msgpack.encode(asked), self.plane))

    async def release(
        self, conversation: str, call_id: str = "c1", *, project: str = MAIN, writer: str = "w0"
    ) -> None:
        asked = Release(project, conversation, writer, call_id)
        await release_conversation(msgspec.msgpack.encode(asked), self.plane)

    def say(self, conversation: str, *texts: str, tokens: int = 10, user: str | None = None) -> None:
        """A turn for each text, answered with it in capitals."""

        async def all_of_them() -> None:
            for number, text in enumerate(texts):
                await self.open(conversation, f"c{number}")
                await self.append(conversation, f"c{number}", *turn(text), tokens=tokens, user=user)

        asyncio.run(all_of_them())


def turn(text: str) -> list[dict[str, Any]]:
    """What a turn keeps: a question, and its answer."""
    return [{"role": "user", "content": text}, {"role": "assistant", "content": text.upper()}]


async def _run(work: Callable[[], T]) -> T:
    return work()


async def _in_force() -> bool:
    return True


async def _error_object(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return Response(error.as_json(), error.status_code, media_type="application/json")
