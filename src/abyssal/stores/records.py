"""The journal's records: what a call was, when it was let in, and how it ended.

A call that reaches an upstream leaves two records, `Opened` before the upstream is called and `Settled`
at its end; a call that is turned away leaves one `Refused`, and one `Failed` where it was for who the caller
was not. `Settled` repeats what `Opened` said, so that
one record is enough for the usage table; an `Opened` without its `Settled` is a call that a crash cut.
Times are Unix nanoseconds, durations microseconds, tokens integers.
"""

from __future__ import annotations

import msgspec


class Opened(msgspec.Struct, tag="o", array_like=True, frozen=True, gc=False):
    """A call was admitted and is about to reach its upstream."""

    id: str
    at: int
    key_id: str
    model: str
    upstream: str
    stream: bool


class Settled(msgspec.Struct, tag="s", array_like=True, frozen=True, gc=False):
    """A call ended, whichever way. `status` is HTTP's (499: the client left); `code` is "" for success.

    `estimated` says that the upstream reported no usage (it broke, or the client left), so tokens were
    counted from what was relayed.
    """

    id: str
    at: int
    key_id: str
    model: str
    upstream: str
    stream: bool
    status: int
    code: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    estimated: bool
    first_byte_us: int
    total_us: int


class Refused(msgspec.Struct, tag="r", array_like=True, frozen=True, gc=False):
    """A call was turned away before any upstream was asked. No secret is ever in it."""

    at: int
    key_id: str
    model: str
    status: int
    code: str


class Failed(msgspec.Struct, tag="f", array_like=True, frozen=True, gc=False):
    """An attempt to prove who one is that proved nothing. No secret is ever in it.

    `way` is the way in, "" where it could not be told; `credential` the id that was claimed, or "".
    """

    at: int
    address: str
    way: str
    reason: str
    credential: str


Record = Opened | Settled | Refused | Failed
