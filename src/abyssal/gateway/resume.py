"""Where resumable streams meet the pipeline: which requests begin one, which go on with one, on which worker.

1. `x-abyssal-resumable: 1` on a route that can stream makes the answer resumable, if it is a stream;
   `Last-Event-ID` makes a request one that goes on, by `POST` or `GET`. Its body is not looked at.
2. `DELETE` with `Last-Event-ID` ends a stream for good.
3. The id names the worker. Who asks is proved by the worker that was reached, which then passes the request
   to the worker that has the stream.
4. A WebSocket says the same in its messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from abyssal.gateway.dialects.dialect import Dialect
from abyssal.gateway.dialects.sockets.numbered import NumberedMessages
from abyssal.gateway.exchange import Exchange
from abyssal.gateway.pipeline import Pipeline
from abyssal.gateway.relay.siblings import SiblingCall, Siblings, Wanted
from abyssal.gateway.resuming.event_id import EventId, parse_event_id
from abyssal.gateway.resuming.form import Form, ServerSentEvents
from abyssal.gateway.resuming.stream import Connection, Reader
from abyssal.gateway.resuming.streams import ResumableStreams, no_such_stream
from abyssal.wire.errors import NotFoundError

_JSON = b"content-type: application/json\r\n"
_EVENTS, _MESSAGES = ServerSentEvents(), NumberedMessages()

Handler = Callable[[Exchange], None]


class Resuming:
    """See the module. `routes` are those that can stream, and their formats, None for the official one."""

    def __init__(
        self,
        pipeline: Pipeline,
        streams: ResumableStreams,
        siblings: Siblings,
        *,
        worker: int,
        routes: Mapping[bytes, Dialect | None],
    ) -> None:
        self._pipeline, self._streams, self._siblings = pipeline, streams, siblings
        self._worker, self._routes = worker, routes

    # --- HTTP -----------------------------------------------------------------------------------------

    def call(self, exchange: Exchange, go: Handler) -> None:
        """A `POST` that asks something of the platform, or to go on; `go` answers all others."""
        head = exchange.head
        if head.path in self._routes:
            if head.last_event_id:
                self.resume(exchange)
                return
            if head.asks is not None and head.asks.get(b"x-abyssal-resumable") == b"1":
                self._begin(exchange, go, _EVENTS, b"")
                return
        go(exchange)

    def takes(self, exchange: Exchange) -> bool:
        """Whether a request that is no `POST` goes on with a stream, or ends one."""
        head = exchange.head
        return bool(head.last_event_id) and head.method in (b"GET", b"DELETE") and head.path in self._routes

    def resume(self, exchange: Exchange) -> None:
        """Read on, or end, what the request's `Last-Event-ID` names."""
        head = exchange.head
        value = (head.last_event_id or b"").strip()
        ending = head.method == b"DELETE"
        self._find(exchange, value, _EVENTS, self._routes[head.path], self._end if ending else self._go_on)

    # --- WebSocket ------------------------------------------------------------------------------------

    def socket_call(self, exchange: Exchange, dialect: Dialect, words: bytes) -> None:
        """A request on a socket whose answer is to be resumable."""
        lines = b"x-abyssal-dialect: %b\r\n" % words
        self._begin(exchange, lambda inner: self._pipeline.translated(inner, dialect), _MESSAGES, lines)

    def socket_resume(self, exchange: Exchange, last_event_id: bytes) -> None:
        """Go on with an answer on a socket."""
        self._find(exchange, last_event_id, _MESSAGES, None, self._go_on)

    def stop(self, exchange: Exchange) -> None:
        """End what is at work on `exchange`; nobody will come back to it."""
        call = exchange.call
        if isinstance(call, Reader):
            call.stream.stop(call)
        elif isinstance(call, SiblingCall):
            call.stop()
        elif call is not None:
            call.cancel()

    # --- both -----------------------------------------------------------------------------------------

    def _begin(self, exchange: Exchange, go: Handler, form: Form, lines: bytes) -> None:
        client = exchange.client
        if isinstance(client, Connection):
            stream = self._streams.open(form, exchange.head.path, lines)
            go(stream.serve(exchange, client))
        else:
            go(exchange)  # its answer is written anew behind this place: there are no events to number

    def _find(
        self,
        exchange: Exchange,
        value: bytes,
        form: Form,
        dialect: Dialect | None,
        act: Callable[[Exchange, Connection, EventId | None, Wanted], None],
    ) -> None:
        client = exchange.client
        exchange.forms = None  # its body is not looked at

        def found(exchange: Exchange) -> None:
            principal = exchange.principal
            assert principal is not None
            if not isinstance(client, Connection):
                raise no_such_stream()
            project = principal.credential.project.id
            act(
                exchange,
                client,
                parse_event_id(value),
                Wanted(exchange.head.path, value, project, form.whole),
            )

        self._pipeline.known(exchange, dialect, found)

    def _go_on(self, exchange: Exchange, client: Connection, place: EventId | None, wanted: Wanted) -> None:
        if place is None:
            raise no_such_stream()
        if place.worker == self._worker:
            self._streams.attach(exchange, client, place, wanted.project, wanted.route)
        elif place.worker in self._siblings:
            refuse = self._pipeline.refuse
            self._siblings.resume(
                place.worker, exchange, client, wanted, lambda: refuse(exchange, no_such_stream())
            )
        else:
            raise no_such_stream()

    def _end(self, exchange: Exchange, client: Connection, place: EventId | None, wanted: Wanted) -> None:
        if place is not None and place.worker == self._worker:
            self._streams.end(place, wanted.project, wanted.route)
        elif place is not None and place.worker in self._siblings:
            self._siblings.stop(place.worker, wanted)
        client.answer(200, _JSON, b'{"object":"stream","deleted":true}')

    # --- a sibling's side -----------------------------------------------------------------------------

    def for_sibling(self, exchange: Exchange) -> None:
        """A request on the private socket: another worker has proved who asks."""
        head, client = exchange.head, exchange.client
        place = parse_event_id(head.last_event_id or b"")
        project = (head.asks or {}).get(b"x-abyssal-project", b"").decode("latin-1")
        try:
            if place is None or not isinstance(client, Connection):
                raise no_such_stream()
            if head.method == b"DELETE":
                self._streams.end(place, project, head.path)
                client.answer(200, _JSON, b"{}")
            else:
                self._streams.attach(exchange, client, place, project, head.path)
        except NotFoundError as error:
            client.answer(error.status_code, _JSON, error.as_json())
