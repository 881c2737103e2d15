"""Builds the data plane from a Setup; nothing else does. The routes of the fast lane are here."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from itertools import count
from pathlib import Path
from typing import Any

from abyssal.clock import SystemClock
from abyssal.config import DeepSeekUpstream, EngineUpstream
from abyssal.gateway.admission.concurrency import ConcurrencyCaps
from abyssal.gateway.auth.api_key import ApiKeys
from abyssal.gateway.exchange import Exchange
from abyssal.gateway.front.connection import FrontLimits
from abyssal.gateway.front.http import HttpFront
from abyssal.gateway.front.local import LocalRoutes, Readiness, method_not_allowed
from abyssal.gateway.ledger.ledger import Ledger
from abyssal.gateway.link import EngineState, Gauges, Publish, Setup
from abyssal.gateway.pipeline import Pipeline
from abyssal.gateway.recall.nothing import RemembersNothing
from abyssal.gateway.relay.backstage import Backstage
from abyssal.gateway.relay.call import RelayContext
from abyssal.gateway.routing.table import ModelTable
from abyssal.gateway.upstreams import deepseek, engine, openai
from abyssal.gateway.upstreams.pool import Address, ConnectionPool
from abyssal.gateway.upstreams.upstream import Upstream
from abyssal.stores.journal import JournalWriter
from abyssal.wire.errors import ApiError, UnavailableError

Handler = Callable[[Exchange], None]


class Gateway:
    """One worker's data plane: construct, serve on sockets, `drain`, `close`."""

    def __init__(self, setup: Setup, loop: asyncio.AbstractEventLoop) -> None:
        config, clock = setup.config, SystemClock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = loop
        self._published = False
        self.draining = False

        self.upstreams = {item.name: _upstream(item, setup) for item in config.upstreams}
        self.journal = JournalWriter(Path(setup.journal), setup.writer)
        self.keys = ApiKeys()
        self.caps = ConcurrencyCaps(
            total=config.limits.concurrency, per_key=config.limits.concurrency_per_key
        )
        table = ModelTable(config.models, self.upstreams)
        self.pipeline = Pipeline(
            authenticate=self.keys,
            admit=self.caps,
            recall=RemembersNothing(),
            route=table,
            ledger=Ledger(self.journal, clock, loop.time),
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
        local = LocalRoutes(
            authenticate=self.keys.authenticate, readiness=self.readiness, listing=table.listing
        )
        self._local = local
        self._posts: dict[bytes, Handler] = {
            b"/v1/chat/completions": self.pipeline.chat,
            b"/chat/completions": self.pipeline.chat,
        }
        self._gets: dict[bytes, Handler] = {
            b"/healthz": local.healthz,
            b"/readyz": local.readyz,
            b"/v1/models": local.models,
            b"/models": local.models,
        }
        prefix, numbers = f"{clock.unix_ns() // 10**9:08x}{secrets.token_hex(4)}-", count(1)
        self.front = HttpFront(
            self.dispatch,
            limits=FrontLimits(
                header=config.server.header_timeout,
                body=config.server.body_timeout,
                idle=config.server.idle_timeout,
                stalled_reader=config.server.stalled_reader_timeout,
                max_body=config.server.max_body,
            ),
            next_id=lambda: f"{prefix}{next(numbers):08x}",
            loop_time=loop.time,
            unix_ns=clock.unix_ns,
        )

    def dispatch(self, exchange: Exchange) -> None:
        """Give a whole request to the lane it belongs to."""
        path = exchange.path
        post = self._posts.get(path)
        if post is not None and exchange.method == b"POST":
            if self.draining:
                self.pipeline.refuse(exchange, _draining())
            else:
                post(exchange)
            return
        get = self._gets.get(path)
        try:
            if get is not None and exchange.method in (b"GET", b"HEAD"):
                get(exchange)
            elif post is not None:
                method_not_allowed(exchange, b"POST")
            elif get is not None:
                method_not_allowed(exchange, b"GET, HEAD")
            elif path.startswith((b"/v1/models/", b"/models/")) and exchange.method in (b"GET", b"HEAD"):
                self._local.model(exchange, path.partition(b"models/")[2].decode("latin-1"))
            else:
                self.backstage.take(exchange)
        except ApiError as error:
            self.pipeline.refuse(exchange, error)

    def readiness(self) -> Readiness:
        """What `/readyz` says."""
        states = {item.name: "ready" if item.available else "down" for item in self.upstreams.values()}
        if self.draining:
            return Readiness("draining", states)
        if not self._published:
            return Readiness("starting", states)
        return Readiness("ready" if "ready" in states.values() else "no upstream is available", states)

    def take(self, message: Publish | EngineState) -> None:
        """Put news from the control process in force."""
        if isinstance(message, Publish):
            self.keys.publish(message.snapshot)
            self._published = True
        else:
            self.upstreams[message.name].available = message.ready

    def sweep(self) -> None:
        """Apply deadlines to clients and let go of upstream connections that idled; once a second."""
        self.front.sweep()
        for upstream in self.upstreams.values():
            upstream.pool.sweep()

    def gauges(self) -> Gauges:
        """What this worker holds at the moment."""
        pools = [upstream.pool.statistics() for upstream in self.upstreams.values()]
        return Gauges(
            connections=len(self.front.connections),
            calls=self.caps.in_flight,
            upstream_open=sum(opened for opened, _ in pools),
            upstream_idle=sum(idle for _, idle in pools),
        )

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Cut what is left: connections, upstreams, the journal."""
        self.front.abort()
        for upstream in self.upstreams.values():
            upstream.pool.close()
        self.backstage.pool.close()
        self.journal.close()


def _upstream(item: DeepSeekUpstream | EngineUpstream | Any, setup: Setup) -> Upstream:
    if isinstance(item, EngineUpstream):
        point = setup.engines[item.name]
        return engine.build(item, point.socket_path, point.fingerprint, setup.workers)
    return deepseek.build(item) if isinstance(item, DeepSeekUpstream) else openai.build(item)


def _draining() -> UnavailableError:
    return UnavailableError("The platform is shutting down; try again.", code="shutting_down", retry_after=1)
