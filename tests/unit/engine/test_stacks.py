"""Larger stacks where they fit, and the usual ones where address space is limited."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, threading
if sys.argv[1] != "free":
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))
from abyssal.engine.stacks import STACK_BYTES, enlarge_stacks

def sizes():
    with open("/proc/self/smaps") as maps:
        return [int(line.split()[1]) * 1024 for line in maps if line.startswith("Size:")]

def thread():
    found.extend(sizes())

before, found = len([size for size in sizes() if size == STACK_BYTES]), []
done = enlarge_stacks()
started = threading.Thread(target=thread)
started.start()
started.join()
print(done, len([size for size in found if size == STACK_BYTES]) > before)
"""


def answer(limit: str) -> str:
    arguments = [sys.executable, "-c", PROGRAM, limit]
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can")
def test_threads_get_them_where_they_fit() -> None:
    assert answer("free") == "True True"


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_limited_address_space_is_left_alone() -> None:
    assert answer(str(4 * 1024**3)) == "False False"
