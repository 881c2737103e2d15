"""What importing costs and does: nothing. In processes of their own, as this one has imported it all."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import abyssal


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_loads_next_to_nothing() -> None:
    code = """
import sys
before = set(sys.modules)
import abyssal
print(sorted(name for name in set(sys.modules) - before if not name.startswith("abyssal")))
print(sorted(name for name in sys.modules if name.startswith("abyssal")))
"""
    assert run(code).splitlines() == ["['__future__']", "['abyssal']"]


def test_importing_every_module_reads_no_environment_and_starts_nothing() -> None:
    code = """
import asyncio, random, ssl, importlib, os, pkgutil, sys, threading, msgspec, pyreqwest.client, email.utils, websockets.client
read = []
class Watched(type(os.environ)):
    def __getitem__(self, name): read.append(name); return super().__getitem__(name)
os.environ.__class__ = Watched
os.environ.get("HOME"); assert read == ["HOME"]; read.clear()
import abyssal.client, abyssal.wire
for package in (abyssal.client, abyssal.wire):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
print(read, threading.active_count())
"""
    assert run(code) == "[] 1"


def test_a_client_of_plain_http_needs_no_pyreqwest() -> None:
    code = """
import sys
from abyssal import DeepSeekClient
DeepSeekClient("sk-x", base_url="http://127.0.0.1:1")
print("pyreqwest" in sys.modules, "asyncio" in sys.modules)
"""
    assert run(code) == "False False"


@pytest.mark.parametrize("name", abyssal.__all__)
def test_each_public_name_is_there(name: str) -> None:
    assert getattr(abyssal, name) is not None
    assert name in dir(abyssal)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="DeepSeekClientt"):
        abyssal.DeepSeekClientt  # noqa: B018


def test_the_version_is_the_packages() -> None:
    assert abyssal.__version__ == version("abyssal")
