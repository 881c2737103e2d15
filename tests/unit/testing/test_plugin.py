"""The pytest plugin in a run of its own, and every example of docs/testing.md."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[3] / "docs" / "testing.md"
EXAMPLES = dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE.read_text(), re.DOTALL))


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-q", "-W", "error", *arguments, timeout=300)


def test_the_page_has_examples_and_each_has_a_file_name() -> None:
    assert len(EXAMPLES) == PAGE.read_text().count("```python") > 3


def test_every_example_runs(pytester: pytest.Pytester) -> None:
    for name, text in EXAMPLES.items():
        pytester.path.joinpath(name).write_text(text)
    outcome = run(pytester)
    assert outcome.ret == 0, outcome.stdout.str()
    tests = sum(len(re.findall(r"^def test_", text, re.MULTILINE)) for text in EXAMPLES.values())
    outcome.assert_outcomes(passed=tests)


def test_each_test_gets_a_server_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        seen = []

        @pytest.mark.parametrize("turn", [1, 2])
        def test_alone(abyssal_server, abyssal_upstream, turn):
            seen.append((abyssal_server.pid, abyssal_server.api_key, abyssal_upstream.port))
            assert len(set(seen)) == turn
            assert abyssal_upstream.requests == []
        """
    )
    run(pytester).assert_outcomes(passed=2)


def test_a_server_that_dies_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import os, signal

        def test_killer(abyssal_server):
            os.kill(abyssal_server.pid, signal.SIGKILL)
            os.waitid(os.P_PID, abyssal_server.pid, os.WEXITED | os.WNOWAIT)
        """
    )
    outcome = run(pytester)
    outcome.assert_outcomes(passed=1, errors=1)
    outcome.stdout.fnmatch_lines(["*ServerFailedError: the server ended with status -9 during the test*"])


def test_an_error_in_a_script_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from abyssal.testing import RawConnection

        def test_broken_script(abyssal_upstream):
            abyssal_upstream.default = lambda request: 1 / 0
            with RawConnection(abyssal_upstream.url) as connection:
                connection.send(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
                assert connection.read_response().status == 500
        """
    )
    outcome = run(pytester)
    outcome.assert_outcomes(passed=1, errors=1)
    outcome.stdout.fnmatch_lines(["*ZeroDivisionError*"])


def test_the_fixtures_are_documented(pytester: pytest.Pytester) -> None:
    shown = run(pytester, "--fixtures").stdout.str()
    for name in ("abyssal_models", "abyssal_upstream", "abyssal_server", "abyssal_client"):
        assert name in shown
        assert name in PAGE.read_text()


def test_a_run_that_uses_no_fixture_pays_for_nothing() -> None:
    program = (
        "import pytest, sys; before = set(sys.modules); import abyssal.testing.plugin;"
        "print(*sorted(set(sys.modules) - before))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["abyssal", "abyssal.testing", "abyssal.testing.plugin"]


def test_every_name_of_the_package_can_be_had_and_no_other() -> None:
    import abyssal.testing

    for name in abyssal.testing.__all__:
        assert getattr(abyssal.testing, name) is not None
        assert name in dir(abyssal.testing)
    with pytest.raises(AttributeError, match=r"has no attribute 'Mock'; it has .*Answer"):
        abyssal.testing.Mock  # noqa: B018
