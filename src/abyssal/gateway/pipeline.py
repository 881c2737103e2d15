"""Everything that happens to a chat call, in order. Read it from top to bottom.

    authenticate → open → permit → admit → compose → recall → route → mend → relay → settle

A stage answers at once or raises the ApiError that the client is told. Four take time: `authenticate`, when
a nonce is asked for elsewhere, `open`, when a body is compressed and large (of a plain one it hears nothing),
`compose`, when the request names what the platform keeps (a conversation, a file), and `relay`, which ends in
`settle` whichever way it ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from abyssal.gateway.dialects.dialect import Dialect
from abyssal.gateway.dialects.embeddings import VectorsAsAsked, needs_conversion
from abyssal.gateway.dialects.translation import Translated
from abyssal.gateway.exchange import Exchange, Native
from abyssal.gateway.relay.call import RelayCall, RelayContext
from abyssal.gateway.relay.heads import error_lines
from abyssal.gateway.relay.reviewed import ReviewedCall
from abyssal.gateway.upstreams.upstream import Profile, Upstream
from abyssal.stores.journal import JournalFullError
from abyssal.wire.chat_request import ChatRequest, parse_chat_request, parse_own_chat_request
from abyssal.wire.embedding_request import parse_embedding_request
from abyssal.wire.errors import ApiError, InternalServerError

_log = logging.getLogger("abyssal.gateway")


class Authenticate(Protocol):
    def authenticate(self, exchange: Exchange) -> asyncio.Future[None] | None: ...


class Open(Protocol):
    def open(self, exchange: Exchange) -> asyncio.Future[None] | None: ...


class Permit(Protocol):
    def permit(self, exchange: Exchange) -> None: ...


class Admit(Protocol):
    def admit(self, exchange: Exchange) -> None: ...
    def release(self, exchange: Exchange) -> None: ...


class Compose(Protocol):
    def compose(self, exchange: Exchange) -> asyncio.Future[None] | None: ...
    def left(self, exchange: Exchange) -> None: ...


class Recall(Protocol):
    def recall(self, exchange: Exchange) -> bool: ...


class Route(Protocol):
    def route(self, exchange: Exchange) -> Upstream: ...


class Mend(Protocol):
    def mend(self, exchange: Exchange, profile: Profile) -> None: ...


class Ledger(Protocol):
    def open(self, exchange: Exchange, upstream: str) -> None: ...
    def settle(self, exchange: Exchange) -> None: ...
    def refuse(self, exchange: Exchange, error: ApiError) -> None: ...


class Pipeline:
    """The stages. `relay` is completed by `bind`, since it needs `settle`."""

    def __init__(
        self,
        *,
        authenticate: Authenticate,
        bodies: Open,
        permit: Permit,
        admit: Admit,
        compose: Compose,
        recall: Recall,
        route: Route,
        mend: Mend,
        ledger: Ledger,
    ) -> None:
        self._authenticate = authenticate.authenticate
        self._open = bodies.open
        self._permit = permit.permit
        self._admission = admit
        self._compose = compose.compose
        self._left = compose.left
        self._recall = recall.recall
        self._route = route.route
        self._mend = mend.mend
        self._ledger = ledger
        self._relay: RelayContext | None = None

    def bind(self, relay: RelayContext) -> None:
        """Hand in what relaying needs."""
        self._relay = relay

    def chat(self, exchange: Exchange) -> None:
        """Take a chat call from its last byte to its settlement."""
        self.identified(exchange, self._chat)

    def beta_chat(self, exchange: Exchange) -> None:
        """As `chat`, on an upstream's beta route where it has one."""
        exchange.route = "beta chat"
        self.identified(exchange, self._chat)

    def translated(self, exchange: Exchange, dialect: Dialect) -> None:
        """Take a call in another format: it is read into a chat call, and its answer written back."""
        direct = exchange.client
        client = exchange.client = Translated(direct, dialect, exchange.id)

        def read(exchange: Exchange) -> None:
            reading = dialect.read(exchange.body)
            if reading.route is not None:
                exchange.native = Native(reading.route, exchange.body, direct, reading.only)
            exchange.body, client.writer = reading.body, reading.writer
            self._chat(exchange, parse_own_chat_request)

        self.identified(exchange, read)

    def counted(self, exchange: Exchange, dialect: Dialect, count: Callable[[bytes], bytes]) -> None:
        """Answer what `count` makes of the body (JSON), which no upstream is asked for."""
        direct = exchange.client
        client = exchange.client = Translated(direct, dialect, exchange.id)

        def answer(exchange: Exchange) -> None:
            self._permit(exchange)
            lines = b"content-type: application/json\r\n" + client.naming
            direct.answer(200, lines, count(exchange.body))

        self.identified(exchange, answer)

    def known(self, exchange: Exchange, dialect: Dialect | None, go: Callable[[Exchange], None]) -> None:
        """Find out who asks and whether they may; `go` answers. Refusals are in the format of `dialect`."""
        if dialect is not None:
            exchange.client = Translated(exchange.client, dialect, exchange.id)

        def permitted(exchange: Exchange) -> None:
            self._permit(exchange)
            go(exchange)

        self.identified(exchange, permitted)

    def embeddings(self, exchange: Exchange) -> None:
        """Take an embeddings call: as a chat, but that nothing is composed for it."""
        exchange.route = "embeddings"
        self.identified(exchange, self._embeddings)

    def identified(self, exchange: Exchange, go: Callable[[Exchange], None]) -> None:
        """Find out whose the request is and go on with `go`; turn a stranger away."""
        try:
            finding = self._authenticate(exchange)
            if finding is not None:
                _Waiting(exchange, finding, lambda: self._after(exchange, finding, go), self._gone)
                return
            if exchange.forms is None:
                go(exchange)
                return
        except ApiError as error:
            self.refuse(exchange, error)
            return
        except Exception as fault:  # noqa: BLE001  a stage's bug must be an answer, and settled
            self._broke(exchange, fault)
            return
        self._go(exchange, go)

    def _after(
        self, exchange: Exchange, waited_for: asyncio.Future[None], go: Callable[[Exchange], None]
    ) -> None:
        fault = waited_for.exception()
        if fault is None:
            self._go(exchange, go)
        elif isinstance(fault, ApiError):
            self.refuse(exchange, fault)
        else:
            self._broke(exchange, fault)

    def _go(self, exchange: Exchange, go: Callable[[Exchange], None]) -> None:
        try:
            if exchange.forms is not None and (opening := self._open(exchange)) is not None:
                release = self._admission.release
                _Waiting(exchange, opening, lambda: self._after(exchange, opening, go), release)
                return
            go(exchange)
        except ApiError as error:
            self.refuse(exchange, error)
        except Exception as fault:  # noqa: BLE001  as in a stage
            self._broke(exchange, fault)

    def _chat(self, exchange: Exchange, parse: Callable[[bytes], ChatRequest] = parse_chat_request) -> None:
        try:
            exchange.request = parse(exchange.body)
            self._permit(exchange)
            self._admission.admit(exchange)
            composing = self._compose(exchange)
            if composing is not None:
                _Waiting(
                    exchange, composing, lambda: self._after(exchange, composing, self._relayed), self._gone
                )
                return
        except ApiError as error:
            self.refuse(exchange, error)
        except Exception as fault:  # noqa: BLE001  a stage's bug must be an answer, and settled
            self._broke(exchange, fault)
        else:
            self._relayed(exchange)

    def _embeddings(self, exchange: Exchange) -> None:
        exchange.request = request = parse_embedding_request(exchange.body)
        if needs_conversion(request):
            exchange.client = VectorsAsAsked(exchange.client, request)
        self._permit(exchange)
        self._admission.admit(exchange)
        self._relayed(exchange)

    def _relayed(self, exchange: Exchange) -> None:
        try:
            if self._recall(exchange):
                return
            upstream = self._route(exchange)
            if exchange.native is not None:
                upstream.choose_form(exchange, exchange.native)
            self._mend(exchange, upstream.profile)
            upstream.check(exchange)
            self._ledger.open(exchange, upstream.name)
        except ApiError as error:
            self.refuse(exchange, error)
        except Exception as fault:  # noqa: BLE001  a stage's bug must be an answer, and settled
            self._broke(exchange, fault)
        else:
            assert self._relay is not None
            if exchange.native is not None:
                exchange.client = exchange.native.client
            reviewed = exchange.mending is not None and exchange.mending.reviewed
            (ReviewedCall if reviewed else RelayCall)(exchange, upstream, self._relay).start()

    def settle(self, exchange: Exchange) -> None:
        """The call is over: what it used is written, its place is free."""
        try:
            self._ledger.settle(exchange)
        except JournalFullError as error:
            _log.error(
                "%s ended and cannot be written (%s); its opening is in the journal", exchange.id, error
            )
        if exchange.status == 499:
            self._left(exchange)
        self._admission.release(exchange)

    def _gone(self, exchange: Exchange) -> None:
        """The client left while something was being found out."""
        self._left(exchange)
        self._admission.release(exchange)

    def _broke(self, exchange: Exchange, fault: BaseException) -> None:
        _log.error("a stage failed on %s", exchange.id, exc_info=fault)
        self.refuse(exchange, InternalServerError(f"The platform failed ({type(fault).__name__})."))

    def refuse(self, exchange: Exchange, error: ApiError) -> None:
        """Turn the call away: it reached no upstream."""
        self._ledger.refuse(exchange, error)
        self._admission.release(exchange)
        exchange.client.answer(error.status_code, error_lines(error), error.as_json())


class _Waiting:
    """An exchange for which something is being found out: a client that leaves ends it."""

    def __init__(
        self,
        exchange: Exchange,
        finding: asyncio.Future[None],
        then: Callable[[], None],
        gone: Callable[[Exchange], None],
    ) -> None:
        self._exchange, self._finding, self._then, self._gone = exchange, finding, then, gone
        self._left = False
        exchange.call = self
        finding.add_done_callback(self._found)

    def _found(self, finding: asyncio.Future[None]) -> None:
        if self._left:
            return
        self._exchange.call = None
        if not finding.cancelled():
            self._then()

    def cancel(self) -> None:
        self._exchange.call = None
        self._left = True  # what is found out may be on its way here already
        self._finding.cancel()
        self._gone(self._exchange)

    def pause(self) -> None:
        """Nothing is sent yet."""

    def resume(self) -> None:
        """Nothing is sent yet."""

    def tick(self, now: float) -> None:
        """Who is asked has time-outs of its own."""
