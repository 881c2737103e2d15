"""wrk as the closed-loop load: a fixed number of connections, each with one request at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.load import payloads
from bench.machine import find_tool
from bench.spawn import BenchError, Process

_REQUESTS = re.compile(r"(\d+) requests in ")
_RATE = re.compile(r"Requests/sec: +([\d.]+)")
_BAD = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_SOCKET_ERRORS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")

# With one key the request never changes and wrk sends the same bytes; with several they take turns. The
# calls of a comparison all use the same branch, so that wrk's own cost cancels out.
_SCRIPT = """\
wrk.method = "POST"
wrk.body = {body}
wrk.headers["Content-Type"] = "application/json"
{key}
"""
_TURNS = """\
local requests, turn = {{}}, 0
function init(args)
  for key in io.lines({keys}) do
    wrk.headers["Authorization"] = "Bearer " .. key
    requests[#requests + 1] = wrk.format("POST", {path})
  end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
"""


class Load(msgspec.Struct, frozen=True):
    """What wrk saw: answers, and answers per second."""

    requests: int
    rate: float


def closed_loop(
    scratch: Path,
    cores: frozenset[int],
    port: int,
    *,
    keys: Sequence[str],
    connections: int,
    seconds: float,
    turns: bool = False,
) -> Load:
    """Plain chat calls for `seconds`; BenchError when any was refused or any socket failed.

    `turns` takes the keys one after another, also when there is only one.
    """
    script = scratch / f"wrk-{port}.lua"
    single = f'wrk.headers["Authorization"] = "Bearer {keys[0]}"' if keys and not turns else ""
    text = _SCRIPT.format(body=json.dumps(payloads.request_body(stream=False).decode()), key=single)
    if turns:
        names = scratch / f"wrk-{port}.keys"
        names.write_text("\n".join(keys) + "\n")
        text += _TURNS.format(keys=json.dumps(str(names)), path=json.dumps(payloads.PATH))
    script.write_text(text)
    argv = [find_tool("wrk") or "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    argv += ["--timeout", "10s", "-s", str(script), f"http://127.0.0.1:{port}{payloads.PATH}"]
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
    return Load(int(requests[1]), float(rate[1]))
