"""A scripted upstream: a server in this process that answers as a test says, and remembers what it was asked.

    with ScriptedUpstream() as upstream:
        upstream.enqueue(Answer.error(503), Answer.chat("second time lucky"))
        ...
        assert [request.path for request in upstream.requests] == ["/v1/chat/completions"] * 2

It runs its own event loop in a daemon thread, so tests may be synchronous or not.
Without a script it echoes the last user message, as a chat completion for whatever model was asked, and
embeds what it is given.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from abyssal.testing.answers import Answer
from abyssal.testing.completions import last_user_text
from abyssal.testing.connection import ScriptedConnection
from abyssal.testing.playback import Step, steps
from abyssal.testing.received import ReceivedRequest

Script = Answer | Callable[[ReceivedRequest], Answer]
"""An answer, or a function from the request to it, which runs in the upstream's thread and must not wait."""


class UpstreamStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, but for the first two, which are of now."""

    open_connections: int
    answers_under_way: int
    accepted_connections: int
    requests: int
    protocol_errors: int


def echo(request: ReceivedRequest) -> Answer:
    """The answer where no script is given: the last user message, or the prompt, said back; or embeddings."""
    if request.path.endswith("/embeddings"):
        return Answer.embeddings()
    if not request.path.endswith("/completions"):
        return Answer.error(404, f"nothing is scripted for {request.method} {request.path}")
    prompt = request.fields.get("prompt")
    return Answer.chat(last_user_text(request) or (prompt if isinstance(prompt, str) else "") or "hello")


class ScriptedUpstream:
    """An OpenAI- and DeepSeek-compatible server on a free loopback port, a Unix socket if `socket_path` is
    given, or with TLS if `certificate` and `key` (PEM files) are.

    Answers are taken from the queue first (`enqueue`), then from `default`, which may be set at any time.
    Paths set with `at` go their own way and are kept out of `requests`: a server's health checks do not
    disturb a script. ``/models``, ``/health`` and ``/user/balance`` are answered so from the start, with
    `models` as the names.

    `keep` is how many of the newest requests are remembered. What a scripted function raises is answered
    with 500 and raised again by `stop`, so at the end of the `with` block.
    """

    def __init__(
        self,
        *,
        models: Sequence[str] = ("upstream-model",),
        default: Script = echo,
        port: int = 0,
        socket_path: str | Path | None = None,
        certificate: str | Path | None = None,
        key: str | Path | None = None,
        keep: int = 10_000,
    ) -> None:
        self.default = default
        self.socket_path = None if socket_path is None else str(socket_path)
        self.errors: list[Exception] = []
        """What scripted functions raised, and answers that could not be made into bytes."""
        self.protocol_errors: list[str] = []
        """What came that was not HTTP, with the number of its connection."""
        self.port = port
        self._tls = None if certificate is None else _server_context(certificate, key)
        self._queue: deque[Script] = deque()
        self._paths: dict[str, Script] = {
            "/models": _model_list(models),
            "/health": Answer.json({"status": "ok"}),
            "/user/balance": Answer.json(_BALANCE),
        }
        self._requests: deque[ReceivedRequest] = deque(maxlen=keep)
        self._side_requests: deque[ReceivedRequest] = deque(maxlen=keep)
        self._open: set[ScriptedConnection] = set()
        self._accepted = self._received = 0
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None
        self._thread: threading.Thread | None = None

    # Life

    def start(self) -> ScriptedUpstream:
        """Listen; OSError if the address is taken. Returns itself."""
        if self._thread is not None:
            raise RuntimeError("this upstream is already running; make a second one")
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._failed)
        self._thread = threading.Thread(target=self._loop.run_forever, name="scripted-upstream", daemon=True)
        self._thread.start()
        try:
            self.listen_again()
        except OSError:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Close everything; raises what scripted functions raised. May be called twice."""
        thread, loop = self._thread, self._loop
        self._thread = None
        if thread is not None and loop is not None:
            self.stop_listening()
            self.disconnect()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
        errors, self.errors = self.errors, []
        if errors:
            raise ExceptionGroup("the upstream could not answer as scripted", errors)

    def __enter__(self) -> ScriptedUpstream:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.errors.clear()  # the test's own failure is the one to show
        self.stop()

    # Where it is

    @property
    def url(self) -> str:
        """Scheme and authority, without a path. For a Unix socket the authority is only a name."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://localhost" if self.socket_path else f"{scheme}://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What a client takes as its base URL."""
        return f"{self.url}/v1"

    # Script

    def enqueue(self, *answers: Script) -> None:
        """Answer the next requests with these, one each, in this order."""
        self._queue.extend(answers)

    def at(self, path: str, answer: Script) -> None:
        """Answer every request whose path ends with `path` with this, past the queue."""
        self._paths[path] = answer

    @property
    def unused_answers(self) -> int:
        """How many enqueued answers have not been asked for yet."""
        return len(self._queue)

    # What was seen

    @property
    def requests(self) -> list[ReceivedRequest]:
        """The requests that took scripted answers, oldest first."""
        return list(self._requests)

    @property
    def side_requests(self) -> list[ReceivedRequest]:
        """The requests to paths that go their own way (`at`): lists of models, health checks."""
        return list(self._side_requests)

    def statistics(self) -> UpstreamStatistics:
        with self._changed:
            return UpstreamStatistics(
                open_connections=len(self._open),
                answers_under_way=sum(connection.playing is not None for connection in self._open),
                accepted_connections=self._accepted,
                requests=self._received,
                protocol_errors=len(self.protocol_errors),
            )

    def wait_requests(self, count: int, timeout: float = 5.0) -> list[ReceivedRequest]:
        """Wait until `count` requests have come; returns `requests`. TimeoutError after `timeout` seconds."""
        self._wait(lambda: len(self._requests) >= count, f"{count} requests", timeout)
        return self.requests

    def wait_until_idle(self, timeout: float = 5.0, *, connections: int = 0) -> None:
        """Wait until no answer is under way and at most `connections` are open.

        TimeoutError after `timeout` seconds, saying what is left. A client's pool keeps connections open on
        purpose: close the client first, or say how many may stay.
        """
        self._wait(
            lambda: len(self._open) <= connections and all(open_.playing is None for open_ in self._open),
            f"idleness with at most {connections} open connections",
            timeout,
        )

    # Misbehaving as a whole

    def stop_listening(self) -> None:
        """New connections are refused from now on; those that are open stay."""
        server, self._server = self._server, None
        if server is not None:
            self._in_loop(server.close)
            if self.socket_path is not None:
                Path(self.socket_path).unlink(missing_ok=True)

    def listen_again(self) -> None:
        """Listen, after `stop_listening` on the same port."""
        if self._loop is None or self._thread is None:
            raise RuntimeError("this upstream is not running; use it in a with statement, or start() it")
        self._server = asyncio.run_coroutine_threadsafe(self._listen(self._loop), self._loop).result()
        if self.socket_path is None:
            self.port = int(self._server.sockets[0].getsockname()[1])

    def disconnect(self) -> None:
        """Drop every open connection, idle or not, as a restart would."""
        self._in_loop(lambda: [connection.abort() for connection in list(self._open)])

    def _in_loop(self, action: Callable[[], object]) -> None:
        """Run `action` in the upstream's thread and wait for its end, and for what it made ready to run."""
        assert self._loop is not None
        done = threading.Event()

        def act() -> None:
            action()
            assert self._loop is not None
            self._loop.call_soon(done.set)

        self._loop.call_soon_threadsafe(act)
        done.wait(5.0)

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> asyncio.Server:
        def connection() -> ScriptedConnection:
            return ScriptedConnection(self, loop)

        if self.socket_path is not None:
            return await loop.create_unix_server(connection, self.socket_path, ssl=self._tls, backlog=1024)
        return await loop.create_server(connection, "127.0.0.1", self.port, ssl=self._tls, backlog=1024)

    # What a connection asks (abyssal.testing.connection.Stage); all in the upstream's thread

    def opened(self, connection: ScriptedConnection) -> int:
        with self._changed:
            self._open.add(connection)
            self._accepted += 1
            self._changed.notify_all()
            return self._accepted

    def closed(self, connection: ScriptedConnection) -> None:
        with self._changed:
            self._open.discard(connection)
            self._changed.notify_all()

    def received(self, request: ReceivedRequest) -> None:
        with self._changed:
            aside = self._path_of(request) is not None
            (self._side_requests if aside else self._requests).append(request)
            self._received += 1
            self._changed.notify_all()

    def play(self, request: ReceivedRequest) -> Iterator[Step]:
        path = self._path_of(request)
        script = self._paths[path] if path else self._queue.popleft() if self._queue else self.default
        try:
            answer = script if isinstance(script, Answer) else script(request)
        except Exception as error:  # noqa: BLE001 - a test's own function; stop() raises it again
            self.errors.append(error)
            answer = Answer.error(500, f"the scripted function failed: {error!r}")
        return steps(answer, request)

    def finished(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def protocol_error(self, connection: int, error: str) -> None:
        self.protocol_errors.append(f"connection {connection}: {error}")

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.errors.append(error if isinstance(error, Exception) else RuntimeError(context["message"]))

    def _path_of(self, request: ReceivedRequest) -> str | None:
        return next((path for path in self._paths if request.path.endswith(path)), None)

    def _wait(self, ready: Callable[[], bool], what: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        with self._changed:
            while not ready():
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            if ready():
                return
            under_way = [repr(open_.playing) for open_ in self._open if open_.playing is not None]
        raise TimeoutError(f"no {what} within {timeout} s: {self.statistics()}; under way: {under_way}")


_BALANCE = {
    "is_available": True,
    "balance_infos": [
        {
            "currency": "CNY",
            "total_balance": "110.00",
            "granted_balance": "10.00",
            "topped_up_balance": "100.00",
        }
    ],
}


def _model_list(models: Sequence[str]) -> Answer:
    data = [{"id": name, "object": "model", "owned_by": "scripted"} for name in models]
    return Answer.json({"object": "list", "data": data})


def _server_context(certificate: str | Path, key: str | Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context
