"""Reads requests out of a connection's bytes: bytes in, whole requests or a refusal out. No I/O, no clock.

1. llhttp (strict, through httptools) parses; `request_head` judges what it leaves open.
2. A head that was judged on this connection before is recognised, not parsed (`wire.head_template`).
3. What surrounds a chunked body (sizes, extensions, trailers) is bounded like the head.
4. A request that asks for another protocol is offered to the sink, and what follows it is passed over
   unread. If the sink does not take it, it is read as HTTP, and the connection ends with its answer.
5. After a refusal nothing more is read: the rest of the connection cannot be trusted.
6. The body of an upload is passed on piece by piece, if its call can begin at once and nothing has to be
   proved by it; else it is collected like any other.
"""

from __future__ import annotations

import re
from typing import Any

import httptools

from abyssal.gateway.exchange import Client, Exchange, RequestHead, UploadExchange
from abyssal.gateway.front import request_head as rules
from abyssal.gateway.front.sink import NO_UPLOADS, NextId, RequestSink
from abyssal.wire.errors import ApiError, BadRequestError, HeadersTooLargeError
from abyssal.wire.head_template import HeadMemory

_KNOWN_METHOD_LINE = re.compile(rb"(?:\r\n)*[!#$%&'*+.^_`|~0-9A-Za-z-]+ ")
_OTHER_VERSION = re.compile(rb" HTTP/(?!1\.[01]\r?\n)[0-9]\.[0-9]\r?\n")
_COMMON_CONNECTION = frozenset((b"keep-alive", b"close", b"Keep-Alive", b"Close"))


