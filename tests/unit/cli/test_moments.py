"""Times and durations as they are typed."""

from __future__ import annotations

from datetime import datetime

import pytest

from abyssal.cli.moments import local_time, parse_duration, parse_end
from abyssal.wire.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90s", 90), ("15m", 900), ("12h", 43200), ("30d", 2_592_000), (" 2w ", 1_209_600)],
)
def test_a_duration_in_seconds(text: str, seconds: int) -> None:
    assert parse_duration(text, "--overlap") == seconds


@pytest.mark.parametrize("text", ["", "24", "-1h", "1.5h", "h", "1y", "1h30m", "1 h", "٣h", "9999999999s"])
def test_what_is_no_duration_is_said_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--overlap: .* is no duration; .*12h"):
        parse_duration(text, "--overlap")


def test_an_end_is_a_duration_or_a_time() -> None:
    assert parse_end("30d", "--expires") == {"expires_in": 2_592_000}
    assert parse_end("2027-01-31T18:00:00Z", "--expires") == {"expires_at": "2027-01-31T18:00:00Z"}
    assert parse_end("2027-01-31T18:00+02:00", "--expires") == {"expires_at": "2027-01-31T16:00:00Z"}


def test_a_time_without_a_zone_is_this_machine_s() -> None:
    (end,) = parse_end("2027-01-31", "--expires").values()
    assert datetime.fromisoformat(str(end)).timestamp() == datetime(2027, 1, 31).timestamp()


@pytest.mark.parametrize("text", ["", "0", "tomorrow", "2027-13-01", "30", "31.01.2027"])
def test_what_is_no_end_is_said_with_examples(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--expires: .* neither a duration .*30d.*2027-01-31"):
        parse_end(text, "--expires")


def test_times_are_shown_as_this_machine_has_them() -> None:
    moment = datetime(2026, 11, 21, 9, 5).astimezone()
    assert local_time(moment.isoformat()) == "2026-11-21 09:05"
    assert local_time(None) == ""
