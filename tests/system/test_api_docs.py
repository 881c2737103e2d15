"""Each example of docs/api.md runs as it stands there, for curl and for Python, and what is answered is what the contract says.

A server with its defaults and the embedded engine answers. Objects that an example names are made for it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.documented import ALIKE, blocks, check_answer, has_lines_of_its_own, lines_on_the_page
from tests.services.debian import program
from tests.system.identities import Identities

from abyssal import DeepSeekClient
from abyssal.contract.operation import EVENTS, Operation
from abyssal.contract.operations import OPERATIONS
from abyssal.testing import RunningServer

_numbers = count(1)


class Platform:
    """A server, and what examples need of it."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.identities = Identities(server)
        self._makers: dict[str, Callable[[], str]] = {
            "MODEL": lambda: "deepseek-chat",
            "EMAIL": lambda: f"person{next(_numbers)}@example.com",
            "ORGANIZATION_ID": lambda: self._made("organizations"),
            "PROJECT_ID": lambda: self._made("projects"),
            "MEMBER_ID": lambda: self._made(
                "members", email=f"person{next(_numbers)}@example.com", role="member"
            ),
            "KEY_ID": lambda: self._made("keys"),
            "SIGNING_KEY_ID": lambda: self._made("signing-keys"),
            "FILE_ID": self._file,
            "PUBLIC_KEY": _public_key,
            "PUBLIC_KEY_ID": lambda: self._made("public-keys", public_key=_public_key()),
            "TOKEN": self.identities.token,
            "CONVERSATION_ID": self._conversation,
        }

    def variables(self, line: str) -> dict[str, str]:
        """The variables that a line for curl names."""
        found = {"BASE": self.server.url, "KEY": self.server.api_key}
        names = set(re.findall(r"\$([A-Z_]+)", line)) - set(found)
        if "CLIENT_SECRET" in names:  # the one whose token there is
            names -= {"CLIENT_ID", "CLIENT_SECRET"}
            client = self.identities.client
            found |= {"CLIENT_ID": client["id"], "CLIENT_SECRET": client["secret"]}
        elif "CLIENT_ID" in names:
            names.remove("CLIENT_ID")
            found["CLIENT_ID"] = self._made("clients")
        return found | {name: self._makers[name]() for name in names}

    def _file(self) -> str:
        with DeepSeekClient(self.server.api_key, base_url=self.server.base_url) as client:
            return client.files.create(file=b"Hello.", filename="hello.txt").id

    def _made(self, kind: str, **fields: Any) -> str:
        return self.identities.create(kind, **fields)["id"]

    def _conversation(self) -> str:
        headers = {"Authorization": f"Bearer {self.server.api_key}"}
        return json.loads(self.identities.send("POST", "/v1/conversations", headers, b"").body)["id"]


def _public_key() -> str:
    public = Ed25519PrivateKey.generate().public_key()
    return base64.b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    program("curl", "curl")
    with RunningServer(None, tmp_path_factory.mktemp("api-docs"), grace=0) as server:
        yield Platform(server)
        assert "Traceback" not in server.log()


def run(line: str, variables: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
    """Run a line for curl: the answer's status, headers and body."""
    assert line.startswith("curl ")
    environ = {**variables, "PATH": os.environ["PATH"]}
    command = ["bash", "-euo", "pipefail", "-c", line.replace("curl ", "curl -D /dev/stderr ", 1)]
    done = subprocess.run(command, env=environ, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    first, *lines = done.stderr.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split(" ")[1]), headers, done.stdout


def shown_line(operation: Operation, language: str) -> str:
    """The line of the page that the operation's line is, or is like."""
    line = operation.curl_line if language == "sh" else operation.python_line
    if has_lines_of_its_own(operation):
        return line
    kind = ALIKE.match(operation.path)
    assert kind is not None
    one = kind[1].removesuffix("s").replace("-", "_") + "_id"
    return line.replace(kind[1], "keys").replace(one, "key_id").replace(one.upper(), "KEY_ID")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_the_line_for_curl(platform: Platform, operation: Operation) -> None:
    assert shown_line(operation, "sh") in lines_on_the_page("sh")
    status, headers, body = run(operation.curl_line, platform.variables(operation.curl_line))
    assert status in {answer.status for answer in operation.answers}, body
    check_answer(operation, status, headers, b"" if status == 101 else body)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_the_line_for_python(
    platform: Platform,
    operation: Operation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert shown_line(operation, "python") in lines_on_the_page("python")
    variables = platform.variables(operation.curl_line)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    beginning = next(block for block in blocks("python") if "import " in block)
    names: dict[str, Any] = {}
    exec(beginning, names)
    names |= {name.lower(): value for name, value in variables.items()}
    with names["client"]:
        if operation.python_line.startswith("with "):
            exec(operation.python_line, names)
            assert '"finish_reason"' in capsys.readouterr().out.replace("'", '"')
        else:
            answer = eval(operation.python_line, names)
            assert answer is not None


LONGER = [block for block in blocks("python") if "import " in block][1:]


@pytest.mark.parametrize("example", LONGER)
def test_a_longer_example_runs_too(platform: Platform, monkeypatch: pytest.MonkeyPatch, example: str) -> None:
    beginning = next(block for block in blocks("python") if "import " in block)
    for name, value in platform.variables("").items():
        monkeypatch.setenv(name, value)
    names: dict[str, Any] = {}
    exec(beginning + example, names)
    names["client"].close()


STREAMED = [
    operation
    for operation in OPERATIONS
    if operation.example is not None
    and any(body.media == EVENTS for answer in operation.answers for body in answer.bodies)
]


@pytest.mark.parametrize("operation", STREAMED, ids=lambda operation: operation.id)
def test_the_same_streamed(platform: Platform, operation: Operation) -> None:
    line = operation.curl_line.replace("--json '{", '--json \'{"stream": true, ')
    assert line != operation.curl_line
    status, headers, body = run(line, platform.variables(line))
    assert (status, headers["content-type"].partition(";")[0]) == (200, EVENTS)
    assert body.count(b"data: ") > 2
    check_answer(operation, status, headers, body)


def test_vectors_in_base64_are_in_the_contract_too(platform: Platform) -> None:
    (operation,) = (item for item in OPERATIONS if item.id == "createEmbeddings")
    line = operation.curl_line.replace("--json '{", '--json \'{"encoding_format": "base64", ')
    status, headers, body = run(line, platform.variables(line))
    assert isinstance(json.loads(body)["data"][0]["embedding"], str)
    check_answer(operation, status, headers, body)
