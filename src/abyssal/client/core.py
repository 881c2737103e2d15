"""What both clients are: calls made from arguments, and each call's next move. No I/O; time is handed in."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, cast

from abyssal import __version__
from abyssal.client import faults
from abyssal.client.answer import Answer
from abyssal.client.params import CallOptions, ChatParams, chat_body, check_call_options
from abyssal.client.request import Endpoint, Request, checked_path, encode_body
from abyssal.client.resuming import GIVE_UP_WITHIN, LAST_ID, RESUMABLE, Resumption
from abyssal.client.retry import Attempts, RetryBudget, RetryPolicy
from abyssal.client.routes import CHAT, MODELS, Route, placed
from abyssal.client.settings import BaseUrl
from abyssal.client.timeout import Timeout, as_timeout
from abyssal.clock import Clock
from abyssal.wire.errors import AbyssalError, ApiConnectionError, AuthenticationError, ConfigurationError
from abyssal.wire.sse import EventDecoder

if TYPE_CHECKING:  # a key alone needs neither
    from abyssal.client.credentials.fetching import Fetching
    from abyssal.client.credentials.protocol import Credential
    from abyssal.client.protobuf import ProtobufCodec
    from abyssal.client.reading import Events

WireFormat = Literal["json", "protobuf"]
"""How the bodies of chats, completions and embeddings travel."""

_UNLIMITED = Timeout()


def new_token() -> str:
    """What was never given before: an idempotency key, a form's boundary."""
    return os.urandom(16).hex()


class Call:
    """One call of a user's: at most a few attempts with the same bytes.

    `once`: it leaves something behind at the service, so it is not sent again where it may have arrived.
    """

    __slots__ = (
        "_attempts", "_body", "_core", "_once", "_proof", "_proved_again", "_prover",
        "codec", "endpoint", "timeout",
    )  # fmt: skip

    def __init__(
        self,
        core: ClientCore,
        endpoint: Endpoint,
        body: bytes | None,
        timeout: Timeout,
        *,
        streamed: bool,
        once: bool = False,
        codec: ProtobufCodec | None = None,
    ) -> None:
        total = None if streamed else timeout.total
        deadline = None if total is None else core.clock.monotonic() + total
        self.endpoint = endpoint
        self._core = core
        self._body = body
        self.timeout = timeout
        self._once = once
        self.codec = codec
        self._attempts = Attempts(core.policy, core.budget, deadline)
        self._prover = core.prover
        self._proof: Mapping[str, str] = {}
        self._proved_again = False
        if self._prover is not None and "authorization" in endpoint.headers:
            self._prover = None  # the call's extra_headers bring a proof of their own, as they may with a key

    @property
    def fetching(self) -> Fetching | None:
        """What has to be fetched before `request`, if anything ever has."""
        return None if self._prover is None else self._prover.fetching

    def request(self) -> Request:
        """The next attempt."""
        endpoint = self.endpoint
        if self._prover is not None:
            self._proof = self._prover.proof(endpoint, self._body or b"", self._core.clock.unix_ns())
            endpoint = endpoint.with_proof(self._proof)
        return Request(endpoint, self._body, self.timeout, self.seconds_left())

    def fetch_request(self, fetching: Fetching) -> Request:
        """What fetches a token for this call, within this call's limits."""
        self._proof = {}  # should this be answered 401, it is not the token that is wrong
        body = fetching.body.reveal().encode()
        return Request(fetching.endpoint, body, self.timeout, self.seconds_left())

    def seconds_left(self) -> float | None:
        """Of the call's total time; None without a limit."""
        deadline = self._attempts.deadline
        return None if deadline is None else max(0.001, deadline - self._core.clock.monotonic())

    def seconds_until_retry(self, error: AbyssalError) -> float | None:
        """How long to wait before the next attempt; None if `error` is to be raised."""
        if self._proof and not self._proved_again and isinstance(error, AuthenticationError):
            # Once a call, and no retry: the service is well, it is the token that has ended or was revoked.
            self._proved_again = True
            if self._prover is not None and self._prover.refused(self._proof):
                self._proof = {}
                return 0.0
        if self._once and isinstance(error, ApiConnectionError) and not error.unsent:
            error.add_note("Not tried again: the service may have carried it out.")
            return None
        return self._attempts.seconds_until_retry(error, self._core.clock.monotonic(), self._core.dice)

    @property
    def events(self) -> Callable[[], Events]:
        """Makes what takes the bytes of this call's stream apart."""
        return EventDecoder if self.codec is None else self.codec.decoder

    def in_json(self, answer: Answer) -> Answer:
        """`answer`, in JSON whatever the call's wire format. Raises ProtocolError when it is not in that."""
        return answer if self.codec is None else self.codec.answer(answer)

    def error_of(self, answer: Answer) -> AbyssalError | None:
        """The error that `answer` stands for, None if it is a good one."""
        if 200 <= answer.status < 300:
            return None
        answer = self.in_json(answer)
        return faults.error_of_answer(
            answer.status,
            answer.headers,
            answer.content,
            url=self.endpoint.url,
            secret=self._core.secret,
            unix_now=self._core.clock.unix_ns() / 1e9,
        )

    def error_of_stream(self, answer: Answer) -> AbyssalError:
        """The error that a good status without a stream stands for."""
        answer = self.in_json(answer)
        return faults.error_in_event(answer.content, answer.request_id, self._core.secret) or (
            faults.not_expected(
                answer.headers, answer.content, "a stream", "stream=True was asked for", self._core.secret
            )
        )