class RequestReader:
    """The state of one connection's reading. `next_id` names each request."""

    __slots__ = (
        "_aligned", "_begun", "_between", "_body", "_body_bytes", "_body_left", "_client", "_expects",
        "_fed", "_fed_head", "_fields", "_head_bytes", "_host", "_http10", "_keep_alive", "_known",
        "_length", "_lines", "_max_body", "_next", "_next_id", "_nominated", "_parser", "_seen_host",
        "_sink", "_target", "_te", "_upgrade", "_upgraded", "_uploading", "_uploads", "_wire_bytes",
        "failed", "in_head",
    )  # fmt: skip

    def __init__(
        self,
        sink: RequestSink,
        client: Client,
        *,
        max_body: int,
        next_id: NextId,
        uploads: frozenset[bytes] = NO_UPLOADS,
    ) -> None:
        self._sink = sink
        self._uploads = uploads  # paths to which bodies are posted that are passed on as they come
        self._uploading: UploadExchange | None = None
        self._client = client
        self._max_body = max_body
        self._next_id = next_id
        self._parser = httptools.HttpRequestParser(self)
        self._known: HeadMemory[RequestHead] = HeadMemory()
        self._between = True  # the parser has seen whole requests only
        self._fed = b""  # what the parser is reading
        self._aligned = True  # ... and that begins with a request
        self._begun = 0  # requests that began in it
        self._fed_head = b""  # what it was reading when the last head ended, if that was all of it
        self._seen_host: bytes | None = None
        self._body_left = 0  # of a request whose body needs no parser
        self.in_head = False
        self.failed = False
        self._upgraded = False  # another protocol reads on
        self._begin()

    def _begin(self) -> None:
        self._next: Exchange | None = None  # the request that is being read
        self._target = b""
        self._fields = self._head_bytes = self._length = self._body_bytes = self._wire_bytes = 0
        self._host: bytes | None = None
        self._te: bytes | None = None
        self._expects: bytes | None = None
        self._upgrade: bytes | None = None
        self._nominated = b""
        self._lines: list[bytes] = []
        self._body: Any = []  # pieces, or who takes those of an upload
        self._keep_alive = True
        self._http10 = False

    @property
    def midway(self) -> bool:
        """Whether a request has begun and is not whole."""
        return self.in_head or self._next is not None

    def feed(self, data: bytes, *, at_rest: bool) -> None:
        """Read `data`. `at_rest`: no earlier request waits or is at work, so a head may be recognised."""
        if self._body_left:
            data = self._read_body(data)
        elif at_rest and self._between and self._known.judged is not None:
            data = self._recognise(data)
        if data and not self.failed:
            self._parse(data)

    # --- without the parser ---------------------------------------------------------------------------

    def _recognise(self, data: bytes) -> bytes:
        """Take in a request whose head is known; gives what is left for the parser."""
        pattern = self._known.judged
        found = self._known.match(data)
        if found is None or pattern is None:
            return data
        length, start, bearer = found
        if len(data) - start > length or length > self._max_body:
            return data
        head = pattern if bearer is None else pattern.with_authorization(bearer)
        exchange = Exchange(self._next_id(), self._client, head)
        if len(data) - start == length and length:
            exchange.body = data[start:]
            self._sink.took(exchange, self._keep_alive, self._http10)
            return b""
        self._next = exchange
        self._body_left = length
        return self._read_body(data[start:])

    def _read_body(self, data: bytes) -> bytes:
        """Take in what `_body_left` still wants; gives what follows it."""
        rest = data[self._body_left :] if len(data) > self._body_left else b""
        if rest:
            data = data[: self._body_left]
        self._body.append(data)
        self._body_left -= len(data)
        if self._body_left:
            self._sink.progressed()
        else:
            self._complete()
        return rest

    def _learn(self, exchange: Exchange) -> None:
        simple = self._te is None and self._expects is None and self._keep_alive and not self._http10
        if simple and exchange.body and exchange.head.method == b"POST" and exchange.head.proof is None:
            head = self._fed_head
            # Many clients send head and body apart; between, there is nothing but the head's end.
            message = head if head is self._fed else head + exchange.body
            self._known.learn(message, len(exchange.body), exchange.head)

    # --- with the parser ------------------------------------------------------------------------------

    def _parse(self, data: bytes) -> None:
        self._fed, self._aligned, self._begun = data, self._between, 0
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_past_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._fail(self._explain(error))
        else:
            if self.midway:
                self._check_surplus(data)

    def _check_surplus(self, data: bytes) -> None:
        """Bound what is neither a whole field yet nor body; `data` was read last."""
        if self._begun > self._aligned:
            return  # how much of it belongs to the request that is being read is not known
        self._wire_bytes += len(data)
        most = rules.MAX_HEAD_BYTES * 2 if self.in_head else rules.MAX_HEAD_BYTES + self._head_bytes
        if self._wire_bytes - self._body_bytes > most + self._body_bytes:
            self._fail(_too_large() if self.in_head else _overframed())

    def _read_past_upgrade(self, rest: bytes) -> None:
        if self._upgraded:
            if rest:
                self._sink.passed_over(rest)
            return
        if self._next is None:
            return  # it had no body and is on its way
        if self._te is not None:
            self._fail(BadRequestError("A chunked body with Upgrade is not taken here.", code="bad_framing"))
            return
        self._body_left = self._length
        self._read_body(rest)

    def _explain(self, error: httptools.HttpParserError) -> ApiError | None:
        """The refusal for what the parser raised; None for bytes behind a request that was the last."""
        if isinstance(error, httptools.HttpParserCallbackError):
            cause = error.__context__
            if isinstance(cause, ApiError):
                return cause
            raise error
        if not self._keep_alive and self._next is None:
            return None
        text = str(error)
        if isinstance(error, httptools.HttpParserInvalidMethodError) and _KNOWN_METHOD_LINE.match(self._fed):
            return rules.NotImplementedByServerError("The request's method is not known here.")
        if "version" in text and _OTHER_VERSION.search(self._fed):
            return rules.VersionNotSupportedError("Another HTTP version than 1.0 and 1.1; use HTTP/1.1.")
        return BadRequestError(f"The request is not HTTP/1.1: {text}.", code="malformed_http")

    def _fail(self, error: ApiError | None) -> None:
        self.failed = True
        self.in_head = False
        self._next = self._uploading = None
        self._body = []
        if error is not None:
            self._sink.refused(error)

    # --- the parser's callbacks -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._begin()
        self.in_head = True
        self._between = False
        self._begun += 1
        self._sink.progressed()

    def on_url(self, url: bytes) -> None:
        self._target += url
        if len(self._target) > rules.MAX_HEAD_BYTES:
            raise _too_large()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        self._head_bytes += len(name) + len(value) + 4
        if self._fields > rules.MAX_FIELDS or self._head_bytes > rules.MAX_HEAD_BYTES:
            raise _too_large()
        if not self.in_head:
            return  # a trailer field: nothing here needs one
        exchange = self._next
        if exchange is None:
            exchange = self._next = Exchange(self._next_id(), self._client, RequestHead())
        lower = name.lower()
        if lower not in rules.NOT_FORWARDED:
            if lower.startswith(b"x-abyssal-"):
                rules.add_ask(exchange.head, lower, value)
                return
            noted = rules.NOTED_FIELDS.get(lower)
            if noted is not None:
                rules.note(exchange.head, noted, value)
            self._lines.append(b"%b: %b\r\n" % (lower, value))
        elif lower == b"authorization":
            if exchange.head.authorization is not None:
                raise BadRequestError("Two Authorization headers; send one.", code="two_credentials")
            exchange.head.authorization = value
        elif lower == b"x-api-key":
            if exchange.head.x_api_key is not None:
                raise BadRequestError("Two x-api-key headers; send one.", code="two_credentials")
            exchange.head.x_api_key = value
        elif lower in rules.PROOF_FIELDS:
            rules.add_proof(exchange.head, lower, value)
        elif lower == b"x-forwarded-for":
            earlier = exchange.head.forwarded_for
            exchange.head.forwarded_for = value if earlier is None else earlier + b", " + value
        elif lower == b"accept-encoding":
            rules.note(exchange.head, "accept_encoding", value)
        elif lower == b"host":
            if self._host is not None:
                raise BadRequestError("Two Host headers; send one.", code="bad_host")
            self._host = value
        elif lower == b"content-length":
            self._length = int(value)
        elif lower == b"transfer-encoding":
            self._te = value if self._te is None else self._te + b", " + value
        elif lower == b"expect":
            self._expects = value
        elif lower == b"upgrade":
            self._upgrade = value if self._upgrade is None else self._upgrade + b", " + value
        elif lower == b"connection" and value not in _COMMON_CONNECTION:
            self._nominated += value + b","

    def on_headers_complete(self) -> None:
        parser = self._parser
        version = parser.get_http_version()
        if version != "1.1":
            rules.check_version(version)
            self._http10 = True
        exchange = self._next
        if exchange is None:
            exchange = self._next = Exchange(self._next_id(), self._client, RequestHead())
        head = exchange.head
        if self._host is None or self._host != self._seen_host:
            rules.check_host(self._host, version)
            self._seen_host = self._host
        if self._te is not None:
            rules.check_transfer_encoding(self._te, version)
        if self._length > self._max_body and not self._is_upload(head):
            rules.check_length(self._length, self._max_body)
        rules.check_protocol(self._target, self._fed)
        self._fed_head = self._fed if self._aligned and self._begun == 1 else b""
        head.method, head.target, head.host = parser.get_method(), self._target, self._host or b""
        head.path, head.query = rules.split_target(self._target)
        head.forwarded = rules.without_nominated(self._lines, self._nominated)
        rules.note_forms(head)
        self.in_head = False
        self._keep_alive = parser.should_keep_alive() and not parser.should_upgrade()
        if self._expects is not None and self._expects.lower() != b"100-continue":
            raise rules.ExpectationFailedError("Only the expectation 100-continue is known here.")
        if head.path in self._uploads and self._is_upload(head) and (self._length or self._te is not None):
            self._begin_upload(exchange)
        elif self._expects is not None and not self._http10:
            self._sink.expected()
        self._sink.progressed()

    def _is_upload(self, head: RequestHead) -> bool:
        """Whether its body may be passed on as it comes."""
        if self._parser.get_method() != b"POST" or head.proof is not None or self._upgrade is not None:
            return False
        return rules.split_target(self._target)[0] in self._uploads

    def _begin_upload(self, collected: Exchange) -> None:
        """Let the call begin before its body is whole; if it cannot, the body is collected after all."""
        exchange = UploadExchange(collected.id, collected.client, collected.head)
        length = None if self._te is not None else self._length
        expects = self._expects is not None and not self._http10
        self._next = self._uploading = exchange
        taker = self._sink.began(exchange, length, http10=self._http10, expects=expects)
        if taker is not None:
            self._body = taker
            return
        self._next, self._uploading = collected, None
        rules.check_length(self._length, self._max_body)
        if expects:
            self._sink.expected()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > self._max_body and self._uploading is None:
            rules.check_length(self._body_bytes, self._max_body)
        self._sink.progressed()

    def on_message_complete(self) -> None:
        self._between = True
        if self._te is not None:
            if self._begun == 1 and self._aligned:  # all of it is in this read
                framing = rules.chunk_framing(self._fed)
            else:
                framing = self._wire_bytes + len(self._fed) * (not self._begun)
                framing -= self._head_bytes + self._body_bytes
            if framing > rules.MAX_HEAD_BYTES + self._body_bytes:
                raise _overframed()
        if self._parser.should_upgrade() and (self._length or self._te is not None) and not self._body:
            return  # the parser skips this body: `_read_past_upgrade` does not
        if self._uploading is not None:
            exchange, self._uploading, self._next = self._uploading, None, None
            self._body = []
            self._sink.ended(exchange, self._keep_alive)
        else:
            self._complete()

    def _complete(self) -> None:
        exchange, body = self._next, self._body
        assert exchange is not None
        self._next, self._body = None, []
        if body:
            exchange.body = body[0] if len(body) == 1 else b"".join(body)
        if self._known.judged is None:
            self._learn(exchange)
        if self._upgrade is not None and not body and self._parser.should_upgrade() and not self._http10:
            self._upgraded = self._sink.offered(exchange, self._upgrade)
            if self._upgraded:
                return
        self._sink.took(exchange, self._keep_alive, self._http10)


def _overframed() -> BadRequestError:
    return BadRequestError("The chunks carry more framing than body.", code="bad_framing")


def _too_large() -> HeadersTooLargeError:
    return HeadersTooLargeError(
        f"Over {rules.MAX_FIELDS} header fields or {rules.MAX_HEAD_BYTES} bytes of them; send fewer."
    )
