"""What is said over the wire in these tests: requests, answers and chunks, and how answers are read."""

from __future__ import annotations

import json
from typing import Any

import httptools

KEY = "sk-first-0123456789abcdef"
OTHER_KEY = "sk-second-0123456789abcde"


def chat(body: bytes | None = None, headers: bytes = b"", line: bytes = b"", **fields: Any) -> bytes:
    """A whole chat request; `fields` are the body's."""
    if body is None:
        said = [{"role": "user", "content": "hello there"}]
        body = json.dumps({"model": "m", "messages": said} | fields).encode()
    line = line or b"POST /v1/chat/completions HTTP/1.1\r\n"
    head = b"%bHost: gateway.test\r\nAuthorization: Bearer %b\r\n%bContent-Length: %d\r\n\r\n"
    return head % (line, KEY.encode(), headers, len(body)) + body


def get(path: str, headers: bytes = b"", method: str = "GET") -> bytes:
    auth = b"Authorization: Bearer %b\r\n" % KEY.encode()
    return b"%b %b HTTP/1.1\r\nHost: gateway.test\r\n%b%b\r\n" % (
        method.encode(),
        path.encode(),
        auth,
        headers,
    )


USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}


def completion(content: str = "hello", **fields: Any) -> bytes:
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps(
        {"id": "x", "object": "chat.completion", "choices": [choice], "usage": USAGE} | fields
    ).encode()


def chunk(content: str = "a", finish: str | None = None, **fields: Any) -> bytes:
    choices = [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]
    return b"data: " + json.dumps({"id": "x", "choices": choices} | fields).encode()


LAST = chunk("", "stop", usage=USAGE)
DONE = b"data: [DONE]"


class Answer:
    """One HTTP answer as a client reads it."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.begun = self.complete = False

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key == name]
        assert len(found) <= 1, f"{name} is there {len(found)} times"
        return found[0] if found else None

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        body = self.json()
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "param", "code"}
        return body["error"]

    @property
    def events(self) -> list[str]:
        """The data of each event; a comment as it is."""
        whole = self.body.decode().split("\n\n")
        assert whole.pop() == "", f"half an event: {self.body[-100:]!r}"
        return [event.removeprefix("data: ") for event in whole]


def read_answer(data: bytes, closed: bool, *, bodiless: bool = False) -> tuple[Answer, bytes]:
    """The first answer in `data`, and what follows it."""
    answer = Answer()
    head, blank, rest = data.partition(b"\r\n\r\n")
    assert blank, f"half a head: {data!r}"
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status, _ = first.split(" ", 2)
    assert version == "HTTP/1.1"
    answer.status = int(status)
    answer.headers = [
        (name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)
    ]
    if bodiless or answer.status in (100, 204, 304):
        answer.complete = True
        return answer, rest
    length = answer.header("content-length")
    if answer.header("transfer-encoding") is not None:
        assert length is None, "two framings"
        return _read_chunked(answer, rest)
    if length is None:
        answer.body, answer.complete = rest, closed
        return answer, b""
    answer.body = rest[: int(length)]
    answer.complete = len(answer.body) == int(length)
    return answer, rest[int(length) :]


def _read_chunked(answer: Answer, rest: bytes) -> tuple[Answer, bytes]:
    while True:
        size, line_end, after = rest.partition(b"\r\n")
        if not line_end:
            return answer, b""
        length = int(size, 16)
        if length == 0:
            assert after.startswith(b"\r\n")
            answer.complete = True
            return answer, after[2:]
        assert after[length : length + 2] == b"\r\n", "a chunk without its end"
        answer.body += after[:length]
        rest = after[length + 2 :]


class Received:
    """A request as the upstream's server got it."""

    def __init__(self) -> None:
        self.target, self.method = "", ""
        self.headers: list[tuple[str, str]] = []
        self.body = b""

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key == name]
        assert len(found) <= 1, f"{name} is there {len(found)} times"
        return found[0] if found else None

    def json(self) -> Any:
        return json.loads(self.body)


def read_requests(data: bytes) -> list[Received]:
    """The requests in `data`, all of them whole."""
    found: list[Received] = []

    class Reader:
        def on_message_begin(self) -> None:
            found.append(Received())

        def on_url(self, url: bytes) -> None:
            found[-1].target += url.decode("latin-1")

        def on_header(self, name: bytes, value: bytes) -> None:
            found[-1].headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

        def on_body(self, body: bytes) -> None:
            found[-1].body += body

        def on_message_complete(self) -> None:
            found[-1].method = parser.get_method().decode()

    parser = httptools.HttpRequestParser(Reader())
    parser.feed_data(data)
    assert all(request.method for request in found), "half a request"
    return found
