"""The `abyssal` command in this process, for tests of many commands: starting Python takes a second for each."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys

from abyssal.cli import main

from .cli_process import environment


def abyssal_here(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """As `cli_process.abyssal`, with nothing on standard input."""
    out, err = io.StringIO(), io.StringIO()
    before, argv = dict(os.environ), sys.argv
    code: object = None
    try:
        os.environ.clear()
        os.environ.update(environment(settings))
        sys.argv = ["abyssal", *arguments]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code
    finally:
        os.environ.clear()
        os.environ.update(before)
        sys.argv = argv
    assert isinstance(code, int), f"{arguments} ended without an exit code"
    return subprocess.CompletedProcess(sys.argv, code, out.getvalue(), err.getvalue())
