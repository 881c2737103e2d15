"""nginx in its two parts: the relay that others are compared with, and the upstream with one fixed answer."""

from __future__ import annotations

import os
from pathlib import Path

from bench import spawn
from bench.contenders.running import Running
from bench.load import payloads
from bench.machine import find_tool
from bench.spawn import Process

# One worker, no access log, connections that live for the whole run on both sides. Everything that nginx
# writes stays in its own directory; without `user root` the workers of a root's nginx could not write there.
_FRAME = """\
{user}daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
{inside}
}}
"""

_FIXED = """\
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    default_type application/json;
    location = {path} {{ return 200 '{completion}'; }}
    location / {{ return 200 '{{}}'; }}
  }}
"""

_RELAY = """\
  upstream up {{
    server 127.0.0.1:{upstream};
    keepalive 1024;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://up;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_buffering {buffering};
      proxy_read_timeout 600s;
    }}
  }}
"""


def upstream(scratch: Path, cores: frozenset[int]) -> Running:
    """An nginx that answers every chat call with `payloads.completion()`."""
    port = spawn.free_port()
    completion = payloads.completion().decode()
    if "'" in completion or "$" in completion:
        raise spawn.BenchError("the fixed completion holds a character that nginx's `return` would expand")
    inside = _FIXED.format(port=port, path=payloads.PATH, completion=completion)
    return _start("nginx upstream", inside, port, scratch, cores)


def relay(
    scratch: Path, cores: frozenset[int], upstream_port: int, *, buffering: bool, name: str = "nginx"
) -> Running:
    """An nginx that relays to 127.0.0.1:`upstream_port` and does nothing else."""
    port = spawn.free_port()
    inside = _RELAY.format(port=port, upstream=upstream_port, buffering="on" if buffering else "off")
    return _start(name, inside, port, scratch, cores)


def _start(name: str, inside: str, port: int, scratch: Path, cores: frozenset[int]) -> Running:
    prefix = scratch / f"nginx-{port}"
    prefix.mkdir()
    user = "user root;\n" if os.geteuid() == 0 else ""
    (prefix / "nginx.conf").write_text(_FRAME.format(user=user, inside=inside))
    argv = [find_tool("nginx") or "nginx", "-p", str(prefix), "-e", "stderr", "-c", "nginx.conf"]
    process = Process(name, argv, cores=cores, log=prefix / "log")
    try:
        spawn.wait_until(lambda: spawn.listening(port), 10, f"{name} to listen", process)
    except BaseException:
        process.stop()
        raise
    return Running(name, process, port)
