"""Each example of docs/identity.md runs as it stands there, against a server that has nothing but its defaults."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.services.debian import program
from tests.system.identities import Identities

from abyssal.testing import RunningServer

PAGE = (Path(__file__).parents[2] / "docs" / "identity.md").read_text()
WAYS = PAGE.partition("## Ways in")[2].partition("\n## ")[0]


def examples() -> dict[str, tuple[str, str]]:
    """By heading and number: the language and the text."""
    found: dict[str, tuple[str, str]] = {}
    for section in WAYS.split("\n### ")[1:]:
        heading = section.partition("\n")[0]
        for number, (language, text) in enumerate(re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL), 1):
            found[f"{heading} {number}, {language}"] = (language, text)
    return found


EXAMPLES = examples()


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    data = tmp_path_factory.mktemp("identity-docs")
    with RunningServer(None, data, grace=0) as server:
        ours = Identities(server)
        private = data / "robot.pem"
        private.write_bytes(ours.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        yield {
            "BASE": server.url,
            "KEY": server.api_key,
            "CLIENT_ID": ours.client["id"],
            "CLIENT_SECRET": ours.client["secret"],
            "SIGNING_ID": ours.signing["id"],
            "SIGNING_SECRET": ours.signing["secret"],
            "PUBLIC_ID": ours.public["id"],
            "PRIVATE_KEY": str(private),
            "PATH": os.environ["PATH"],
        }


def test_there_are_two_examples_for_each_way() -> None:
    assert len(EXAMPLES) == 10
    assert sorted(language for language, _ in EXAMPLES.values()) == ["python"] * 5 + ["sh"] * 5


@pytest.mark.parametrize("example", EXAMPLES)
def test_example(environ: dict[str, str], example: str) -> None:
    language, text = EXAMPLES[example]
    if language == "sh":
        program("curl", "curl")
        program("openssl", "openssl")
        command = ["bash", "-euo", "pipefail", "-c", text]
    else:
        command = [sys.executable, "-W", "error", "-c", text]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    if language == "sh":
        answers = [json.loads(found) for found in re.findall(r"\{.*?\}(?=\{|$|\n)", done.stdout, re.DOTALL)]
        assert answers, done.stdout
        assert not any("error" in answer for answer in answers), done.stdout
    else:
        assert done.stdout.strip()
