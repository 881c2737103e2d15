"""What the client does when nothing else was said: every figure of it, in one place."""

from __future__ import annotations

from typing import Final

# Where to, and as whom (the first of these environment variables that is set and not empty counts).
BASE_URL: Final = "http://127.0.0.1:8000/v1"
BASE_URL_VARIABLES: Final = ("ABYSSAL_BASE_URL", "DEEPSEEK_BASE_URL")
API_KEY_VARIABLES: Final = ("ABYSSAL_API_KEY", "DEEPSEEK_API_KEY")

# Connecting and reading, in seconds.
CONNECT_TIMEOUT: Final = 5.0
READ_TIMEOUT: Final = 30.0  # between two reads; also how long the first byte may take
POOL_TIMEOUT: Final = 600.0  # the official service, too, gives up on a queued call after ten minutes
DRAIN_TIMEOUT: Final = 0.25  # after a stream's [DONE]: how long for the rest, so the connection can be kept

# Connections.
CONNECTIONS_PER_CORE: Final = 2
IDLE_TIMEOUT: Final = 60.0  # seconds; the platform closes an idle connection after 75

# Trying again.
MAX_RETRIES: Final = 2
FIRST_WAIT: Final = 1.0  # seconds; doubles from one wait to the next
LONGEST_WAIT: Final = 30.0
LONGEST_RETRY_AFTER: Final = 120.0  # a longer Retry-After is not waited for
BUDGET_PER_CALL: Final = 0.2  # retries that each call pays for ...
BUDGET_BURST: Final = 10.0  # ... and how many may be saved up; a new client has them all
RETRIED_STATUSES: Final = frozenset({408, 409, 429})  # and every 5xx
