"""One operation of the contract: a method on a path, what it takes, what it answers, one example.

1. A type says what a body is: the one that decodes the request, or the one that the answer is written from.
2. The example is a request that works. Its line for curl and its line for Python are what the pages show and
   what a test runs.
"""

from __future__ import annotations

import json
from typing import Any, Literal, cast

import msgspec

from abyssal.wire.errors import ErrorBody

JSON = "application/json"
EVENTS = "text/event-stream"
FORM = "application/x-www-form-urlencoded"
PROTOBUF = "application/x-protobuf"

Where = Literal["path", "query", "header"]


class Body(msgspec.Struct, frozen=True):
    """A body of one media type. `schema` is a type, or None for bytes and text; of a stream, its events'."""

    media: str
    schema: Any = None
    says: str = ""


class Answer(msgspec.Struct, frozen=True):
    """An answer that is no error. Several bodies: the request chooses."""

    says: str
    bodies: tuple[Body, ...] = ()
    status: int = 200


class Parameter(msgspec.Struct, frozen=True):
    """A parameter outside of the body. `schema` is a type."""

    name: str
    where: Where
    says: str
    schema: Any = str
    required: bool = False


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table.

    `scope`: what the credential needs; "" for any credential, None where none is asked for. `errors` are the
    statuses beside those that every operation of its kind can answer with. `example` is a body; `curl` and
    `python` are for lines that do not follow from it. `$NAME` in a path, and in `curl`, is a variable of the
    shell; in `python` it is the variable `name`.
    """

    id: str
    method: str
    path: str
    tag: str
    summary: str
    answers: tuple[Answer, ...]
    says: str = ""
    scope: str | None = None
    bodies: tuple[Body, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    errors: tuple[int, ...] = ()
    error: Any = ErrorBody
    example: Any = None
    query: str = ""
    curl: str = ""
    python: str = ""
    names: tuple[tuple[str, str], ...] = ()

    @property
    def curl_line(self) -> str:
        """The example as a command of a POSIX shell. Reads the variables BASE and KEY."""
        if self.curl:
            return self.curl
        line = f'curl -sS "$BASE{self._path(shell=True)}"'
        if self.method not in ("GET", "POST"):
            line += f" -X {self.method}"
        if self.scope is not None:
            line += ' -H "Authorization: Bearer $KEY"'
        if self.example is not None:
            said = written(self.example)
            line += f" --json '{said}'" if "$" not in said else f' --json "{_quoted(said)}"'
        return line

    @property
    def python_line(self) -> str:
        """The example with the SDK; `client` is a client of the platform."""
        if self.python:
            return self.python
        path = self._path(shell=False)
        quoted = f'f"{path}"' if "{" in path else f'"{path}"'
        body = "" if self.example is None else f", json={python_value(self.example)}"
        return f'client.request("{self.method}", {quoted}{body}).json()'

    def _path(self, *, shell: bool) -> str:
        path = self.path
        for parameter, name in self.names:
            path = path.replace(f"{{{parameter}}}", f"${name}" if shell else f"{{{name.lower()}}}")
        return path + self.query


def written(example: Any) -> str:
    """A body as JSON on one line."""
    return json.dumps(example, ensure_ascii=False)


def python_value(value: Any) -> str:
    """A JSON value as a Python expression; a string that is `$NAME` becomes the variable `name`."""
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value)
        return "{" + ", ".join(f"{_text(name)}: {python_value(item)}" for name, item in pairs.items()) + "}"
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return "[" + ", ".join(map(python_value, items)) + "]"
    if isinstance(value, str):
        return value[1:].lower() if value.startswith("$") else _text(value)
    return repr(value)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _quoted(said: str) -> str:
    """JSON text between double quotes of a shell."""
    return said.replace("\\", "\\\\").replace('"', '\\"')
