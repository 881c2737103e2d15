"""`python -m bench`: measures the rows, prints the table. See bench/README.md for the method.

Exit status: 0 all rows measured, 1 a row could not be measured (or, with --strict, missed its limit),
2 a tool is missing or an argument is wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench import machine, peers, report
from bench.calm import Watch
from bench.results import Finding
from bench.rows import Group, groups, since
from bench.setting import Setting, say
from bench.spawn import BenchError

# The same program twice: whatever differs by more than this is the method's fault, or the machine's.
_SELFTEST_GROUPS = ("plain", "sse", "latency")
_SELFTEST_TOLERANCE = 0.1


def _arguments() -> argparse.Namespace:
    names = ", ".join(group.name for group in groups())
    parser = argparse.ArgumentParser(prog="python -m bench", description="Speed and memory of Abyssal.")
    parser.add_argument("--only", default="", metavar="GROUP,...", help=f"some of: {names}")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--again", type=int, default=2, help="repeats of a disturbed measurement (2)")
    parser.add_argument("--quick", action="store_true", help="a third of the time each; more spread")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the findings there")
    parser.add_argument("--strict", action="store_true", help="status 1 when a limit is missed")
    parser.add_argument("--base", type=Path, metavar="DIR", help="an earlier checkout, for the group `since`")
    parser.add_argument("--selftest", action="store_true", help="nginx against nginx: is the method sound?")
    parser.add_argument("--stand-in", action="store_true", help="nginx in place of the gateway")
    parser.add_argument("--install", action="store_true", help="install nginx and wrk with apt, as root")
    parser.add_argument("--peers", action="store_true", help="install sglang-router and the OpenAI SDK")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(f"--rounds is {arguments.rounds}; at least 1")
    return arguments


def _chosen(only: str) -> list[Group]:
    known = {group.name: group for group in groups()}
    names = [name.strip() for name in only.split(",") if name.strip()] or list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"--only: there is no group {unknown[0]!r}; known: {', '.join(known)}", file=sys.stderr)
        raise SystemExit(2)
    return [known[name] for name in known if name in names]


def _measured(group: Group, setting: Setting) -> list[Finding]:
    """One finding for each row of the group, whatever happens in it."""
    began = time.monotonic()
    print(f"{group.name}:", file=sys.stderr, flush=True)
    findings: list[Finding] = []
    try:
        findings.extend(group.measure(setting))
    except (BenchError, ImportError, OSError) as error:
        say(f"not measured: {error}")
        done = {finding.row.what for finding in findings}
        findings += [Finding(row=row, missing=str(error)) for row in group.rows if row.what not in done]
    say(f"({time.monotonic() - began:.0f} s)")
    return findings


def _selftest_status(findings: list[Finding]) -> int:
    ratios = [
        finding for finding in findings if finding.row.what.endswith(("÷ nginx", "proxy_buffering off"))
    ]
    bad = [f for f in ratios if f.missing or abs(f.measured - 1) > _SELFTEST_TOLERANCE]
    for finding in bad:
        print(f"SELF-TEST FAILED: {finding.row.what} with nginx in its place: {finding.measured:.3f}")
    if not bad:
        print(f"Self-test passed: nginx against nginx within {_SELFTEST_TOLERANCE:.0%} of 1.")
    return 1 if bad else 0


def _run(arguments: argparse.Namespace) -> int:
    if arguments.peers:
        return peers.install()
    machine.require_tools(install=arguments.install)
    only = arguments.only or (",".join(_SELFTEST_GROUPS) if arguments.selftest else "")
    chosen = _chosen(only)
    facts = machine.describe()
    cores = machine.cores()
    if cores.shared:
        print("Only one core: the load disturbs what is measured, the figures are rough.", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="abyssal-bench-") as scratch:
        watch = Watch(arguments.again, say)
        setting = Setting(
            cores=cores,
            scratch=Path(scratch),
            watch=watch,
            rounds=arguments.rounds,
            quick=arguments.quick,
            stand_in=arguments.stand_in or arguments.selftest,
            base=arguments.base and arguments.base.resolve(),
        )
        findings = [finding for group in chosen for finding in _measured(group, setting)]
    how = f"{arguments.rounds} rounds{', quick' if arguments.quick else ''}; {watch}"
    print(f"\n{', '.join(f'{name} {value}' for name, value in facts.items())}; {how}\n")
    print(report.table(findings), flush=True)
    if arguments.json:
        arguments.json.write_text(report.as_json({**facts, "rounds": arguments.rounds}, findings))
    if arguments.selftest:
        return _selftest_status(findings)
    optional = (peers.HOW, since.HOW)
    wrong = any(finding.missing and not finding.missing.endswith(optional) for finding in findings)
    missed = any(finding.verdict == "MISSED" for finding in findings)
    return 1 if wrong or (arguments.strict and missed) else 0


def main() -> int:
    """Runs it; what was started is ended on every way out."""
    arguments = _arguments()
    # Both end the run in the same orderly way, also where a shell started it with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return _run(arguments)
    except machine.MissingToolsError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was left running", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
