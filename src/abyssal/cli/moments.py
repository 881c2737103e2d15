"""Times and durations as people write and read them. Pure: what time it is, a clock says."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from abyssal.clock import Clock
from abyssal.wire.errors import ConfigurationError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")


def parse_duration(text: str, option: str) -> int:
    """`90s`, `15m`, `12h`, `30d`, `2w` or `0` in seconds. Raises ConfigurationError that names `option`."""
    if text.strip() == "0":
        return 0
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(
            f'{option}: "{text}" is no duration; write a number and s, m, h, d or w, such as 12h or 30d.'
        )
    return int(match[1]) * _SECONDS[match[2]]


def parse_moment(text: str, option: str, clock: Clock) -> str:
    """When something ends, as a time in ISO 8601: a duration is counted from now on."""
    end = parse_end(text, option)
    if "expires_in" not in end:
        return str(end["expires_at"])
    seconds = clock.unix_ns() // 1_000_000_000 + int(end["expires_in"])
    try:
        return _utc(datetime.fromtimestamp(seconds, UTC))
    except (OverflowError, ValueError):
        raise ConfigurationError(f'{option}: "{text}" from now on is past what a calendar has.') from None


def parse_end(text: str, option: str) -> dict[str, int | str]:
    """When something ends, as the routes take it: `expires_in` for a duration, `expires_at` for a time.

    A time is ISO 8601; one without a zone is meant as the clock of this machine shows it.
    """
    if _DURATION.fullmatch(text.strip()):
        return {"expires_in": parse_duration(text, option)}
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigurationError(
            f'{option}: "{text}" is neither a duration such as 12h or 30d nor a time such as '
            "2027-01-31 or 2027-01-31T18:00Z."
        ) from None
    return {"expires_at": _utc(moment.astimezone(UTC))}


def local_time(moment: str | None) -> str:
    """A time of the routes (ISO 8601) to the minute, as the clock of this machine has it; "" for none."""
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M}" if moment else ""


def _utc(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
