"""wrk as the closed-loop load: a fixed number of connections, each with one request at a time."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec

from bench.load import payloads
from bench.machine import find_tool
from bench.spawn import BenchError, Process

_REQUESTS = re.compile(r"(\d+) requests in ")
_RATE = re.compile(r"Requests/sec: +([\d.]+)")
_BAD = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_SOCKET_ERRORS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")

# With one key the request never changes and wrk sends the same bytes; with `Turns` each is put together. The
# calls of a comparison all use the same branch, so that wrk's own cost cancels out.
_SCRIPT = """\
wrk.method = "POST"
wrk.body = {body}
wrk.headers["Content-Type"] = "application/json"
{key}
"""
_TURNS = """\
local turn = {taken}
local before, after
function init(args)
  wrk.headers["Authorization"] = "Bearer KEY"
  local whole = wrk.format("POST", {path})
  local from, to = whole:find("KEY", 1, true)
  before, after = whole:sub(1, from - 1), whole:sub(to + 1)
end
function request()
  local number = turn * {stride} % {count}
  turn = turn + 1
  return before .. string.format({pattern}, number) .. after
end
"""
# Prime to every power of ten, and large: keys whose turns follow each other do not lie side by side.
_STRIDE = 618_033


class Turns:
    """Calls that take turns over `count` keys; the next load goes on where the last one ended.

    A key is `pattern` (as of C's printf) with its number, from 0; `count` is a power of ten.
    """

    def __init__(self, pattern: str, count: int) -> None:
        self.pattern = pattern
        self.count = count
        self.taken = 0  # calls so far


class Load(msgspec.Struct, frozen=True):
    """What wrk saw: answers, and answers per second."""

    requests: int
    rate: float


def closed_loop(
    scratch: Path,
    cores: frozenset[int],
    port: int,
    *,
    key: str,
    connections: int,
    seconds: float,
    turns: Turns | None = None,
    path: str = payloads.PATH,
    body: bytes = b"",
) -> Load:
    """Plain chat calls for `seconds`; BenchError when any was refused or any socket failed.

    All use `key` (none when it is empty); with `turns` each uses the next of those. `path` and `body` are for
    calls in another format.
    """
    script = scratch / f"wrk-{port}.lua"
    single = f'wrk.headers["Authorization"] = "Bearer {key}"' if key and turns is None else ""
    text = _SCRIPT.format(body=json.dumps((body or payloads.request_body(stream=False)).decode()), key=single)
    if turns is not None:
        text += _TURNS.format(
            taken=turns.taken,
            count=turns.count,
            stride=_STRIDE,
            pattern=json.dumps(turns.pattern),
            path=json.dumps(path),
        )
    script.write_text(text)
    argv = [find_tool("wrk") or "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    argv += ["--timeout", "10s", "-s", str(script), f"http://127.0.0.1:{port}{path}"]
    log = scratch / "wrk.log"
    process = Process("wrk", argv, cores=cores, log=log, capture=True)
    try:
        out = process.result(seconds + 30)
    finally:
        process.stop(grace=0)
    bad, broken = _BAD.search(out), _SOCKET_ERRORS.search(out)
    requests, rate = _REQUESTS.search(out), _RATE.search(out)
    if bad or broken or not requests or not rate or int(requests[1]) == 0:
        said = bad[0] if bad else broken[0] if broken else f"no answers: {out.strip()} {process.log_tail()}"
        raise BenchError(f"wrk against port {port}: {said}")
    if turns is not None:
        turns.taken += int(requests[1])
    return Load(int(requests[1]), float(rate[1]))