class ClientCore:
    """What a client knows: where to, as whom, how long, how often. Shared by its threads and tasks."""

    def __init__(
        self,
        base: BaseUrl,
        credential: Credential,
        *,
        timeout: Timeout | float | None,
        max_retries: int,
        wire_format: WireFormat,
        clock: Clock,
        dice: Callable[[], float],
    ) -> None:
        self.policy = _policy(max_retries)
        self._protobuf = _is_protobuf(wire_format)
        self.base = base
        self.secret = credential.secret
        self.prover = None if credential.standing else credential
        self.timeout = as_timeout(timeout, _UNLIMITED)
        self.budget = RetryBudget()
        self.clock = clock
        self.dice = dice
        self._headers = {
            **credential.standing,
            "user-agent": f"abyssal/{__version__} python/{sys.version.split()[0]}",
            "accept": "application/json",
        }
        self._endpoints: dict[tuple[Route, bool], Endpoint] = {}

    def with_options(
        self, timeout: Timeout | float | None, max_retries: int | None, wire_format: WireFormat | None
    ) -> ClientCore:
        """A copy with other settings; None leaves one as it is. The retry budget is shared."""
        twin = copy.copy(self)
        twin.timeout = as_timeout(timeout, self.timeout)
        if max_retries is not None:
            twin.policy = _policy(max_retries)
        if wire_format is not None:
            twin._protobuf = _is_protobuf(wire_format)
        twin._endpoints = {}
        return twin

    def chat(self, params: ChatParams, *, stream: bool) -> Call:
        """A chat completion. Raises TypeError or ConfigurationError for arguments that cannot be sent."""
        return self.call(CHAT, chat_body(params, stream=stream), params, stream=stream)

    def models(self, options: CallOptions) -> Call:
        """The list of models. Raises TypeError for an argument that does not exist."""
        check_call_options("list", options)
        return self.call(MODELS, None, options)

    def call(
        self,
        route: Route,
        body: Mapping[str, object] | None,
        options: Mapping[str, object],
        *,
        stream: bool = False,
        tail: str = "",
    ) -> Call:
        """A call of `route` with `body` as JSON; `options` are looked through for those of `CallOptions`.

        `tail` goes behind the route's path. Raises ConfigurationError for what cannot be sent.
        """
        given = cast("CallOptions", options)
        endpoint = self._endpoint(route, streamed=stream)
        if tail:
            endpoint = endpoint.with_tail(tail)
        if stream and options.get("resumable"):
            endpoint = endpoint.with_headers({RESUMABLE: "1"})
        sent = None if body is None else encode_body(body)
        codec = None
        if self._protobuf and route.form and sent is not None:
            from abyssal.client.protobuf import ProtobufCodec

            codec = ProtobufCodec(route.form)
            sent = codec.request(sent)
        once = body is not None and body.get("conversation_id") is not None
        headers, timeout = given.get("extra_headers"), given.get("timeout")
        return self._call(endpoint, sent, headers, timeout, streamed=stream, once=once, codec=codec)

    def resumption(self, call: Call) -> Resumption | None:
        """How the stream that `call` asked for goes on after a cut; None if it does not."""
        return Resumption(self.policy, self.budget) if RESUMABLE in call.endpoint.headers else None

    def resumed(self, call: Call, last_id: str) -> Call:
        """The call that asks for what came after `last_id`. Raises ConfigurationError for what is no id."""
        endpoint = call.endpoint.with_headers({LAST_ID: last_id})
        return Call(self, endpoint, None, call.timeout, streamed=True, codec=call.codec)

    def given_up(self, call: Call, last_id: str) -> Call:
        """The call that says that nobody will ask for the rest of a stream."""
        endpoint = call.endpoint.with_headers({LAST_ID: last_id, "accept": "application/json"})
        endpoint = endpoint.with_method("DELETE")
        return Call(self, endpoint, None, as_timeout(GIVE_UP_WITHIN, call.timeout), streamed=False)

    def keyed(self, route: Route, body: Mapping[str, object], options: CallOptions, key: str | None) -> Call:
        """As `call`, under an idempotency key (`key`, or one of its own), so that retries are harmless."""
        call = self.call(route, body, options)
        call.endpoint = call.endpoint.with_headers({"idempotency-key": key or new_token()})
        return call

    def again(self, call: Call) -> Call:
        """`call` anew, with all its attempts."""
        return Call(self, call.endpoint, None, call.timeout, streamed=True)

    def upload(
        self, route: Route, name: str, content: bytes, fields: Mapping[str, str], options: CallOptions
    ) -> Call:
        """A call that sends a file and the `fields` of its form."""
        from abyssal.client.uploads import upload_form

        body, content_type = upload_form(content, name, fields, new_token())
        endpoint = self._endpoint(route, streamed=False).with_headers({"content-type": content_type})
        return self._call(endpoint, body, options.get("extra_headers"), options.get("timeout"), once=True)

    def socket(self, route: Route, options: Mapping[str, object]) -> Call:
        """A call that opens a socket, or uses one that is open: each answer is a stream on it."""
        given = cast("CallOptions", options)
        endpoint = self._endpoint(route, streamed=False)
        if options.get("resumable"):
            endpoint = endpoint.with_headers({RESUMABLE: "1"})
        return self._call(endpoint, None, given.get("extra_headers"), given.get("timeout"), streamed=True)

    def raw(
        self,
        method: str,
        path: str,
        json: object,
        extra_headers: Mapping[str, str] | None,
        timeout: Timeout | float | None,
    ) -> Call:
        """Any other request below the base URL."""
        if not method.isalpha() or not method.isascii():
            raise ConfigurationError(f"method {method!r} is no HTTP method.")
        headers = self._headers if json is None else {**self._headers, "content-type": "application/json"}
        endpoint = Endpoint(method.upper(), self.base, checked_path(path), headers)
        body = None if json is None else encode_body(json)
        return self._call(endpoint, body, extra_headers, timeout)

    def _endpoint(self, route: Route, *, streamed: bool) -> Endpoint:
        """Made when it is first used, then kept: a route's headers never change."""
        endpoint = self._endpoints.get((route, streamed))
        if endpoint is None:
            headers = self._headers
            if route.method == "POST":
                headers = {**headers, "content-type": "application/json"}
            if streamed:  # not compressed: that would hold its events back
                headers = {**headers, "accept": "text/event-stream", "accept-encoding": "identity"}
            if self._protobuf and route.form:
                from abyssal.client.protobuf import HEADERS

                headers = {**headers, **HEADERS}
            endpoint = Endpoint(route.method, placed(self.base, route), route.path, headers)
            self._endpoints[route, streamed] = endpoint
        return endpoint

    def _call(
        self,
        endpoint: Endpoint,
        body: bytes | None,
        extra_headers: Mapping[str, str] | None,
        timeout: Timeout | float | None,
        *,
        streamed: bool = False,
        once: bool = False,
        codec: ProtobufCodec | None = None,
    ) -> Call:
        if extra_headers:
            endpoint = endpoint.with_headers(extra_headers)
        limits = self.timeout if timeout is None else as_timeout(timeout, self.timeout)
        return Call(self, endpoint, body, limits, streamed=streamed, once=once, codec=codec)


def _policy(max_retries: int) -> RetryPolicy:
    if isinstance(max_retries, bool) or max_retries < 0:
        raise ConfigurationError(f"max_retries={max_retries!r} must be 0 or more.")
    return RetryPolicy(max_retries=max_retries)


def _is_protobuf(wire_format: str) -> bool:
    if wire_format not in ("json", "protobuf"):
        raise ConfigurationError(f'wire_format={wire_format!r} is none: there are "json" and "protobuf".')
    return wire_format == "protobuf"
