"""The house rules that a program can check: what each file looks like, and that importing does nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "abyssal"
MOST_LINES = 400

MODULES = sorted(SOURCE.rglob("*.py"))
OURS = [path for folder in ("src", "tests", "bench") for path in sorted((ROOT / folder).rglob("*.py"))]
OURS = [path for path in OURS if "scratch" not in path.parts]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 80


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_first_line_says_what_a_module_knows(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text, "no docstring"
    first = text.splitlines()[0]
    assert first.rstrip().endswith((".", ":", ")")), f"not a sentence: {first!r}"
    assert len(first.split()) >= 2, f"says nothing: {first!r}"


def test_no_file_is_two_rooms() -> None:
    long = {
        name_of(path): lines
        for path in OURS
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert long == {}


def test_the_library_does_not_print() -> None:
    talking = ("cli", "engine/training")
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in MODULES
        if not path.relative_to(SOURCE).as_posix().startswith(talking)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert found == []


def test_no_error_is_swallowed() -> None:
    """A broad `except` does something with what it caught."""
    silent: list[str] = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = node.type.id if isinstance(node.type, ast.Name) else None
            broad = node.type is None or caught in ("Exception", "BaseException")
            if broad and all(isinstance(line, ast.Pass | ast.Continue) for line in node.body):
                silent.append(f"{name_of(path)}:{node.lineno}")
    assert silent == []


def test_tests_use_shipped_fakes() -> None:
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if name.startswith("unittest.mock")], name_of(path)


IMPORTING = """
import importlib, json, os, sys, threading

seen = []

def watch(event, args):
    if event in ("socket.__new__", "socket.connect", "socket.bind", "_thread.start_new_thread",
                 "subprocess.Popen", "os.fork", "os.posix_spawn", "os.putenv", "os.mkdir", "os.remove"):
        seen.append(event)
    elif event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        seen.append(f"open {args[0]} {args[1]}")

sys.dont_write_bytecode = True
sys.addaudithook(watch)
done = {}
for name in sys.argv[1:]:
    seen.clear()
    importlib.import_module(name)
    if seen:
        done[name] = list(seen)
tasks = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
print(json.dumps({"did": done, "threads": max(threading.active_count(), tasks)}))
"""


def modules_below(*packages: str) -> list[str]:
    found: list[str] = []
    for package in packages:
        for path in sorted((SOURCE / package).rglob("*.py")):
            parts = ("abyssal", *path.relative_to(SOURCE).with_suffix("").parts)
            found.append(".".join(parts).removesuffix(".__init__"))
    return found


def imported(*modules: str) -> dict[str, object]:
    """What happened while a fresh interpreter imported `modules` one after another."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING, *modules], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_importing_does_nothing() -> None:
    modules = modules_below("wire", "client", "gateway", "stores", "platform", "node")
    assert len(modules) > 60
    assert imported("abyssal", "abyssal.config", "abyssal.clock", *modules) == {"did": {}, "threads": 1}


def test_the_watch_sees_what_importing_must_not_do(tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(
        "import socket\nsocket.socket().close()\nopen(__file__ + '.txt', 'w').close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING, "busy"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert [event.split()[0] for event in json.loads(done.stdout)["did"]["busy"]] == [
        "socket.__new__",
        "open",
    ]


def test_the_wire_needs_no_event_loop_and_no_socket() -> None:
    program = "import sys, importlib\n[importlib.import_module(name) for name in sys.argv[1:]]\n"
    program += "print([name for name in ('asyncio', 'socket', 'ssl', 'http') if name in sys.modules])"
    done = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            f"import sys; sys.path[:0] = {sys.path!r}\n" + program,
            *modules_below("wire"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
