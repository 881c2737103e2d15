"""TLS before the front: certificate, key and client authorities as files, loaded anew when they change.

1. The context that a server listens with stays the same for its whole life. Each handshake is given the
   newest one, built whole beside it: no handshake sees half a change, and open connections go on.
2. A change is taken when the files have stood still from one look to the next, so that a certificate and a
   key that are replaced one after the other are taken together.
3. Files that cannot be used are logged once, and what was in force stays. At the start they are an error.
4. When the client authorities changed, a session from before is not resumed: resuming asks for no
   certificate (RFC 8446 §4.6.1), and the old authorities would go on being trusted.
5. Who is refused is told why: the alert (RFC 8446 §6.2) is sent before the connection ends. Whoever speaks
   something else than TLS is told nothing.
"""

from __future__ import annotations

import logging
import os
import ssl

from abyssal.clock import Clock
from abyssal.config import ServerConfig
from abyssal.wire.errors import ConfigurationError

_log = logging.getLogger("abyssal.gateway")

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_TLS12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # forward secrecy and AEAD alone (RFC 9325 §4.2)
_TOLD = frozenset(  # OpenSSL's reasons that its alert explains to a client
    (
        "UNSUPPORTED_PROTOCOL",
        "NO_SHARED_CIPHER",
        "PEER_DID_NOT_RETURN_A_CERTIFICATE",
        "CERTIFICATE_VERIFY_FAILED",
        "CALLBACK_FAILED",
    )
)
_FOR_OTHERS = 0o007  # a key's mode that lets every user of the machine at it

_Look = tuple[tuple[int, int, int] | None, ...]


class TlsContext:
    """What a server hands to `create_server(ssl=...)`: its `context`."""

    def __init__(self, server: ServerConfig, clock: Clock) -> None:
        """Load the files that `server` names. Raises ConfigurationError with the file and what to do."""
        self._server = server
        self._clock = clock
        self._judged = self._seen = self._look()
        self._resumable_after = 0  # seconds since 1970
        self.context = self._newest = _load(server)
        self.context.sni_callback = self._choose  # called in every handshake, named host or not

    def reload_if_changed(self) -> bool:
        """Take changed files for new handshakes; whether it did. To be called about once a second."""
        before, self._seen = self._seen, self._look()
        if self._seen == self._judged or self._seen != before:
            return False
        authorities_changed = self._seen[2:] != self._judged[2:]
        self._judged = self._seen
        try:
            self._newest = _load(self._server)
        except ConfigurationError as error:
            _log.error("the TLS files changed and cannot be used, those before stay: %s", error.message)
            return False
        if authorities_changed:
            self._resumable_after = self._clock.unix_ns() // 1_000_000_000
        _log.info("new handshakes use the changed files: %s", self._server.tls_cert)
        return True

    def _look(self) -> _Look:
        server = self._server
        files = [server.tls_cert, server.tls_key, *([server.tls_client_ca] if server.tls_client_ca else [])]
        return tuple(_stamp(file) for file in files)

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        """Give a handshake the newest context, or the alert that ends it."""
        if self._resumable_after and connection.session_reused:
            session = connection.session
            if session is None or session.time <= self._resumable_after:
                return ssl.ALERT_DESCRIPTION_CERTIFICATE_UNKNOWN
        connection.context = self._newest
        return None


class _Connection(ssl.SSLObject):
    """The server's side. Event loops drop what a failed handshake left to be sent, the alert with it.

    So the first failure says that more is to be read, and they send what there is first. The client, which
    knows now, closes; if it goes on, or for as long as a handshake may take, it is refused then.
    """

    _refusal: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._refusal is not None:
            raise self._refusal
        try:
            super().do_handshake()
        except ssl.SSLError as error:
            if error.reason not in _TOLD:
                raise
            self._refusal = error
            raise ssl.SSLWantReadError from None


def open_tls(server: ServerConfig, clock: Clock) -> TlsContext | None:
    """The TLS that `server` asks for, None for plain HTTP.

    Raises ConfigurationError when a file is missing, is not PEM, or the key is another certificate's.
    """
    return TlsContext(server, clock) if server.tls_cert else None


def check_tls(server: ServerConfig) -> None:
    """What `open_tls` would raise, before any process is started for it; a key open to others is logged."""
    if not server.tls_cert:
        return
    _load(server)
    mode = os.stat(server.tls_key).st_mode & 0o777
    if mode & _FOR_OTHERS:
        _log.warning(
            "%s: every user of this machine can reach the TLS key (mode %o); run chmod 640 on it",
            server.tls_key,
            mode,
        )


def _stamp(file: str) -> tuple[int, int, int] | None:
    """What is different when the file, or the link to it, is replaced or written; None without it."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _load(server: ServerConfig) -> ssl.SSLContext:
    """A context of what the files hold now."""
    certificate, key, authorities = server.tls_cert, server.tls_key, server.tls_client_ca
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = _Connection
    context.minimum_version = _VERSIONS[server.tls_min]
    context.set_ciphers(_TLS12_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    # Its certificates go into a context of their own: those that the server shows are no authorities.
    _load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, "server.tls_cert")
    _load_pair(context, certificate, key)
    if authorities:
        _load_authorities(context, authorities, "server.tls_client_ca")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load_authorities(context: ssl.SSLContext, file: str, where: str) -> None:
    _check_readable(file, where)
    try:
        context.load_verify_locations(cafile=file)
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"{where}: {file} holds no certificate ({_reason(error)}); name a PEM file with one"
        ) from None


def _load_pair(context: ssl.SSLContext, certificate: str, key: str) -> None:
    _check_readable(key, "server.tls_key")
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except _EncryptedKeyError:
        raise ConfigurationError(
            f"server.tls_key: {key} is encrypted, and nobody is there to type its password; decrypt it with "
            "openssl pkey, and keep the file private"
        ) from None
    except ssl.SSLError as error:
        reason = _reason(error)
        if "MISMATCH" in reason:
            raise ConfigurationError(
                f"server.tls_key: {key} is not the key of the first certificate in {certificate}; name the "
                "key it was made with, and put the server's own certificate before its authorities'"
            ) from None
        raise ConfigurationError(
            f"server.tls_key: {key} and {certificate} cannot be used ({reason}); name a PEM file with the "
            "certificate's private key"
        ) from None


class _EncryptedKeyError(Exception):
    """OpenSSL asked for a password."""


def _no_password() -> str:
    raise _EncryptedKeyError


def _check_readable(file: str, where: str) -> None:
    """OpenSSL says that a file cannot be read, but not which."""
    try:
        with open(file, "rb") as opened:
            opened.read(1)
    except OSError as error:
        raise ConfigurationError(
            f"{where}: {file} cannot be read ({error.strerror}); name a PEM file that this user may read"
        ) from None


def _reason(error: ssl.SSLError) -> str:
    return error.reason or error.strerror or str(error)
