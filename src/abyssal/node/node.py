"""One node from start to stop: engines, workers, the control application, in the order that loses nothing.

Start: engines and workers first (they take longest), then the database; workers serve once they have a
snapshot. Stop: workers drain, then the journal is moved, then engines end.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from abyssal import __version__
from abyssal.clock import SystemClock
from abyssal.config import Config, EngineUpstream, parse_listen
from abyssal.engine.bundled import BUNDLED_MODEL, bundled_card
from abyssal.engine.embedding import embedding_limits
from abyssal.engine.infill import infill_tokens
from abyssal.engine.spec import EngineSpec
from abyssal.engine.supervisor import EngineStatistics, EngineSupervisor
from abyssal.gateway.auth.nonce_memory import MemoryNonces
from abyssal.gateway.auth.nonces import Verdict
from abyssal.gateway.link import (
    Ask,
    Claim,
    Claimed,
    EmbeddingPoint,
    EnginePoint,
    EngineState,
    Setup,
    Thought,
    Told,
    ToWorker,
)
from abyssal.node.backstage import BackstageServer
from abyssal.node.children import environ_of_children, without_database
from abyssal.node.control import Control
from abyssal.node.faults import StoreUnavailableError
from abyssal.node.workers import WorkerProcess
from abyssal.wire.errors import ConfigurationError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from abyssal.platform.metrics import Moment

_log = logging.getLogger("abyssal.node")

_STEP = 0.25  # seconds between looks at the journal
_LOOK = 0.1  # seconds between looks for others' changes, which every node promises to take over within 1 s
_IN_FORCE = 5.0  # seconds for which the answer to a change waits for the workers
NODE_FILE = "node.json"


class Node:
    """construct → `start` → `url`, `first_key` → `stop`. `stop` is safe after half a start."""

    def __init__(self, config: Config, data: Path, *, first_key: str = "") -> None:
        self._config = config
        self._data = data
        self._runtime = Path(tempfile.mkdtemp(prefix="abyssal-"))
        self._engines: dict[str, EngineSupervisor] = {}
        self._workers: list[WorkerProcess] = []
        self._listening: socket.socket | None = None
        self._lock: int | None = None
        self._backstage: BackstageServer | None = None
        self._background: list[asyncio.Task[None]] = []
        self._opened = False
        self.url = ""
        self.first_key: str | None = None
        self.first_key_made = False
        self._clock = SystemClock()
        self._nonces: MemoryNonces | None = None
        self._control = Control(
            config,
            data,
            os.environ,
            self._clock,
            version=__version__,
            moment=self._moment,
            first_key=first_key,
        )

    async def start(self) -> None:
        """Everything up and answering. Raises ConfigurationError when something is the operator's to fix."""
        for index, upstream in enumerate(self._config.upstreams):
            if isinstance(upstream, EngineUpstream):
                _check_model(upstream.model, f"upstreams[{index}].model")
        self._lock = lock_data_directory(self._data)
        self._listening = listen(self._config.server.listen)
        host, port = self._listening.getsockname()[:2]
        scheme = "https" if self._config.server.tls_cert else "http"
        self.url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        if self._config.server.workers > 1 and self._config.stores.redis_url is None:
            self._nonces = MemoryNonces(self._data / "nonces", capacity=self._config.identity.nonces)
        for upstream in self._config.upstreams:
            if isinstance(upstream, EngineUpstream):
                await self._start_engine(upstream)
        await asyncio.gather(*[self._start_worker(index) for index in range(self._config.server.workers)])
        first = await self._control.open()
        self._opened = True
        self.first_key, self.first_key_made = first.key, first.made
        self._backstage = BackstageServer(self._runtime / "control.sock", self._application)
        await self._backstage.start()
        loop = asyncio.get_running_loop()
        self._background = [loop.create_task(self._keep_up()), loop.create_task(self._follow())]
        for worker in self._workers:
            await worker.serving.wait()
        workers = [worker.pid for worker in self._workers]
        description = {"pid": os.getpid(), "url": self.url, "version": __version__, "workers": workers}
        partial = self._data / f"{NODE_FILE}.new"
        partial.write_text(json.dumps(description))
        partial.replace(self._data / NODE_FILE)

    async def wait_engines(self, timeout: float) -> None:
        """Until every engine is ready, or `timeout` seconds passed."""
        await asyncio.gather(*[engine.wait_ready(timeout) for engine in self._engines.values()])

    async def stop(self, grace: float) -> None:
        """Drain within `grace` seconds, move what the journal holds, end every process."""
        if self._listening is not None:
            self._listening.close()
        if self._opened:  # workers that were never told of a key have nothing to drain
            await asyncio.gather(*[worker.drain(grace) for worker in self._workers])
        else:
            for worker in self._workers:
                worker.kill()
            await asyncio.gather(*[worker.drain(0) for worker in self._workers])
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._backstage is not None:
            await self._backstage.aclose()
        if self._opened:
            try:
                await self._control.drain(list)
            except StoreUnavailableError as error:
                _log.error("the journal stays, and the next start moves it into the database: %s", error)
        try:
            await self._control.close()
        except StoreUnavailableError as error:
            _log.error("the database could not be closed: %s", error)
        if self._nonces is not None:
            self._nonces.close()
        await asyncio.gather(*[engine.aclose() for engine in self._engines.values()])
        if self._lock is not None:
            (self._data / NODE_FILE).unlink(missing_ok=True)
            os.close(self._lock)
        shutil.rmtree(self._runtime, ignore_errors=True)

    async def _start_engine(self, upstream: EngineUpstream) -> None:
        spec = EngineSpec(
            name=BUNDLED_MODEL if upstream.model == BUNDLED_MODEL else Path(upstream.model).stem,
            model=upstream.model,
            socket=str(self._runtime / f"{len(self._engines)}.sock"),
            context=upstream.context,
            slots=upstream.slots,
            queue=upstream.queue,
            threads=upstream.threads,
            embedding_tokens=upstream.embedding_tokens,
        )

        def changed(statistics: EngineStatistics, name: str = upstream.name) -> None:
            for worker in self._workers:
                worker.send(EngineState(name, self._engines[name].ready))

        engine = EngineSupervisor(spec, on_change=changed)
        self._engines[upstream.name] = engine
        await engine.start()

    async def _start_worker(self, index: int) -> None:
        assert self._listening is not None
        worker = WorkerProcess(
            index,
            self._listening,
            setup_for=self._setup,
            news=self._news,
            pieces=self._control,
            claimed=self._claimed,
            answer=self._answer,
            ended=self._control.end_worker,
            shared=self._shared,
            environ=environ_of_children(os.environ, self._config),
        )
        self._workers.append(worker)
        await worker.start()

    def _setup(self, writer: str, place: int) -> Setup:
        points = {name: _point(engine.spec) for name, engine in self._engines.items()}
        return Setup(
            config=without_database(self._config),
            engines=points,
            control_socket=str(self._runtime / "control.sock"),
            journal=str(self._data / "journal"),
            writer=writer,
            workers=self._config.server.workers,
            nonces=str(self._data / "nonces"),
            issuer=self._issuer,
            place=place,
            siblings=str(self._runtime) if self._config.server.workers > 1 else "",
        )

    def _news(self) -> list[ToWorker]:
        return [EngineState(name, engine.ready) for name, engine in self._engines.items()]

    @property
    def _issuer(self) -> str:
        return self._config.identity.issuer or self.url

    def _application(self) -> ASGIApp:
        from abyssal.contract.http import contract_routes
        from abyssal.platform.http.app import build_app

        return build_app(
            pages=contract_routes(models=[model.name for model in self._config.models]),
            metrics=lambda: self._control.render_metrics(self._writers),
            plane=self._control.plane(self._issuer, self._in_force),
        )

    def _claimed(self, claim: Claim) -> ToWorker:
        """What the nonces that the workers share say."""
        if self._nonces is None:
            return Claimed(claim.number, Verdict.DOWN.value)
        verdict = self._nonces.claim(claim.nonce, claim.until, self._clock.unix_ns())
        return Claimed(claim.number, verdict.value)

    async def _answer(self, question: Ask) -> Told:
        """What the service says that `question` is for."""
        from abyssal.platform.inquiries import answer_to

        await self._control.wait_open()
        plane = self._control.plane(self._issuer, self._in_force)
        status, body = await answer_to(question.topic, question.body, plane)
        return Told(question.number, status, body)

    def _shared(self, by: int, thought: Thought) -> None:
        """Let the other workers know what one of them will remember."""
        for worker in self._workers:
            if worker.index != by:
                worker.offer(thought)

    def _changed(self) -> None:
        for worker in self._workers:
            if worker.feed is not None:
                worker.feed.changed()

    async def _in_force(self) -> bool:
        """Wait until every worker has what was committed; False when one takes too long."""
        version = await self._control.revision()
        self._changed()
        feeds = [worker.feed for worker in self._workers if worker.feed is not None]
        try:
            async with asyncio.timeout(_IN_FORCE):
                await asyncio.gather(*[feed.wait_applied(version) for feed in feeds])
        except TimeoutError:
            _log.warning("a worker is slow to take over what changed")
            return False
        return True

    def _writers(self) -> list[str]:
        return [worker.writer for worker in self._workers if worker.writer]

    def _moment(self) -> Moment:
        from abyssal.platform.metrics import Moment

        workers = {str(worker.index): worker.gauges for worker in self._workers if worker.gauges}
        engines = {
            name: (engine.ready, engine.statistics().restarts) for name, engine in self._engines.items()
        }
        return Moment(workers, engines)

    async def _keep_up(self) -> None:
        while True:
            try:
                await self._control.drain(self._writers)
            except StoreUnavailableError as error:  # a full disk, a locked file: the journal keeps everything
                _log.error("the journal cannot be moved into the database now, trying again: %s", error)
                await asyncio.sleep(1)
            except Exception:  # noqa: BLE001  whatever it is, the other steps must happen
                _log.exception("the journal cannot be moved into the database")
            try:
                await self._control.renew_leases()
                if await self._control.upkeep():
                    self._changed()
            except StoreUnavailableError as error:
                _log.error("the database cannot be kept up now, trying again: %s", error)
                await asyncio.sleep(1)
            except Exception:  # noqa: BLE001  as above
                _log.exception("upkeep failed")
            await asyncio.sleep(_STEP)

    async def _follow(self) -> None:
        while True:
            try:
                if await self._control.poll():
                    self._changed()
            except StoreUnavailableError as error:
                _log.error("the database cannot be looked at now, trying again: %s", error)
                await asyncio.sleep(1)
            except Exception:  # noqa: BLE001  a node that hears of no more revocations is worse than any
                _log.exception("the database cannot be looked at")
                self._changed()
            await asyncio.sleep(_LOOK)


