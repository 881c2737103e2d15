"""A program that is to the supervisor what an engine is, and fails as the model's name in its spec says.

serve         answers health checks until it is asked to stop
stubborn      the same, but does not hear SIGTERM
loading       answers 503 for ever
vectors       answers 503 for ever, where vectors are asked for, and listens nowhere else
mute          listens and never answers
silent        never listens
refuse        says why on standard error and exits with 65
crash         writes two lines and exits with 3
crash-once    crashes if the file NAME.crashed is not there, makes it, and serves the next time
hang-once     serves one health check, then is mute if NAME.hung is not there; makes it
abort         ends by SIGABRT
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path


def main() -> None:
    spec = json.loads(sys.stdin.buffer.readline())
    what, path = spec["model"], Path(spec["socket"])
    with Path(f"{path}.pids").open("a") as pids:
        pids.write(f"{os.getpid()}\n")
    if what == "refuse":
        sys.exit(
            say(
                "0.00.001.002 E loader: error loading model: no such shape",
                "abyssal engine: Bad model.",
                code=65,
            )
        )
    if what == "crash":
        sys.exit(say("one", "two", code=3))
    if what == "abort":
        say("GGML_ASSERT(1 == 2) failed")
        os.abort()
    if what == "crash-once" and first_time(path, "crashed"):
        sys.exit(3)
    if what == "silent":
        time.sleep(60)
    if what == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if what == "vectors":
        path, what = path.with_name(f"{path.stem}v.sock"), "loading"
    serve(path, what)


def say(*lines: str, code: int = 0) -> int:
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    sys.stderr.flush()
    return code


def first_time(path: Path, what: str) -> bool:
    mark = Path(f"{path}.{what}")
    seen = mark.exists()
    mark.touch()
    return not seen


def serve(path: Path, what: str) -> None:
    path.unlink(missing_ok=True)
    answered = 0
    mute = what == "mute" or (what == "hang-once" and first_time(path, "hung"))
    status = b"503 Service Unavailable" if what == "loading" else b"200 OK"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        held = []
        while True:
            connection, _ = listener.accept()
            if mute and (what == "mute" or answered):
                held.append(connection)
                continue
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
            answered += 1


if __name__ == "__main__":
    main()
