"""Handshakes in memory: versions, replaced files, client certificates, and files that cannot be used."""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Authority

from abyssal.config import ServerConfig
from abyssal.gateway.front.tls import TlsContext, check_tls, open_tls
from abyssal.testing import ManualClock
from abyssal.wire.errors import ConfigurationError


class Secured:
    """A server's context over files that a test replaces, and clients that shake hands with it."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory / "ours")
        self.directory = directory
        self.certificate, self.key, self.clients = (directory / name for name in ("crt", "key", "clients"))
        self.replace(*self.authority.issue())
        self.clock = ManualClock()

    def replace(self, certificate: Path, key: Path) -> None:
        os.replace(certificate, self.certificate)
        os.replace(key, self.key)

    def settings(self, **more: Any) -> ServerConfig:
        return ServerConfig(tls_cert=str(self.certificate), tls_key=str(self.key), **more)

    def open(self, **more: Any) -> TlsContext:
        return TlsContext(self.settings(**more), self.clock)

    def client(
        self, *, newest: ssl.TLSVersion | None = None, own: tuple[Path, Path] | None = None
    ) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        context.maximum_version = newest or ssl.TLSVersion.MAXIMUM_SUPPORTED
        context.set_alpn_protocols(["h2", "http/1.1"])
        if own is not None:
            context.load_cert_chain(*own)
        return context


class Conversation:
    """A client and a server with nothing between them but memory; ssl.SSLError when they do not agree."""

    def __init__(
        self, tls: TlsContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> None:
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = tls.context.wrap_bio(up, down, server_side=True)
        self.client = client.wrap_bio(down, up, server_hostname="127.0.0.1", session=session)
        waiting = [self.client, self.server]
        for _ in range(10):
            for side in tuple(waiting):
                try:
                    side.do_handshake()
                    waiting.remove(side)
                except ssl.SSLWantReadError:
                    continue
            if not waiting:
                break
        assert not waiting
        assert self.says(self.server, self.client) == self.says(self.client, self.server) == b"hello"

    def says(self, one: ssl.SSLObject, other: ssl.SSLObject) -> bytes:
        one.write(b"hello")
        return other.read(5)

    @property
    def serial(self) -> object:
        """Of the certificate that the server showed."""
        return (self.client.getpeercert() or {})["serialNumber"]


@pytest.fixture
def secured(tmp_path: Path) -> Secured:
    return Secured(tmp_path)


def settle(tls: TlsContext) -> list[bool]:
    """Two looks, a second apart for a worker: the first sees a change, the second takes it."""
    return [tls.reload_if_changed(), tls.reload_if_changed()]


# Versions


def test_only_tls_1_3_unless_told_otherwise(secured: Secured) -> None:
    tls = secured.open()
    found = Conversation(tls, secured.client())
    assert (found.client.version(), found.client.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
    with pytest.raises(ssl.SSLError, match="PROTOCOL"):
        Conversation(tls, secured.client(newest=ssl.TLSVersion.TLSv1_2))


def test_tls_1_2_when_told_with_modern_ciphers_alone(secured: Secured) -> None:
    tls = secured.open(tls_min="1.2")
    assert Conversation(tls, secured.client()).client.version() == "TLSv1.3"
    old = secured.client(newest=ssl.TLSVersion.TLSv1_2)
    found = Conversation(tls, old)
    assert found.client.version() == "TLSv1.2"
    for ciphers in ("ECDHE+AESGCM", "ECDHE+CHACHA20"):
        old.set_ciphers(ciphers)
        Conversation(tls, old)
    for ciphers in ("AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA"):
        old.set_ciphers(ciphers)
        with pytest.raises(ssl.SSLError, match=r"NO_SHARED_CIPHER|HANDSHAKE_FAILURE"):
            Conversation(tls, old)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_nothing_older_than_tls_1_2(secured: Secured) -> None:
    old = secured.client(newest=ssl.TLSVersion.TLSv1_1)
    old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.raises(ssl.SSLError):
        Conversation(secured.open(tls_min="1.2"), old)


# Replaced while serving


def test_replaced_files_are_for_new_handshakes(secured: Secured, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tls = secured.open()
    before = Conversation(tls, secured.client())
    assert settle(tls) == [False, False]
    secured.replace(*secured.authority.issue())
    assert settle(tls) == [False, True]
    after = Conversation(tls, secured.client())
    assert before.serial != after.serial
    assert before.says(before.client, before.server) == b"hello"
    assert settle(tls) == [False, False]
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_files_behind_a_link_that_is_moved(secured: Secured) -> None:
    """As Kubernetes replaces secrets, and certbot certificates."""
    tls = secured.open()
    before = Conversation(tls, secured.client()).serial
    certificate, key = secured.authority.issue()
    for link, target in ((secured.certificate, certificate), (secured.key, key)):
        new = secured.directory / "new"
        new.symlink_to(target)
        new.replace(link)
    assert settle(tls) == [False, True]
    assert Conversation(tls, secured.client()).serial != before


def test_certificate_and_key_are_taken_together(secured: Secured, caplog: pytest.LogCaptureFixture) -> None:
    tls = secured.open()
    certificate, key = secured.authority.issue()
    os.replace(certificate, secured.certificate)
    assert tls.reload_if_changed() is False
    os.replace(key, secured.key)
    assert settle(tls) == [False, True]
    assert not caplog.records


@pytest.mark.parametrize("broken", ["another key", "no PEM", "missing"])
def test_broken_files_change_nothing_and_are_logged_once(
    secured: Secured, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    tls = secured.open()
    before = Conversation(tls, secured.client()).serial
    _, key = secured.authority.issue()
    if broken == "another key":
        os.replace(key, secured.key)
    elif broken == "no PEM":
        secured.key.write_text("no key")
    else:
        secured.key.unlink()
    assert settle(tls) + settle(tls) == [False] * 4
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert str(secured.key) in record.getMessage()
    assert Conversation(tls, secured.client()).serial == before
    secured.replace(*secured.authority.issue())
    assert settle(tls) == [False, True]
    assert Conversation(tls, secured.client()).serial != before


# Client certificates


def test_clients_show_a_certificate_of_their_authority(secured: Secured) -> None:
    theirs, strangers = Authority(secured.directory / "theirs"), Authority(secured.directory / "strangers")
    tls = secured.open(tls_client_ca=str(theirs.certificate))
    found = Conversation(tls, secured.client(own=theirs.issue("client.example")))
    subject = (found.server.getpeercert() or {})["subject"]
    assert subject == ((("commonName", "client.example"),),)
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN"):
        Conversation(tls, secured.client())
    # What the server's own authority issued, or the server itself, is no client's.
    for own in (strangers.issue(), secured.authority.issue(), (secured.certificate, secured.key)):
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            Conversation(tls, secured.client(own=own))


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_replaced_authorities_end_what_the_old_ones_vouched_for(
    secured: Secured, newest: ssl.TLSVersion
) -> None:
    old, new = Authority(secured.directory / "old"), Authority(secured.directory / "new")
    secured.clients.write_bytes(old.certificate.read_bytes())
    secured.clock = ManualClock(unix=os.stat(secured.clients).st_mtime + 3600)
    tls = secured.open(tls_client_ca=str(secured.clients), tls_min="1.2")
    veteran = secured.client(newest=newest, own=old.issue())
    session = Conversation(tls, veteran).client.session
    assert Conversation(tls, veteran, session).client.session_reused  # else the rest proves nothing
    os.replace(new.certificate, secured.clients)
    assert settle(tls) == [False, True]
    for resumed in (session, None):
        with pytest.raises(ssl.SSLError):
            Conversation(tls, veteran, resumed)
    Conversation(tls, secured.client(newest=newest, own=new.issue()))


def test_a_session_from_after_the_change_is_resumed(secured: Secured) -> None:
    old, new = Authority(secured.directory / "old"), Authority(secured.directory / "new")
    secured.clients.write_bytes(old.certificate.read_bytes())
    secured.clock = ManualClock(unix=os.stat(secured.clients).st_mtime - 3600)
    tls = secured.open(tls_client_ca=str(secured.clients))
    os.replace(new.certificate, secured.clients)
    assert settle(tls) == [False, True]
    client = secured.client(own=new.issue())
    assert Conversation(tls, client, Conversation(tls, client).client.session).client.session_reused


def test_a_replaced_certificate_ends_no_session(secured: Secured) -> None:
    tls = secured.open()
    client = secured.client()
    session = Conversation(tls, client).client.session
    secured.replace(*secured.authority.issue())
    assert settle(tls) == [False, True]
    assert Conversation(tls, client, session).client.session_reused


# Files that cannot be used


def test_without_a_certificate_there_is_no_tls() -> None:
    assert open_tls(ServerConfig(), ManualClock()) is None
    check_tls(ServerConfig())


def spoilt(secured: Secured, how: str) -> dict[str, str]:
    """Settings that replace the good ones; the name of the spoilt one comes first."""
    nothing, missing = secured.directory / "nothing", secured.directory / "missing"
    nothing.write_text("no PEM")
    broken = secured.directory / "broken"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    other = secured.authority.issue()
    match how:
        case "certificate missing":
            return {"tls_cert": str(missing)}
        case "certificate is a directory":
            return {"tls_cert": str(secured.directory)}
        case "certificate not PEM":
            return {"tls_cert": str(nothing)}
        case "certificate broken":
            return {"tls_cert": str(broken)}
        case "certificate is the key":
            return {"tls_cert": str(secured.key)}
        case "key missing":
            return {"tls_key": str(missing)}
        case "key not PEM":
            return {"tls_key": str(nothing)}
        case "key is the certificate":
            return {"tls_key": str(secured.certificate)}
        case "key of another":
            return {"tls_key": str(other[1])}
        case "key encrypted":
            certificate, key = secured.authority.issue(password="secret")
            return {"tls_key": str(key), "tls_cert": str(certificate)}
        case "authorities missing":
            return {"tls_client_ca": str(missing)}
        case _:
            return {"tls_client_ca": str(nothing)}


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("certificate missing", "cannot be read"),
        ("certificate is a directory", "cannot be read"),
        ("certificate not PEM", "no certificate"),
        ("certificate broken", "no certificate"),
        ("certificate is the key", "no certificate"),
        ("key missing", "cannot be read"),
        ("key not PEM", "private key"),
        ("key is the certificate", "private key"),
        ("key of another", "not the key of the first certificate"),
        ("key encrypted", "openssl pkey"),
        ("authorities missing", "cannot be read"),
        ("authorities not PEM", "no certificate"),
    ],
)
def test_one_sentence_names_the_file_and_what_to_do(secured: Secured, how: str, says: str) -> None:
    settings = spoilt(secured, how)
    given = {"tls_cert": str(secured.certificate), "tls_key": str(secured.key), **settings}
    name, file = next(iter(settings.items()))
    for use in (lambda server: open_tls(server, secured.clock), check_tls):
        with pytest.raises(ConfigurationError) as refusal:
            use(ServerConfig(**given))
        assert refusal.value.message.startswith(f"server.{name}: {file} ")
        assert says in refusal.value.message
        assert "\n" not in refusal.value.message


def test_certificate_and_key_in_one_file(secured: Secured) -> None:
    both = secured.directory / "both.pem"
    both.write_bytes(secured.certificate.read_bytes() + secured.key.read_bytes())
    both.chmod(0o600)
    tls = open_tls(ServerConfig(tls_cert=str(both), tls_key=str(both)), secured.clock)
    assert tls is not None
    Conversation(tls, secured.client())


@pytest.mark.parametrize(("mode", "warns"), [(0o600, False), (0o640, False), (0o604, True), (0o644, True)])
def test_a_key_that_everybody_can_read_is_warned_of(
    secured: Secured, caplog: pytest.LogCaptureFixture, mode: int, warns: bool
) -> None:
    secured.key.chmod(mode)
    check_tls(secured.settings())
    assert [str(secured.key) in record.getMessage() for record in caplog.records] == [True] * warns