def _check_model(model: str, where: str) -> None:
    """Raise ConfigurationError when there is no such model; whether it can be loaded the engine finds out."""
    if model != BUNDLED_MODEL and not Path(model).is_file():
        raise ConfigurationError(f'{where}: there is no file {model}; name a GGUF file or "{BUNDLED_MODEL}"')


def _fingerprint(spec: EngineSpec) -> str:
    return bundled_card().fingerprint if spec.model == BUNDLED_MODEL else spec.name


def _point(spec: EngineSpec) -> EnginePoint:
    """What workers must know of an engine."""
    embedding, limits = None, embedding_limits(spec)
    if limits is not None:
        embedding = EmbeddingPoint(spec.embedding_socket, limits.dimensions, limits.tokens)
    return EnginePoint(spec.socket, _fingerprint(spec), infill_tokens(spec.model_file()), embedding)


def lock_data_directory(data: Path) -> int:
    """Make `data` (mode 700) and take its lock; gives the descriptor that holds it.

    Raises ConfigurationError when another node has it, or it cannot be used.
    """
    import fcntl

    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data / "journal").mkdir(mode=0o700, exist_ok=True)
        lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"{data}: cannot be used as the data directory ({error.strerror}); choose another with --data"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise ConfigurationError(
            f"{data}: another abyssal is using this data directory; stop it, or choose another with --data"
        ) from None
    return lock


def listen(address: str) -> socket.socket:
    """A listening TCP socket. Raises ConfigurationError when the address cannot be had."""
    host, port = parse_listen(address, "listen")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(f"listen: {address} is not an address of this machine ({error})") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(4096)
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"listen: {address} cannot be listened on ({error.strerror}); is another program there? "
            "Choose another with --listen HOST:PORT"
        ) from None
    return listening
