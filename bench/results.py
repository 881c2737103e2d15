"""What a row promises and what was found: limits, medians, spread, verdict."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec


class Row(msgspec.Struct, frozen=True):
    """One line of the table. `limit` is None for a figure that is shown but not promised.

    `at_least` turns the limit round. `unit` is what `limit` and the finding are in: "x" for a ratio.
    """

    what: str
    limit: float | None
    unit: str = "x"
    at_least: bool = False


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A measured row: the median of the rounds, and the smallest and largest round.

    `ours` and `theirs` are the medians of what was divided, with their unit, as text.
    `missing` is why there is no figure; then all numbers are zero.
    """

    row: Row
    measured: float = 0.0
    low: float = 0.0
    high: float = 0.0
    ours: str = ""
    theirs: str = ""
    note: str = ""
    missing: str = ""

    @property
    def verdict(self) -> str:
        """`ok`, `MISSED`, `-` without a limit, or `not measured`."""
        if self.missing:
            return "not measured"
        limit = self.row.limit
        if limit is None:
            return "-"
        good = self.measured >= limit if self.row.at_least else self.measured <= limit
        return "ok" if good else "MISSED"


def ratio(
    row: Row, ours: Sequence[float], theirs: Sequence[float], *, unit: str, scale: float = 1.0, note: str = ""
) -> Finding:
    """Ours ÷ theirs, round by round; `scale` turns both into `unit` for display."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Finding(
        row=row,
        measured=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
        ours=figure(statistics.median(ours) * scale, unit),
        theirs=figure(statistics.median(theirs) * scale, unit),
        note=note,
    )


def difference(row: Row, ours: Sequence[float], theirs: Sequence[float], *, note: str = "") -> Finding:
    """By how many microseconds ours, in seconds, is over theirs, round by round."""
    more = [(mine - other) * 1e6 for mine, other in zip(ours, theirs, strict=True)]
    return Finding(
        row=row,
        measured=statistics.median(more),
        low=min(more),
        high=max(more),
        ours=figure(statistics.median(ours) * 1e6, "µs"),
        theirs=figure(statistics.median(theirs) * 1e6, "µs"),
        note=note,
    )


def growth(row: Row, small: Sequence[float], large: Sequence[float], *, note: str = "") -> Finding:
    """By how many percent seconds per call grow from `small` to `large`, round by round."""
    grown = [100 * (after / before - 1) for before, after in zip(small, large, strict=True)]
    return Finding(
        row=row,
        measured=statistics.median(grown),
        low=min(grown),
        high=max(grown),
        ours=figure(statistics.median(large) * 1e6, "µs"),
        theirs=figure(statistics.median(small) * 1e6, "µs"),
        note=note,
    )


def plain(row: Row, values: Sequence[float], *, ours: str = "", theirs: str = "", note: str = "") -> Finding:
    """The values as they are, in the row's unit."""
    return Finding(
        row=row,
        measured=statistics.median(values),
        low=min(values),
        high=max(values),
        ours=ours,
        theirs=theirs,
        note=note,
    )


def figure(value: float, unit: str) -> str:
    """Three significant digits and the unit: `34.2 µs`, `1.05x`, `2 210 µs`."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    text = f"{value:,.{digits}f}".replace(",", " ")
    return text + unit if unit in ("x", "%") else f"{text} {unit}"
