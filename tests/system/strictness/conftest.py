"""One real server for all cases of this folder, and what it means to be refused or answered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from abyssal.testing import RawConnection, RunningServer, ScriptedUpstream, WireResponse, gateway_config

BODY = b'{"model":"test-model","messages":[{"role":"user","content":"hi"}]}'
LINE = b"POST /v1/chat/completions HTTP/1.1\r\n"


class Stage:
    """A server before a scripted upstream. Cases are templates; `fill` knows these parts:

    ``<line>``    the request line of a chat call
    ``<auth>``    a header line with the key
    ``<head>``    request line, Host and key: a chat request whose other headers follow
    ``<rest>``    Host, key and the length of the body
    ``<post>``    ``<line>`` and ``<rest>``: a chat request that lacks only more headers and the body
    ``<body>``    a good body, ``<size>`` its length, ``<hex>`` the same in hexadecimal
    """

    def __init__(self, server: RunningServer, upstream: ScriptedUpstream) -> None:
        self.server = server
        self.upstream = upstream
        auth = b"Authorization: Bearer %b\r\n" % server.api_key.encode()
        rest = b"Host: a\r\n" + auth + b"Content-Length: %d\r\n" % len(BODY)
        self._parts = {
            b"<line>": LINE,
            b"<auth>": auth,
            b"<head>": LINE + b"Host: a\r\n" + auth,
            b"<rest>": rest,
            b"<post>": LINE + rest,
            b"<body>": BODY,
            b"<size>": b"%d" % len(BODY),
            b"<hex>": b"%x" % len(BODY),
        }

    def fill(self, template: bytes) -> bytes:
        for name, part in self._parts.items():
            template = template.replace(name, part)
        return template

    def connect(self, timeout: float = 10.0) -> RawConnection:
        return RawConnection(self.server.url, timeout=timeout)

    def refused(self, template: bytes, allowed: set[int], *, closes: bool) -> WireResponse:
        """Sent, the case is refused with one of `allowed`, and nothing of it reaches the upstream."""
        before = len(self.upstream.requests)
        with self.connect() as connection:
            connection.send_anyway(self.fill(template))
            answer = connection.read_response()
            self.check_error(answer, allowed)
            if closes:
                assert connection.closed_by_server(), "the connection stayed open"
        assert len(self.upstream.requests) == before, "the upstream got a request"
        self.check_well()
        return answer

    def answered(self, template: bytes) -> WireResponse:
        with self.connect() as connection:
            connection.send(self.fill(template))
            answer = connection.read_response()
        assert answer.status == 200, answer
        return answer

    def check_error(self, answer: WireResponse, allowed: set[int]) -> None:
        """An answer with one of the statuses `allowed`, the error object and a request id."""
        assert answer.status in allowed, answer
        assert (answer.header("content-type") or "").startswith("application/json")
        assert answer.header("x-request-id")
        body = answer.json()
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert len(body["error"]["message"]) > 10

    def check_well(self) -> None:
        """The server still answers."""
        with self.connect() as connection:
            connection.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.read_response().status == 200


@pytest.fixture(scope="package")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with ScriptedUpstream() as upstream:
        config = gateway_config(upstream, ("test-model", "other-model"))
        with RunningServer(config, tmp_path_factory.mktemp("strict")) as server:
            yield Stage(server, upstream)


@pytest.fixture(autouse=True)
def no_error_in_the_server(stage: Stage) -> Iterator[None]:
    """Whatever the case sends, the server meets no error of its own."""
    before = len(stage.server.log())
    yield
    assert "Traceback" not in stage.server.log()[before:]
