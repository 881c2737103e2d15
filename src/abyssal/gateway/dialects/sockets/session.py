"""One socket: whose it is, and its requests, one after another. No I/O and no clock of its own.

1. A credential in the upgrade's head is proved at once. Without one the first message is `auth`, within
   `AUTH_PATIENCE` seconds. Each call then goes through all stages with that credential.
2. The first message decides the dialect (`words`). A message that is not the dialect's is an error, and the
   socket stays.
3. One request is at work at a time; up to `MOST_WAITING` wait in order, more are an error.
4. `cancel` ends the request at work, or the next one that waits, and is answered `cancelled`.
5. An answer's error ends the answer, not the socket; but for these:

   | what | close code |
   | --- | --- |
   | no credential, or one that proves nothing | 4401 |
   | a limit, before the socket had any answer | 4429 |
   | nobody can tell whose it is now | 1013 |
   | the first message is not JSON | 1007 |

6. A resumable request's answer may be read on with `resume`, on this socket or another, which waits its
   turn like a request. `cancel` ends such an answer for good, a socket that goes does not.
7. A bare socket is closed (1000) when nothing waits for an answer any more; when the server goes away every
   socket is (1001).
"""

from __future__ import annotations

import re
from collections import deque
from math import inf

import msgspec

from abyssal.gateway.dialects.sockets.credentials import for_calls, has_credential, is_same
from abyssal.gateway.dialects.sockets.messages import (
    CANCELLED,
    complaint,
    error_frame,
    flag,
    is_given,
    read_credential,
    read_message,
    string,
    words_of,
)
from abyssal.gateway.dialects.sockets.request import SocketRequest
from abyssal.gateway.dialects.sockets.seams import Socket, Stages
from abyssal.gateway.dialects.sockets.words import BY_NAME, Words
from abyssal.gateway.exchange import Exchange, RequestHead
from abyssal.wire.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    RateLimitError,
    UpstreamBrokenError,
)

AUTH_PATIENCE = 10.0  # seconds
MOST_WAITING = 16
MOST_WAITING_BYTES = 1024 * 1024

NORMAL, GOING_AWAY, NOT_JSON, TRY_LATER = 1000, 1001, 1007, 1013  # RFC 6455 §7.4.1; 1013 of its registry
UNAUTHENTICATED, OVER_LIMIT = 4401, 4429

_DIALECT = re.compile(rb"^x-abyssal-dialect: ([a-z]+)\r$", re.MULTILINE)
_RETRY_AFTER = re.compile(rb"^retry-after: ([0-9]+)\r$", re.MULTILINE)


class _Resume(msgspec.Struct):
    last_event_id: bytes
    size: int


