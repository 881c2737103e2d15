"""The words of the three dialects on a socket: what each calls its messages. Data, no behaviour.

| dialect | the client sends | the server sends |
| --- | --- | --- |
| auth/init | `auth` with `access_token`, then `init` | `text_stream` ..., `complete` |
| auth/request | `auth` with `token`, then `request` | `response` ..., `done` |
| bare | messages without a type (its credential is in the upgrade's head) | such ones too; then it closes |

Source: the platform's specification, section 3.
"""

from __future__ import annotations


class Words:
    """One dialect. `delta` is a message up to its content, `final` the last one up to its other fields."""

    __slots__ = ("closes", "delta", "final", "name", "request")

    def __init__(self, request: str | None, delta: bytes, final: bytes, *, closes: bool = False) -> None:
        self.name = b"bare" if request is None else request.encode()
        self.request = request  # the type of a request, None for messages without one
        self.delta, self.final = delta, final
        self.closes = closes  # the socket is closed when its answers are complete


AUTH_INIT = Words("init", b'{"type":"text_stream","content":', b'{"type":"complete",')
AUTH_REQUEST = Words("request", b'{"type":"response","content":', b'{"type":"done",')
BARE = Words(None, b'{"content":', b'{"content":"",', closes=True)

BY_REQUEST: dict[str | None, Words] = {words.request: words for words in (AUTH_INIT, AUTH_REQUEST, BARE)}
BY_NAME = {words.name: words for words in (AUTH_INIT, AUTH_REQUEST, BARE)}
BY_CREDENTIAL = {"access_token": AUTH_INIT, "token": AUTH_REQUEST}
