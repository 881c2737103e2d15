"""The stage *compose*: `conversation_id`, `context_window` and `language`, which never travel on.

1. A request with none of the keys passes at once; with the last two alone it is composed at once.
2. A conversation is asked of the control process, which answers when it is this call's turn. From then on the
   call holds it until its turn is stored or it gives it back (`keeping`).
3. Without `context_window` a conversation is cut to what the model can hold, where that is known, less the
   room for the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec

from abyssal.gateway.compose.keeping import Keeping
from abyssal.gateway.compose.language import steering
from abyssal.gateway.compose.request import Asked, Brought, asked_of, body_with, brought_by, composed, steered
from abyssal.gateway.compose.window import (
    Message,
    cut,
    from_a_turn_s_beginning,
    message_of,
    messages_of,
    tokens_of,
    too_large,
)
from abyssal.gateway.exchange import Exchange
from abyssal.stores.conversation_inquiries import APPEND, OPEN, RELEASE, Append, Open, Opened, Release
from abyssal.wire.chat_request import ChatRequest, reread_chat_request
from abyssal.wire.errors import ApiError, BadRequestError, ConflictError, UnavailableError

Ask = Callable[[str, bytes], asyncio.Future[bytes]]

_PATIENCE = 15.0  # seconds for the control process to answer, beside the waiting in line
_EVERYTHING = 2**53  # tokens
_HEADER = b"x-abyssal-conversation"

_opened = msgspec.msgpack.Decoder(Opened)
_pack = msgspec.msgpack.Encoder().encode
_encode = msgspec.json.Encoder().encode


class Conversations:
    """See the module.

    `ask` puts a question to the control process, `context_of` gives the tokens that a model can hold (None:
    unknown), `wait` is how long a call stands in line, in seconds.
    """

    def __init__(
        self,
        ask: Ask,
        loop: asyncio.AbstractEventLoop,
        *,
        writer: str,
        context_of: Callable[[str], int | None],
        wait: float,
        error_lines: Callable[[ApiError], bytes],
    ) -> None:
        self._ask, self._loop, self._writer = ask, loop, writer
        self._context_of, self._wait, self._error_lines = context_of, wait, error_lines
        self._holding: dict[str, Keeping] = {}  # by the call's id

    def compose(self, exchange: Exchange) -> asyncio.Future[None] | None:
        """Put the history in front of what the call brings. Raises ApiError, now or in the future."""
        request = exchange.request
        assert isinstance(request, ChatRequest)
        asked = asked_of(request)
        if asked is None:
            return None
        sentence = None if asked.language is None else steering(asked.language)
        _choose_chat(exchange, asked)
        window, strict = self._window(request, asked)
        if asked.conversation is None:
            if sentence is None and window is None:
                self._put(exchange, body_with(exchange.body, None))
                return None
            brought = brought_by(exchange.body, request)
            self._put(exchange, _body(exchange.body, [], [], brought, sentence, window, strict))
            return None
        waits = _may_wait(exchange)
        finding: asyncio.Future[None] = self._loop.create_future()
        principal = exchange.principal
        assert principal is not None
        place = (principal.credential.project.id, asked.conversation, self._writer, exchange.id)
        give_back = partial(self._tell, RELEASE, Release(*place))
        question = self._ask(OPEN, _pack(Open(*place, waits, _EVERYTHING if window is None else window)))
        limit = self._loop.call_later(self._wait + _PATIENCE, _give_up, finding, _unanswered())

        def opened(question: asyncio.Future[bytes]) -> None:
            fault = question.exception()
            if finding.done():  # given up, or the client is gone
                if fault is None:
                    give_back()
                return
            if fault is not None:
                finding.set_exception(fault)
                return
            try:
                self._open(exchange, request, _opened.decode(question.result()), place, sentence)
            except Exception as error:  # noqa: BLE001  the pipeline tells them apart
                give_back()
                finding.set_exception(error)
            else:
                finding.set_result(None)

        def over(finding: asyncio.Future[None]) -> None:
            limit.cancel()
            if not question.done():
                give_back()

        finding.add_done_callback(over)
        question.add_done_callback(opened)
        return finding

    def left(self, exchange: Exchange) -> None:
        """The client left before its answer was complete."""
        keeping = self._holding.get(exchange.id)
        if keeping is not None:
            keeping.left()

    def _open(
        self,
        exchange: Exchange,
        request: ChatRequest,
        opened: Opened,
        place: tuple[str, str, str, str],
        sentence: str | None,
    ) -> None:
        asked = asked_of(request)
        assert asked is not None
        window, strict = self._window(request, asked)
        brought = brought_by(exchange.body, request)
        weighed = window is not None
        turns = [message for turn in opened.turns for message in messages_of(turn, weighed=weighed)]
        opening = messages_of(opened.opening, weighed=weighed)
        body = _body(exchange.body, opening, turns, brought, sentence, window, strict, whole=opened.whole)
        self._put(exchange, body)
        user = request.user_id if request.user_id and "\0" not in request.user_id else None
        keeping = Keeping(
            exchange,
            place[1],
            prefix=brought.prefix,
            store=lambda message: self._store(
                place, request.model, [*brought.kept, message_of(message)], user
            ),
            release=lambda: self._give_back(place),
            error_lines=self._error_lines,
        )
        self._holding[exchange.id] = exchange.client = keeping

    def _window(self, request: ChatRequest, asked: Asked) -> tuple[int | None, bool]:
        """How many tokens the model may see, None for all, and whether what does not fit is an error."""
        holds = self._context_of(request.model)
        if asked.window is not None:
            return (asked.window if holds is None else min(asked.window, holds)), True
        if asked.conversation is None or holds is None:
            return None, False
        wanted = request.max_tokens or request.max_completion_tokens or holds // 4
        return holds - min(wanted, holds // 2), False

    def _put(self, exchange: Exchange, body: bytes) -> None:
        exchange.body, exchange.request = body, reread_chat_request(body)

    def _store(
        self, place: tuple[str, str, str, str], model: str, messages: list[Message], user: str | None
    ) -> asyncio.Future[None]:
        """Add a turn; done when it is committed."""
        self._holding.pop(place[3], None)
        stored: asyncio.Future[None] = self._loop.create_future()
        content = _encode([message.raw for message in messages])
        limit = self._loop.call_later(_PATIENCE, _give_up, stored, _perhaps_stored())

        def told(answer: asyncio.Future[bytes]) -> None:
            limit.cancel()
            fault = answer.exception()
            if stored.done():
                return
            if fault is None:
                stored.set_result(None)
            else:
                stored.set_exception(_not_stored(fault))

        try:
            self._ask(
                APPEND, _pack(Append(*place, model, content, tokens_of(messages), user))
            ).add_done_callback(told)
        except ApiError as error:
            limit.cancel()
            stored.set_exception(_not_stored(error))
        return stored

    def _give_back(self, place: tuple[str, str, str, str]) -> None:
        self._holding.pop(place[3], None)
        self._tell(RELEASE, Release(*place))

    def _tell(self, topic: str, message: msgspec.Struct) -> None:
        """As `ask`, where the answer does not matter: what fails, time undoes."""
        try:
            self._ask(topic, _pack(message)).add_done_callback(_read)
        except UnavailableError:
            pass  # the worker is going, and its leases with it


def _body(
    body: bytes,
    opening: list[Message],
    turns: list[Message],
    brought: Brought,
    sentence: str | None,
    window: int | None,
    strict: bool,
    *,
    whole: bool = True,
) -> bytes:
    if not whole:  # older turns did not fit, nor does what is older still
        opening = [message for message in opening if message.is_system]
        turns = from_a_turn_s_beginning(turns)
        if not turns and brought.rest and brought.rest[0].role != "user":
            raise too_large(tokens_of([*opening, *brought.leading, *brought.rest]), window or 0)
    messages = composed(opening, turns, brought)
    if sentence is not None:
        messages = steered(messages, sentence)
    if window is not None:
        messages = cut(messages, window, strict=strict)
    return body_with(body, messages)


def _choose_chat(exchange: Exchange, asked: Asked) -> None:
    """A history and a language can be said in a chat alone. Raises BadRequestError where it is none."""
    native = exchange.native
    if native is None:
        return
    if asked.conversation is None and asked.language is None:
        exchange.native = native._replace(body=body_with(native.body, None))
        return
    if native.only:
        name = "language" if asked.conversation is None else "conversation_id"
        raise BadRequestError(
            f'"{name}" does not go with "{native.only}"; leave one of them out.',
            param=name,
            code="unsupported_parameter",
        )
    exchange.native = None


def _may_wait(exchange: Exchange) -> bool:
    said = (exchange.head.asks or {}).get(_HEADER)
    if said not in (None, b"wait", b"no-wait"):
        raise BadRequestError(
            'x-abyssal-conversation: "wait" or "no-wait".', param=_HEADER.decode(), code="invalid_value"
        )
    return said != b"no-wait"


def _give_up(waiting: asyncio.Future[None], error: ApiError) -> None:
    if not waiting.done():
        waiting.set_exception(error)


def _unanswered() -> UnavailableError:
    return UnavailableError(
        f"The conversation cannot be read now (the database did not answer within {_PATIENCE:g} s); try "
        "again shortly.",
        code="store_unavailable",
        retry_after=1,
    )


def _perhaps_stored() -> UnavailableError:
    return UnavailableError(
        f"The database did not answer within {_PATIENCE:g} s, so it is not known whether this turn was added "
        "to the conversation; look at it before you ask again.",
        code="conversation_not_stored",
        retry_after=1,
    )


def _not_stored(fault: BaseException) -> ApiError:
    if isinstance(fault, ConflictError):
        return fault
    why = fault.message if isinstance(fault, ApiError) else type(fault).__name__
    return UnavailableError(
        f"The answer could not be added to the conversation, which is as it was before this call: {why}",
        code="conversation_not_stored",
        retry_after=1,
    )


def _read(answer: asyncio.Future[bytes]) -> None:
    answer.exception()
