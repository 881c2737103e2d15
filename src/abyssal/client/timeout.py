"""How long a call may take."""

from __future__ import annotations

import msgspec

from abyssal.client import defaults
from abyssal.wire.errors import ConfigurationError

_LONGEST = 10 * 365 * 86400.0  # what the operating system's timers take


class Timeout(msgspec.Struct, frozen=True):
    """Limits on one call, in seconds; None is no limit.

    `connect`: to open a connection. `read`: between two reads, so also for the first byte of the answer.
    `total`: a whole plain call, its retries and the waits between them included; a stream has no total.
    Raises ConfigurationError when a limit is not a positive number.
    """

    connect: float | None = defaults.CONNECT_TIMEOUT
    read: float | None = defaults.READ_TIMEOUT
    total: float | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            seconds: object = getattr(self, name)
            if seconds is None:
                continue
            if not isinstance(seconds, (int, float)) or seconds is True or not 0 < seconds <= _LONGEST:
                raise ConfigurationError(
                    f"timeout: {name}={seconds!r} is no number of seconds above 0; "
                    "give one, or None for no limit."
                )


def as_timeout(timeout: Timeout | float | None, otherwise: Timeout) -> Timeout:
    """`timeout` as a Timeout: a number limits `read` and, for a plain call, `total`; None is `otherwise`."""
    if timeout is None:
        return otherwise
    if isinstance(timeout, Timeout):
        return timeout
    limit = Timeout(read=timeout, total=timeout)
    return msgspec.structs.replace(limit, connect=min(timeout, defaults.CONNECT_TIMEOUT))
