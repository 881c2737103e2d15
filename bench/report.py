"""The findings as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bench.results import Finding, figure

_LONGEST_NOTE = 400
_HEADS = ("what", "measured", "spread", "limit", "", "ours", "theirs")


def table(findings: Sequence[Finding]) -> str:
    """Markdown that also reads well in a terminal; notes follow as numbered lines."""
    lines: list[tuple[str, ...]] = []
    notes: list[str] = []
    for finding in findings:
        mark = ""
        said = " ".join((finding.missing or finding.note).split())
        if said:
            notes.append(said if len(said) <= _LONGEST_NOTE else said[:_LONGEST_NOTE] + " ...")
            mark = f" [{len(notes)}]"
        lines.append(_cells(finding, mark))
    widths = [max(len(line[column]) for line in [_HEADS, *lines]) for column in range(len(_HEADS))]
    rule = tuple("-" * width for width in widths)
    text = [_line(cells, widths) for cells in (_HEADS, rule, *lines)]
    text += [""] + [f"[{number}] {note}" for number, note in enumerate(notes, 1)]
    return "\n".join(text).rstrip() + "\n"


def _cells(finding: Finding, mark: str) -> tuple[str, ...]:
    row = finding.row
    limit = "" if row.limit is None else f"{'≥' if row.at_least else '≤'} {figure(row.limit, row.unit)}"
    if finding.missing:
        return (row.what + mark, "", "", limit, finding.verdict, "", "")
    spread = f"{figure(finding.low, '').strip()} to {figure(finding.high, '').strip()}"
    measured = figure(finding.measured, row.unit)
    return (row.what + mark, measured, spread, limit, finding.verdict, finding.ours, finding.theirs)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def as_json(machine: dict[str, object], findings: Sequence[Finding]) -> str:
    """One object: `machine`, and `rows` with every number unrounded."""
    rows = [
        {
            "what": finding.row.what,
            "unit": finding.row.unit,
            "limit": finding.row.limit,
            "at_least": finding.row.at_least,
            "measured": None if finding.missing else finding.measured,
            "low": None if finding.missing else finding.low,
            "high": None if finding.missing else finding.high,
            "ours": finding.ours,
            "theirs": finding.theirs,
            "verdict": finding.verdict,
            "note": finding.missing or finding.note,
        }
        for finding in findings
    ]
    return json.dumps({"machine": machine, "rows": rows}, indent=2, ensure_ascii=False) + "\n"
