"""What the client does when nothing else was said: every figure of it, in one place."""

from __future__ import annotations

from typing import Final

# Where to, and as whom (the first of these environment variables that is set and not empty counts).
BASE_URL: Final = "http://127.0.0.1:8000/v1"
BASE_URL_VARIABLES: Final = ("ABYSSAL_BASE_URL", "DEEPSEEK_BASE_URL")
API_KEY_VARIABLES: Final = ("ABYSSAL_API_KEY", "DEEPSEEK_API_KEY")

# Tokens, in seconds.
JWT_LIFE: Final = 3600  # of one that the client signs itself; the platform takes at most 24 h
TOKEN_LIFE: Final = 300.0  # of an access token that does not say
TOKEN_LONGEST_LIFE: Final = 86400.0
RENEW_EARLY: Final = 60.0  # before a token's end, or a fifth of its life if that is less
RENEW_PAUSE: Final = 10.0  # after a renewal that failed while the old token is still good

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
