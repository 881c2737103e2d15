"""Who calls in the rows about identity: credentials as a worker gets them, and the requests they send."""

from __future__ import annotations

import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import ECKey

from abyssal.gateway.auth.directory import Directory
from abyssal.platform.oauth.tokens import AccessToken, new_jti, sign_token
from abyssal.stores.api_keys import digest_of, new_key
from abyssal.stores.rights import BITS
from abyssal.stores.snapshot import (
    CredentialRecord,
    Entry,
    ProjectRecord,
    SecretRecord,
    Snapshot,
    TokenKey,
    encode_record,
)
from abyssal.wire.message_signatures import Message, content_digest, signature_fields
from abyssal.wire.signing import signed_headers
from bench.load import payloads

ISSUER = "https://platform.example"
WAYS = ("api_key", "access_token", "self_issued", "signed_request", "message_hmac", "message_ed25519")
EACH = 200  # credentials of each kind; requests take turns over them
LIFE = 3600  # seconds of a token
_HOST = "127.0.0.1"
_COVERED = ("@method", "@target-uri", "content-digest")

Fields = dict[str, str]
Requests = Iterator[bytes]


class People:
    """A directory, and for each of WAYS an endless row of requests, as bytes of HTTP/1.1."""

    def __init__(self) -> None:
        self.directory = Directory()
        self._body = payloads.request_body(stream=False)
        self._hash_key = secrets.token_bytes(32)
        self._token_key = ECKey.generate_key("P-256")
        public = TokenKey("tk_bench", self._token_key.as_pem(private=False))
        project = ProjectRecord("proj_bench", "org_bench", BITS["chat"], None, (), True)
        self.directory.take(
            Snapshot(1, whole=True, projects=(project,), hash_key=self._hash_key, token_keys=(public,))
        )

    def api_key(self) -> Requests:
        """`Authorization: Bearer sk-...`."""
        keys = [new_key() for _ in range(EACH)]
        for number, key in enumerate(keys):
            self._publish(f"key_{number:020}", "api_key", lookup=digest_of(key.encode(), self._hash_key))
        return self._endless([{"authorization": f"Bearer {key}"} for key in keys])

    def access_token(self) -> Requests:
        """Tokens of the platform's own, one for each client, sent again and again."""
        now, tokens = int(time.time_ns() // 10**9), list[str]()
        for client in self._clients():
            token = AccessToken(new_jti(), client[0], "chat", now, now + LIFE)
            tokens.append(sign_token(token, issuer=ISSUER, kid="tk_bench", key=self._token_key))
        return self._endless([{"authorization": f"Bearer {token}"} for token in tokens])

    def self_issued(self) -> Requests:
        """Tokens that clients signed themselves, one for each, sent again and again."""
        now, tokens = int(time.time_ns() // 10**9), list[str]()
        for client, secret in self._clients():
            parts = ({"alg": "HS256", "typ": "JWT"}, {"iss": client, "iat": now, "exp": now + LIFE})
            signed = b".".join(_base64url(msgspec.json.encode(part)) for part in parts)
            signature = _base64url(hmac.digest(secret.encode(), signed, "sha256"))
            tokens.append(f"{signed.decode()}.{signature.decode()}")
        return self._endless([{"authorization": f"Bearer {token}"} for token in tokens])

    def signed_request(self) -> Requests:
        """`X-Api-Signature` and its companions, each request with a nonce of its own."""
        for key_id, secret in cycle(self._signing_keys()):
            fields = signed_headers(
                key_id,
                secret,
                method="POST",
                target=payloads.PATH,
                body=self._body,
                timestamp=time.time_ns() // 10**9,
                nonce=secrets.token_urlsafe(16),
            )
            yield self._request(fields)

    def message_hmac(self) -> Requests:
        """RFC 9421 with hmac-sha256, each request with a nonce of its own."""

        def signer(secret: str) -> Callable[[bytes], bytes]:
            return lambda base: hmac.digest(secret.encode(), base, "sha256")

        return self._messages([(key_id, signer(secret)) for key_id, secret in self._signing_keys()])

    def message_ed25519(self) -> Requests:
        """RFC 9421 with ed25519, each request with a nonce of its own."""
        signers: list[tuple[str, Callable[[bytes], bytes]]] = []
        for number in range(EACH):
            key = Ed25519PrivateKey.generate()
            key_id = f"pub_{number:020}"
            self._publish(key_id, "public_key", key.public_key().public_bytes_raw())
            signers.append((key_id, key.sign))
        return self._messages(signers)

    def _clients(self) -> list[tuple[str, str]]:
        return self._with_secrets("client_", "client", "cs_")

    def _signing_keys(self) -> list[tuple[str, str]]:
        return self._with_secrets("sig_", "signing_key", "ss_")

    def _with_secrets(self, prefix: str, kind: str, secret_prefix: str) -> list[tuple[str, str]]:
        made: list[tuple[str, str]] = []
        for number in range(EACH):
            secret = secret_prefix + secrets.token_urlsafe(32)
            made.append((f"{prefix}{number:020}", secret))
            self._publish(made[-1][0], kind, secret.encode())
        return made

    def _publish(self, name: str, kind: str, *materials: bytes, lookup: bytes = b"") -> None:
        proofs = tuple(SecretRecord(material, 0) for material in materials)
        record = CredentialRecord(name, kind, "proj_bench", "", BITS["chat"], None, None, 0, proofs)
        entry = Entry(lookup or name.encode(), encode_record(record))
        self.directory.take(Snapshot(self.directory.version + 1, entries=(entry,)))

    def _endless(self, alike: list[Fields]) -> Requests:
        return cycle([self._request(fields) for fields in alike])

    def _messages(self, signers: list[tuple[str, Callable[[bytes], bytes]]]) -> Requests:
        for key_id, sign in cycle(signers):
            digest = content_digest(self._body)
            parameters: dict[str, Any] = {
                "created": time.time_ns() // 10**9,
                "nonce": secrets.token_urlsafe(16),
                "keyid": key_id,
            }
            message = Message(
                b"POST",
                b"http",
                _HOST.encode(),
                payloads.PATH.encode(),
                {b"content-digest": digest.encode()}.get,
            )
            fields = signature_fields(message, sign, _COVERED, parameters)
            yield self._request({"Content-Digest": digest, **fields})

    def _request(self, fields: Fields) -> bytes:
        lines = {
            "Host": _HOST,
            "User-Agent": "bench",
            "Accept": "*/*",
            "Content-Type": "application/json",
            **fields,
            "Content-Length": str(len(self._body)),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"POST {payloads.PATH} HTTP/1.1\r\n{head}\r\n".encode() + self._body


def _base64url(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
