"""Ctrl-C ends a blocking call at once, over both transports. In processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from .raw_server import STREAM_HEAD, Peer, RawServer, chunk, framed

CODE = """
import sys
from abyssal import DeepSeekClient
from abyssal.client.direct_sync import DirectTransport
from abyssal.client.pyreqwest_sync import PyreqwestTransport
from abyssal.client.settings import parse_base_url
url, way, stream = sys.argv[1:]
transport = {"direct": DirectTransport, "pyreqwest": PyreqwestTransport}[way](parse_base_url(url), 1)
client = DeepSeekClient("sk-x", base_url=url, transport=transport)
try:
    answer = client.chat.completions.create(model="m", messages=[], stream=stream == "True")
    next(answer)
    print("waiting", flush=True)
    next(answer)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process there")
@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("transport", ["direct", "pyreqwest"])
def test_ctrl_c(server: RawServer, transport: str, streamed: bool) -> None:
    def silent(peer: Peer) -> None:
        if streamed:
            peer.send(STREAM_HEAD + framed(chunk("a"), end=False))
        peer.wait_until_gone()

    server.will(silent)
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, server.url, transport, str(streamed)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        deadline = time.monotonic() + 20
        while not server.requests and time.monotonic() < deadline:
            time.sleep(0.01)
        if streamed:
            assert process.stdout.readline() == "waiting\n"
        time.sleep(0.1)  # until the call waits
        os.kill(process.pid, signal.SIGINT)
        begun = time.monotonic()
        output, _ = process.communicate(timeout=20)
        assert time.monotonic() - begun < 5
    assert (output, process.returncode) == ("interrupted\n", 0)
