"""Builds the data plane from a Setup; nothing else does. The routes of the fast lane are here."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from abyssal.clock import Clock
from abyssal.gateway.admission.concurrency import ConcurrencyCaps
from abyssal.gateway.admission.rights import Rights
from abyssal.gateway.auth.build import build_authentication, choose_nonces
from abyssal.gateway.auth.directory import Directory
from abyssal.gateway.auth.nonce_node import NodeNonces
from abyssal.gateway.bodies.layer import Bodies
from abyssal.gateway.compose.conversations import Conversations
from abyssal.gateway.compose.files import Files
from abyssal.gateway.compose.in_order import InOrder
from abyssal.gateway.dialects.dialect import Dialect
from abyssal.gateway.exchange import Exchange
from abyssal.gateway.front.http import HttpFront
from abyssal.gateway.front.local import LocalRoutes, Readiness, method_not_allowed
from abyssal.gateway.front.websocket_upgrade import upgrade_required
from abyssal.gateway.front.whole import FrontLimits
from abyssal.gateway.inquiries import Inquiries
from abyssal.gateway.ledger.ledger import Ledger
from abyssal.gateway.link import (
    Applied,
    Claim,
    Claimed,
    EngineState,
    FromWorker,
    Gauges,
    Publish,
    Setup,
    Thought,
    Told,
)
from abyssal.gateway.pipeline import Pipeline
from abyssal.gateway.recall.nothing import RemembersNothing
from abyssal.gateway.relay.backstage import Backstage
from abyssal.gateway.relay.call import RelayContext
from abyssal.gateway.relay.heads import error_lines
from abyssal.gateway.relay.siblings import Siblings, socket_of
from abyssal.gateway.repairs.reasoning_memory import ReasoningMemory, Share
from abyssal.gateway.repairs.stage import Mend
from abyssal.gateway.resume import Resuming
from abyssal.gateway.resuming.event_id import TOKEN_BYTES
from abyssal.gateway.resuming.streams import ResumableStreams
from abyssal.gateway.routes import Handler, call_routes, sockets, streaming_routes
from abyssal.gateway.routing.table import ModelTable
from abyssal.gateway.upstreams.build import build_upstream
from abyssal.gateway.upstreams.pool import Address, ConnectionPool
from abyssal.stores.journal import JournalWriter
from abyssal.wire.addresses import Networks
from abyssal.wire.errors import ApiError, UnavailableError


def _sharing(offer: Callable[[FromWorker], None]) -> Share:
    return lambda tenant, digest, text: offer(Thought(tenant, digest, text))


class Gateway:
    """One worker's data plane: construct, serve on sockets, `drain`, `close`.

    `tell` sends a message to the control process, `room` waits until more can be sent, `offer` sends one
    that can be done without, if there is room.
    """

    def __init__(
        self,
        setup: Setup,
        loop: asyncio.AbstractEventLoop,
        tell: Callable[[FromWorker], None],
        clock: Clock,
        room: Callable[[], Awaitable[None]] | None = None,
        offer: Callable[[FromWorker], None] | None = None,
    ) -> None:
        config = setup.config
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = loop
        self._tell = tell
        self.published = False
        self.draining = False

        self.upstreams = {item.name: build_upstream(item, setup) for item in config.upstreams}
        self._pools = [pool for upstream in self.upstreams.values() for pool in upstream.pools]
        self.journal = JournalWriter(Path(setup.journal), setup.writer)
        ledger = Ledger(self.journal, clock, loop.time)
        self.directory = Directory()
        self._shared_nonces = NodeNonces(lambda number, nonce, until: tell(Claim(number, nonce, until)), loop)
        self.inquiries = Inquiries(tell, loop, room)
        self._thoughts = ReasoningMemory(loop.time, _sharing(offer) if offer and setup.workers > 1 else None)
        self.nonces = choose_nonces(config, Path(setup.nonces), self._shared_nonces, loop)
        self.caps = ConcurrencyCaps(
            total=config.limits.concurrency, per_key=config.limits.concurrency_per_key
        )
        table = ModelTable(config.models, self.upstreams)
        self.bodies = Bodies(loop, config.server.max_body)
        self.pipeline = Pipeline(
            authenticate=build_authentication(
                config, self.directory, self.nonces, setup.issuer, clock, ledger.failed
            ),
            bodies=self.bodies,
            permit=Rights(),
            admit=self.caps,
            compose=InOrder(
                Conversations(
                    self.inquiries.ask,
                    loop,
                    writer=setup.writer,
                    context_of=table.context_of,
                    wait=config.conversations.wait,
                    error_lines=error_lines,
                ),
                Files(self.inquiries.ask, loop, takes_files=table.takes_files, most=config.files.in_chat),
                loop,
            ),
            recall=RemembersNothing(),
            route=table,
            mend=Mend(self._thoughts),
            ledger=ledger,
        )
        self.pipeline.bind(
            RelayContext(
                settle=self.pipeline.settle,
                spawn=self._spawn,
                now=loop.time,
                comment_every=config.server.keep_alive_comment,
            )
        )
        self.backstage = Backstage(
            ConnectionPool(Address(path=setup.control_socket)), spawn=self._spawn, now=loop.time
        )
        local = LocalRoutes(readiness=self.readiness, listing=table.listing)
        self._local = local
        names = [model.name for model in config.models]
        streaming = streaming_routes(names, lambda: clock.unix_ns() // 10**9)
        self._posts = call_routes(self.pipeline, streaming)
        self.streams = ResumableStreams(
            worker=setup.place,
            bound=config.limits.resume_buffer,
            total=config.limits.resume_memory,
            now=loop.time,
            token=lambda: secrets.token_urlsafe(TOKEN_BYTES).encode(),
        )
        others = [at for at in range(setup.workers) if at != setup.place] if setup.siblings else []
        self.siblings = Siblings(setup.siblings, others, self._spawn)
        self.resuming = Resuming(
            self.pipeline, self.streams, self.siblings, worker=setup.place, routes=streaming
        )
        self._gets: dict[bytes, Handler] = {
            b"/v1/stream": upgrade_required,
            b"/v1/chat/stream": upgrade_required,
            b"/healthz": local.healthz,
            b"/readyz": local.readyz,
            b"/v1/schema.proto": local.schema,
            b"/v1/models": partial(self.pipeline.identified, go=local.models),
            b"/models": partial(self.pipeline.identified, go=local.models),
        }
        prefix, numbers = f"{clock.unix_ns() // 10**9:08x}{secrets.token_hex(4)}-", count(1)
        limits = FrontLimits(
            header=config.server.header_timeout,
            body=config.server.body_timeout,
            idle=config.server.idle_timeout,
            stalled_reader=config.server.stalled_reader_timeout,
            max_body=config.server.max_body,
            max_upload=config.files.max_size + _FORM,
        )
        make_front = partial(
            HttpFront,
            limits=limits,
            next_id=lambda: f"{prefix}{next(numbers):08x}",
            loop_time=loop.time,
            unix_ns=clock.unix_ns,
            trusted=Networks.parse(config.server.trusted_proxies),
        )
        self.front = make_front(
            self.dispatch, sockets=sockets(self.pipeline, self._socket_call, self.resuming), uploads=UPLOADS
        )
        self.private_front = make_front(self.resuming.for_sibling)
        self.private_path = socket_of(setup.siblings, setup.place) if setup.siblings else ""

    def dispatch(self, exchange: Exchange) -> None:
        """Give a whole request to the lane it belongs to."""
        head = exchange.head
        if head.forms is not None:
            self.bodies.wrap(exchange)
        path, method = head.path, head.method
        post = self._posts.get(path)
        if post is not None and method == b"POST":
            if self.draining:
                self.pipeline.refuse(exchange, _draining())
            else:
                handler, exchange.scope = post
                if head.asks is None and head.last_event_id is None:
                    handler(exchange)
                else:
                    self.resuming.call(exchange, handler)
            return
        get = self._gets.get(path)
        reads = method in (b"GET", b"HEAD")
        try:
            if get is not None and reads:
                get(exchange)
            elif post is not None:
                if self.resuming.takes(exchange):
                    exchange.scope = post[1]
                    self.resuming.resume(exchange)
                else:
                    method_not_allowed(exchange, b"POST")
            elif get is not None:
                method_not_allowed(exchange, b"GET, HEAD")
            elif path.startswith((b"/v1/models/", b"/models/")):
                if reads:
                    self.pipeline.identified(exchange, self._local.model)
                else:
                    method_not_allowed(exchange, b"GET, HEAD")
            elif path.startswith(_BACKSTAGE) or path in _BACKSTAGE_EXACTLY:
                self.pipeline.identified(exchange, self.backstage.take)
            elif path.startswith(b"/oauth/"):
                self.backstage.take_with_authorization(exchange)
            else:
                self.backstage.take(exchange)
        except ApiError as error:
            self.pipeline.refuse(exchange, error)

    def drain(self) -> None:
        """Take no more calls; those at work go on, but for those that nobody reads."""
        self.draining = self.front.draining = self.private_front.draining = True
        self.streams.drain()

    @property
    def busy(self) -> bool:
        """Whether some client still waits for an answer, or for the rest of one."""
        return self.front.busy or self.private_front.busy

    def _socket_call(self, exchange: Exchange, dialect: Dialect) -> None:
        if self.draining:
            self.pipeline.refuse(exchange, _draining())
        else:
            self.pipeline.translated(exchange, dialect)

    def readiness(self) -> Readiness:
        """What `/readyz` says."""
        states = {item.name: "ready" if item.available else "down" for item in self.upstreams.values()}
        if self.draining:
            return Readiness("draining", states)
        if not self.published:
            return Readiness("starting", states)
        return Readiness("ready" if "ready" in states.values() else "no upstream is available", states)

    def take(self, message: Publish | EngineState | Claimed | Told | Thought) -> None:
        """Put news from the control process in force."""
        if isinstance(message, Thought):
            self._thoughts.hear(message.tenant, message.digest, message.text)
            return
        if isinstance(message, Told):
            self.inquiries.told(message)
            return
        if isinstance(message, Claimed):
            self._shared_nonces.answered(message.number, message.verdict)
        elif isinstance(message, EngineState):
            self.upstreams[message.name].available = message.ready
        elif self.directory.take(message.snapshot):
            self.published = True
            self._tell(Applied(message.snapshot.version))

    def sweep(self) -> None:
        """Apply deadlines to clients and let go of upstream connections that idled; once a second."""
        self.front.sweep()
        self.private_front.sweep()
        self.streams.sweep(self._loop.time())
        self.siblings.sweep()
        self.directory.forget_ended(self._clock.unix_ns())
        for pool in self._pools:
            pool.sweep()

    def gauges(self) -> Gauges:
        """What this worker holds at the moment."""
        pools = [pool.statistics() for pool in self._pools]
        return Gauges(
            connections=len(self.front.connections),
            calls=self.caps.in_flight,
            upstream_open=sum(opened for opened, _ in pools),
            upstream_idle=sum(idle for _, idle in pools),
            resumable_streams=len(self.streams),
            resumable_bytes=self.streams.held,
        )

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Cut what is left: connections, upstreams, the journal."""
        self.streams.drain()
        self.front.abort()
        self.private_front.abort()
        self.siblings.close()
        for pool in self._pools:
            pool.close()
        self.backstage.pool.close()
        self.bodies.close()
        self.nonces.close()
        self._shared_nonces.close()
        self.inquiries.close()
        self.journal.close()


# What the control process answers to whom a credential belongs.
_BACKSTAGE = (b"/v1/platform/", b"/v1/conversations/", b"/v1/files/", b"/files/")
UPLOADS = frozenset((b"/v1/files", b"/files"))
_BACKSTAGE_EXACTLY = UPLOADS | {b"/v1/conversations"}
_FORM = 64 * 1024  # bytes of an upload that are not the file's


def _draining() -> UnavailableError:
    return UnavailableError("The platform is shutting down; try again.", code="shutting_down", retry_after=1)
