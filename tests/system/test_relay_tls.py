"""An upstream behind TLS: trusted by its authority, by its name, and not otherwise."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from abyssal.testing import Answer, RunningServer, ScriptedUpstream, WireResponse

from .calls import Gateway, body, chunks, text_of, upstream

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


class Authority:
    """A certificate authority of this test alone, in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir()
        self.certificate = directory / "ca.pem"
        extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
        self._openssl("req", "-x509", *_new_key(directory / "ca.key"), "-out", str(self.certificate),
                      "-days", "2", "-subj", "/CN=Test authority", *_each("-addext", extensions))  # fmt: skip

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key for `name`, such as ``IP:127.0.0.1``."""
        key, request, certificate, details = (
            self._directory / f"leaf.{kind}" for kind in ("key", "csr", "pem", "ext")
        )
        details.write_text(
            f"subjectAltName={name}\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n"
            "authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
        )
        self._openssl("req", *_new_key(key), "-out", str(request), "-subj", "/CN=leaf")
        self._openssl("x509", "-req", "-in", str(request), "-CA", str(self.certificate),
                      "-CAkey", str(self._directory / "ca.key"), "-CAcreateserial", "-days", "2",
                      "-extfile", str(details), "-out", str(certificate))  # fmt: skip
        return certificate, key

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _new_key(path: Path) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(path)]


def _each(option: str, values: list[str]) -> list[str]:
    return [part for value in values for part in (option, value)]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Models: `trusted`; `misnamed`, whose certificate is for another host; `unknown`, whose authority is."""
    directory = tmp_path_factory.mktemp("tls")
    ours, theirs = Authority(directory / "ours"), Authority(directory / "theirs")
    with ExitStack() as open_:

        def serving(authority: Authority, name: str) -> ScriptedUpstream:
            certificate, key = authority.issue(name)
            return open_.enter_context(ScriptedUpstream(certificate=certificate, key=key))

        trusted = serving(ours, "IP:127.0.0.1")
        misnamed = serving(ours, "DNS:elsewhere.example")
        unknown = serving(theirs, "IP:127.0.0.1")
        ca_file = str(ours.certificate)
        plain = open_.enter_context(ScriptedUpstream())
        config = (
            upstream("trusted", trusted.base_url, kind="deepseek", ca_file=ca_file)
            + upstream("misnamed", misnamed.base_url, kind="deepseek", ca_file=ca_file)
            + upstream("unknown", unknown.base_url, ca_file=ca_file)
            + upstream("plain", plain.base_url.replace("http://", "https://"), ca_file=ca_file)
        )
        server = open_.enter_context(RunningServer(config, directory / "data"))
        yield Gateway(server, trusted)
        for never in (misnamed, unknown, plain):
            assert not never.requests


def test_calls_and_streams_pass_through_tls(secured: Gateway) -> None:
    answer = secured.ask(body("trusted", "hello"))
    assert answer.json()["choices"][0]["message"]["content"] == "hello"
    secured.upstream.enqueue(Answer.chat_stream(["a", "b"], every=0.05))
    assert text_of(chunks(secured.ask(body("trusted", stream=True)).body)) == "ab"
    assert len({request.connection for request in secured.upstream.requests}) == 1
    large = "x" * 2_000_000
    assert secured.ask(body("trusted", large)).json()["choices"][0]["message"]["content"] == large


def test_a_client_that_leaves_closes_the_upstream_behind_tls(secured: Gateway) -> None:
    seen = len(secured.upstream.requests)
    secured.upstream.enqueue(Answer.silence())
    with secured.connect() as connection:
        connection.send(secured.request(body("trusted", stream=True)))
        request = secured.upstream.wait_requests(seen + 1)[-1]
    assert request.wait_closed(1.0)


def test_a_reset_behind_tls_is_an_error(secured: Gateway) -> None:
    secured.upstream.enqueue(Answer.chat("hello").reset(after_bytes=10))
    answer = secured.ask(body("trusted"))
    assert (answer.status, _code(answer)) == (502, "upstream_closed")


@pytest.mark.parametrize("model", ["misnamed", "unknown", "plain"])
def test_who_cannot_prove_his_name_is_told_nothing(secured: Gateway, model: str) -> None:
    answer = secured.ask(body(model, stream=True))
    assert (answer.status, _code(answer)) == (503, "upstream_unreachable")
    assert len(answer.json()["error"]["message"]) < 400


def _code(answer: WireResponse) -> object:
    return answer.json()["error"]["code"]