class Session:
    """See the module. It is the client of its exchanges, which come one after another."""

    __slots__ = (
        "_deadline", "_exchange", "_first", "_head", "_identifying", "_next_id", "_now", "_over",
        "_resumable", "_served", "_socket", "_stages", "_starting", "_unproven", "_waiting", "_waiting_bytes",
        "_words",
    )  # fmt: skip

    def __init__(self, stages: Stages, socket: Socket, head: RequestHead) -> None:
        self._stages, self._socket = stages, socket
        self._next_id, self._now = socket.next_id, socket.now
        self._head = for_calls(head, None)  # without a credential until one was proved
        self._unproven: RequestHead | None = None  # with a credential that is to be proved
        self._words: Words | None = None
        self._exchange: Exchange | None = None  # at work
        self._identifying = False  # ... and only to find out whose the socket is
        self._waiting: deque[SocketRequest | _Resume] = deque()
        self._waiting_bytes = 0
        self._starting = False  # the queue is being worked off, further up the stack
        self._first = True  # no message came yet
        self._served = False  # some call was answered, or began to be
        self._over = False
        self._resumable = (head.asks or {}).get(
            b"x-abyssal-resumable"
        ) == b"1"  # where a request does not say
        self._deadline = self._now() + AUTH_PATIENCE
        if has_credential(head):
            self._unproven, self._deadline = head, inf

    # --- the socket's side ----------------------------------------------------------------------------

    def open(self) -> None:
        """The socket is open: find out whose it is, if its head says so."""
        self._next_turn()

    def message(self, text: bytes) -> None:
        """A text message came."""
        first, self._first = self._first, False
        try:
            message = read_message(text)
            if message.type == "cancel":
                self._cancel()
            elif message.type == "auth":
                self._take_credential(message.fields)
            elif message.type == "resume":
                self._enqueue(_Resume(_last_event_id(message.fields), len(text)))
            else:
                words = words_of(message, self._words)
                fields = message.fields
                resumable = flag(fields, "resumable") if is_given(fields, "resumable") else self._resumable
                self._words = words
                self._enqueue(SocketRequest(words, fields, self._stages.default_model, len(text), resumable))
        except ApiError as error:
            self._complain(error)
            if first and error.code == "invalid_json":
                self._close(NOT_JSON, "not JSON")

    def turn_away(self, error: ApiError, code: int) -> None:
        """What came is not a message at all: tell `error`, then close."""
        self._complain(error)
        self._close(code, str(error.code))

    def left(self) -> None:
        """The client is gone."""
        self._over = True
        self._waiting.clear()
        exchange, self._exchange = self._exchange, None
        if exchange is not None and exchange.call is not None:
            exchange.call.cancel()

    def pause(self) -> None:
        """The client reads too slowly."""
        if self._exchange is not None and self._exchange.call is not None:
            self._exchange.call.pause()

    def resume(self) -> None:
        """The client caught up."""
        if self._exchange is not None and self._exchange.call is not None:
            self._exchange.call.resume()
        self._next_turn()

    def tick(self, now: float) -> None:
        """A second or so passed."""
        if self._exchange is not None:
            if self._exchange.call is not None:
                self._exchange.call.tick(now)
        elif now >= self._deadline:
            error = AuthenticationError(
                f"Authentication Fails (no credential came within {AUTH_PATIENCE:g} s). Send an auth message "
                "first, or the credential in the upgrade's headers.",
                code="missing_api_key",
            )
            self.turn_away(error, UNAUTHENTICATED)

    def drain(self) -> None:
        """The server goes away: close now, or when what is asked is answered."""
        if not self.busy:
            self._close(GOING_AWAY, "the server is going away")

    @property
    def busy(self) -> bool:
        """Whether the client waits for an answer, or for the rest of one."""
        return self._exchange is not None or bool(self._waiting)

    # --- messages -------------------------------------------------------------------------------------

    def _take_credential(self, fields: dict[str, msgspec.Raw]) -> None:
        known = self._unproven or self._head
        holds = has_credential(known) or known.proven is not None
        try:
            words, authorization = read_credential(fields)
        except BadRequestError as error:
            if holds or error.code == "two_credentials":
                raise
            # On a socket without one this is no credential, as an empty header is on HTTP.
            missing = AuthenticationError(error.message, code="missing_api_key")
            self.turn_away(missing, UNAUTHENTICATED)
            return
        if holds:
            if not is_same(known, authorization):
                raise BadRequestError(
                    "This socket has a credential already; open another one to use another.",
                    code="two_credentials",
                )
            if self._words is not None:
                raise BadRequestError(
                    "This socket is authenticated already; send a request.", code="unexpected_message"
                )
        else:
            self._unproven, self._deadline = self._head.with_authorization(authorization), inf
        self._words = self._words or words
        self._next_turn()

    def _enqueue(self, request: SocketRequest | _Resume) -> None:
        at_rest = self._exchange is None and not self._waiting and self._unproven is None
        if at_rest and self._socket.writable and not self._over:  # nearly always
            self._start(request)
            return
        full = self._waiting and self._waiting_bytes + request.size > MOST_WAITING_BYTES
        if full or len(self._waiting) >= MOST_WAITING:
            raise RateLimitError(
                f"{len(self._waiting)} requests of {self._waiting_bytes} bytes wait on this socket; wait for "
                "an answer, or open another socket.",
                code="socket_queue_full",
            )
        self._waiting.append(request)
        self._waiting_bytes += request.size

    def _cancel(self) -> None:
        exchange = self._exchange
        if exchange is not None and not self._identifying:
            self._exchange = None
            self._stages.resuming.stop(exchange)
        elif self._waiting:
            self._waiting_bytes -= self._waiting.popleft().size
        self._socket.write(CANCELLED)
        if self._exchange is None:
            self._done()

    def _complain(self, error: ApiError) -> None:
        if not self._over:
            self._socket.write(complaint(error, self._next_id()))

    # --- turns ----------------------------------------------------------------------------------------

    def _next_turn(self) -> None:
        """Start what waits, one after another; answers that come at once do not pile up on the stack."""
        if self._starting:
            return
        self._starting = True
        while self._exchange is None and not self._over and self._socket.writable:
            if self._unproven is not None:
                self._identify(self._unproven)
            elif self._waiting:
                request = self._waiting.popleft()
                self._waiting_bytes -= request.size
                self._start(request)
            else:
                break
        self._starting = False

    def _identify(self, head: RequestHead) -> None:
        exchange = self._exchange = Exchange(self._next_id(), self, head)
        exchange.started_at = self._now()
        self._identifying = True
        self._stages.identify(exchange, self._identified)

    def _identified(self, exchange: Exchange) -> None:
        principal = exchange.principal
        assert principal is not None
        self._head = for_calls(exchange.head, principal.credential)
        self._unproven, self._exchange, self._identifying = None, None, False
        self._next_turn()

    def _start(self, request: SocketRequest | _Resume) -> None:
        exchange = self._exchange = Exchange(self._next_id(), self, self._head)
        exchange.started_at = self._now()
        stages = self._stages
        exchange.scope = stages.scope
        if isinstance(request, _Resume):
            stages.resuming.socket_resume(exchange, request.last_event_id)
            return
        request.request_id = exchange.id
        if request.resumable:
            stages.resuming.socket_call(exchange, request, request.words.name)
        else:
            stages.call(exchange, request)

    def _done(self) -> None:
        """Nothing is at work any more: go on, or close."""
        self._exchange = None
        if self._waiting:
            self._next_turn()
        elif self._socket.draining:
            self._close(GOING_AWAY, "the server is going away")
        elif self._words is not None and self._words.closes:
            self._close(NORMAL, "")

    def _close(self, code: int, reason: str) -> None:
        if not self._over:
            self.left()
            self._socket.close(code, reason)

    # --- the client of the exchanges ------------------------------------------------------------------

    @property
    def scheme(self) -> bytes:
        return self._socket.scheme

    def address_of(self, head: RequestHead) -> str:
        return self._socket.address_of(head)

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """A whole answer in messages, or any refusal as the body that HTTP would have."""
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        if status == 200:
            self._served = True
            self._socket.write(body)
            self._done()
            return
        found = _RETRY_AFTER.search(headers)
        self._socket.write(error_frame(body, exchange.id, found[1] if found else b""))
        code = self._code_of(status)
        if code:
            self._close(code, "see the error message")
        else:
            self._done()

    def _code_of(self, status: int) -> int:
        """The code to close with after an error, 0 to stay."""
        if status == 429 and not self._served:
            return OVER_LIMIT
        if self._identifying:
            return TRY_LATER if status >= 500 else UNAUTHENTICATED
        return UNAUTHENTICATED if status == 401 else 0

    def begin(self, status: int, headers: bytes, length: int | None) -> None:
        """A stream begins: a socket has no heads. One that is read on may be the first to say its dialect."""
        self._served = True
        if self._words is None:
            found = _DIALECT.search(headers)
            self._words = BY_NAME.get(found[1]) if found else None

    def send(self, data: bytes) -> None:
        """Messages of a stream; a comment would tell a socket nothing: it has pings."""
        if not data.startswith(b":"):
            self._socket.write(data)

    def finish(self) -> None:
        self._done()

    def abort(self) -> None:
        """The answer cannot be completed."""
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        error = UpstreamBrokenError("The upstream broke its answer off; try again.")
        self._socket.write(complaint(error, exchange.id))
        self._done()

    def hold(self, most: int | None) -> None:
        self._socket.hold(most)


def _last_event_id(fields: dict[str, msgspec.Raw]) -> bytes:
    """What a `resume` message asks for. Raises BadRequestError."""
    if not is_given(fields, "last_event_id"):
        raise BadRequestError(
            '"last_event_id" is missing; send the `event_id` of the last message that came.',
            param="last_event_id",
            code="missing_field",
        )
    return string(fields, "last_event_id").encode()
