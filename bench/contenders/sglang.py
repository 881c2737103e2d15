"""sglang-router as a contender, when `make bench-peers` has installed it."""

from __future__ import annotations

import os
from pathlib import Path

from bench import peers, spawn
from bench.contenders.running import Running
from bench.spawn import Process


def relay(scratch: Path, cores: frozenset[int], upstream_port: int) -> Running:
    """One router in front of one worker, with the plainest policy and quiet logs."""
    port, metrics = spawn.free_port(), spawn.free_port()
    argv = [str(peers.PYTHON), "-m", "sglang_router.launch_router"]
    argv += ["--worker-urls", f"http://127.0.0.1:{upstream_port}"]
    argv += ["--host", "127.0.0.1", "--port", str(port)]
    argv += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(metrics)]
    argv += ["--policy", "round_robin", "--log-level", "error"]
    # The default cap on concurrent requests would queue what the other contenders take.
    argv += ["--max-concurrent-requests", "4096"]
    environment = os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    process = Process(
        "sglang-router", argv, cores=cores, log=scratch / f"sglang-{port}.log", cwd=scratch, env=environment
    )
    try:
        spawn.wait_until(lambda: spawn.http_status(port, "/readiness") == 200, 40, "sglang-router", process)
    except BaseException:
        process.stop()
        raise
    return Running("sglang-router", process, port)
