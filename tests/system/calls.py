"""A gateway before scripted upstreams, called byte by byte, and what is left behind in its data directory."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from math import nan
from pathlib import Path
from typing import Any

import pytest

from abyssal.testing import (
    UPSTREAM_KEY,
    Answer,
    RawConnection,
    RunningServer,
    ScriptedUpstream,
    WireResponse,
)


def table(heading: str, **settings: object) -> str:
    """A TOML table; `heading` with its brackets."""
    return "\n".join([heading, *(f"{key} = {json.dumps(value)}" for key, value in settings.items())]) + "\n"


def upstream(name: str, base_url: str, *, kind: str = "openai", **settings: object) -> str:
    """An `[[upstreams]]` table, and a model of the same name that it answers as `upstream-model`."""
    settings = {"name": name, "kind": kind, "base_url": base_url, "api_key": UPSTREAM_KEY, **settings}
    target = f'targets = [{{ upstream = "{name}", model = "upstream-model" }}]\n'
    return table("[[upstreams]]", **settings) + table("[[models]]", name=name) + target


def body(model: str, said: str = "hi", **fields: object) -> bytes:
    """A chat request."""
    messages = [{"role": "user", "content": said}]
    return json.dumps({"model": model, "messages": messages, **fields}).encode()


class Gateway:
    """A running server and the upstream behind it; `listener` is where a test plays upstream itself."""

    def __init__(
        self, server: RunningServer, upstream: ScriptedUpstream, listener: socket.socket | None = None
    ) -> None:
        self.server = server
        self.upstream = upstream
        self._listener = listener

    def request(self, content: bytes, *, key: str = "", headers: Iterable[str] = ()) -> bytes:
        """The bytes of a chat call."""
        lines = [
            "POST /v1/chat/completions HTTP/1.1",
            "Host: gateway",
            f"Authorization: Bearer {key or self.server.api_key}",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
            *headers,
        ]
        return "\r\n".join([*lines, "", ""]).encode() + content

    def connect(self, timeout: float = 10.0) -> RawConnection:
        return RawConnection(self.server.url, timeout=timeout)

    def ask(self, content: bytes, *, key: str = "", headers: Iterable[str] = ()) -> WireResponse:
        """One call on a connection of its own, read to its end."""
        with self.connect() as connection:
            connection.send(self.request(content, key=key, headers=headers))
            return connection.read_response()

    def accept(self) -> socket.socket:
        """The gateway's next connection to the upstream that the test plays; TimeoutError after 5 seconds."""
        assert self._listener is not None
        self._listener.settimeout(5.0)
        connection, _ = self._listener.accept()
        connection.settimeout(5.0)
        return connection

    def ask_together(self, calls: Mapping[str, tuple[bytes, Answer]]) -> dict[str, WireResponse]:
        """Calls and what the upstream answers each, all at once; `calls` are by what their message says."""
        before = self.upstream.default
        self.upstream.default = lambda request: calls[request.json()["messages"][-1]["content"]][1]
        try:
            with ThreadPoolExecutor(len(calls)) as pool:
                answers = pool.map(self.ask, [content for content, _ in calls.values()])
                return dict(zip(calls, answers, strict=True))
        finally:
            self.upstream.default = before

    def get(self, path: str) -> WireResponse:
        with self.connect() as connection:
            connection.send(f"GET {path} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode())
            return connection.read_response()

    def metric(self, name: str) -> float:
        """The metric `name`, summed over its labels; NaN, unlike any number, where there is none yet."""
        lines = self.get("/metrics").body.decode().splitlines()
        found = [line for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rpartition(" ")[2]) for line in found) if found else nan

    def worker_pids(self) -> list[int]:
        """The processes that serve connections."""
        running = commands()
        return [pid for pid in self.server.child_pids() if "abyssal.gateway.worker" in running.get(pid, "")]

    def usage(self) -> dict[str, dict[str, Any]]:
        """The usage table by id, as it is now."""
        return usage_rows(self.server.data)

    def settled(self, call_id: str, timeout: float = 5.0) -> dict[str, Any]:
        """The row of a call, once it is there; asking for metrics moves the journal at once."""

        def found() -> dict[str, Any] | None:
            self.get("/metrics")
            return usage_rows(self.server.data, call_id).get(call_id)

        return wait_for(found, f"usage of {call_id}", timeout)

    def settlement(self, answer: WireResponse) -> dict[str, Any]:
        """The row of an answered call."""
        return self.settled(answer.header("x-request-id") or "")


def usage_rows(data: Path, call_id: str | None = None) -> dict[str, dict[str, Any]]:
    """The usage table of a data directory by id, or one row; read by another process than its owner."""
    where, values = ("", ()) if call_id is None else (" WHERE id = ?", (call_id,))
    with closing(sqlite3.connect(f"file:{data / 'abyssal.db'}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        rows = [dict(row) for row in database.execute("SELECT * FROM usage" + where, values)]
    return {row["id"]: row for row in rows}


def wait_for(found: Callable[[], Any], what: str, timeout: float = 5.0) -> Any:
    """The first true value of `found`; AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := found()):
        assert time.monotonic() < deadline, f"no {what} within {timeout} s"
        time.sleep(0.01)
    return value


def events(stream: bytes) -> list[bytes]:
    """The payloads of `data:` events; AssertionError unless `stream` is whole events and comments."""
    assert not stream or stream.endswith(b"\n\n"), stream[-200:]
    pieces = [piece for piece in stream.split(b"\n\n") if piece and not piece.startswith(b":")]
    assert all(piece.startswith(b"data: ") for piece in pieces), pieces
    return [piece.removeprefix(b"data: ") for piece in pieces]


def chunks(stream: bytes) -> list[dict[str, Any]]:
    """The chunks of a complete stream, which ends with ``[DONE]``."""
    *found, last = events(stream)
    assert last == b"[DONE]", stream[-300:]
    return [json.loads(event) for event in found]


def text_of(parts: Iterable[Mapping[str, Any]], field: str = "content") -> str:
    """What the deltas of `chunks` say, put together."""
    deltas = [choice["delta"] for part in parts for choice in part["choices"]]
    return "".join(delta.get(field) or "" for delta in deltas)


needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")


def open_files(pid: int) -> int:
    """Descriptors that a process holds (see `needs_proc`)."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_bytes(pid: int) -> int:
    """Resident memory of a process (see `needs_proc`)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def commands() -> dict[int, str]:
    """The command lines of all processes, by process id."""
    proc = Path("/proc")
    if not (proc / "self/cmdline").exists():
        listing = subprocess.run(["ps", "-A", "-o", "pid=,args="], capture_output=True, text=True, check=True)
        rows = [line.split(None, 1) for line in listing.stdout.splitlines()]
        return {int(row[0]): row[1] for row in rows if len(row) == 2}
    found: dict[int, str] = {}
    for entry in proc.iterdir():
        if entry.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                found[int(entry.name)] = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
    return found
