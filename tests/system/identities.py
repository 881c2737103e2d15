"""Credentials of every kind on a running server, made through its management routes; and signing with them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from itertools import count
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from abyssal.clock import SystemClock
from abyssal.testing import RawConnection, RunningServer, WireResponse

_numbers = count(1)


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def jwt(claims: Mapping[str, Any] | str, secret: bytes, header: Mapping[str, Any] | None = None) -> str:
    """An HS256 JWT, whatever `header` says it is."""
    head = b64url(json.dumps(header or {"alg": "HS256", "typ": "JWT"}).encode())
    body = b64url((claims if isinstance(claims, str) else json.dumps(claims)).encode())
    return f"{head}.{body}.{b64url(hmac.digest(secret, f'{head}.{body}'.encode(), 'sha256'))}"


def unix_now() -> int:
    """Seconds since 1970: a real server is asked, so its machine's clock counts."""
    return SystemClock().unix_ns() // 10**9


class Identities:
    """What there is on a server; `made` answers are the routes' objects."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.call = ("POST", "/v1/chat/completions", b"")  # what is to be signed: method, target, body
        self.client = self.create("clients")
        self.signing = self.create("signing-keys")
        self.private = Ed25519PrivateKey.generate()
        public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = self.create("public-keys", public_key=base64.b64encode(public).decode())

    # --- the management routes ----------------------------------------------------------------------------

    def manage(self, method: str, path: str, body: Any = None, *, key: str = "") -> WireResponse:
        content = b"" if body is None else json.dumps(body).encode()
        headers = {
            "Authorization": f"Bearer {key or self.server.api_key}",
            "Content-Type": "application/json",
        }
        return self.send(method, f"/v1/platform/{path}", headers, content)

    def create(self, kind: str, **fields: Any) -> dict[str, Any]:
        """A new credential, project, ..., as its route gives it."""
        answer = self.manage("POST", kind, {"name": f"test {next(_numbers)}"} | fields)
        assert answer.status in (200, 201), answer.body
        return answer.json()

    # --- requests -------------------------------------------------------------------------------------------

    def send(
        self, method: str, target: str, headers: Mapping[str, str], content: bytes = b"", *, source: str = ""
    ) -> WireResponse:
        """One request on a connection of its own."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}", f"Content-Length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        with RawConnection(self.server.url, timeout=10.0) as connection:
            connection.send("\r\n".join([*lines, "", ""]).encode("latin-1") + content)
            return connection.read_response()

    @property
    def host(self) -> str:
        return self.server.url.partition("://")[2]

    def token(self, **fields: str) -> str:
        """An access token of the client."""
        form = {"grant_type": "client_credentials", "client_id": self.client["id"]}
        form |= {"client_secret": self.client["secret"]} | fields
        answer = self.form("/oauth/token", form)
        assert answer.status == 200, answer.body
        return answer.json()["access_token"]

    def form(self, path: str, fields: Mapping[str, str]) -> WireResponse:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.send("POST", path, headers, urlencode(fields).encode())

    def claims(self, **fields: Any) -> dict[str, Any]:
        """A good JWT's claims, but for `fields`; those that are None are left out."""
        now = unix_now()
        claims = {"iss": self.client["id"], "iat": now, "exp": now + 600} | fields
        return {name: value for name, value in claims.items() if value is not None}

    def signed(
        self, method: str, target: str, content: bytes = b"", *, at: int | None = None, nonce: str = ""
    ) -> dict[str, str]:
        """The headers of a signed request."""
        moment = str(unix_now() if at is None else at)
        nonce = nonce or f"nonce-{next(_numbers)}-{time.monotonic_ns()}"
        text = b"\n".join([method.encode(), target.encode(), content, moment.encode(), nonce.encode()])
        signature = hmac.digest(self.signing["secret"].encode(), text, "sha256")
        return {
            "X-Api-Key": self.signing["id"],
            "X-Api-Timestamp": moment,
            "X-Api-Nonce": nonce,
            "X-Api-Signature": base64.b64encode(signature).decode(),
        }

    def message_signed(
        self,
        method: str,
        target: str,
        content: bytes = b"",
        *,
        key: str = "ed25519",
        at: int | None = None,
        params: str | None = None,
        covered: str = "",
        nonce: str = "",
    ) -> dict[str, str]:
        """The headers of RFC 9421; `key` is ed25519 or hmac."""
        key_id = (self.public if key == "ed25519" else self.signing)["id"]
        parts = covered or '"@method" "@target-uri"' + (' "content-digest"' if content else "")
        if params is None:
            moment = unix_now() if at is None else at
            nonce = nonce or f"n{next(_numbers)}-{time.monotonic_ns()}"
            params = f';created={moment};nonce="{nonce}";keyid="{key_id}"'
        digest = f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
        values = {
            '"@method"': method,
            '"@target-uri"': f"http://{self.host}{target}",
            '"content-digest"': digest,
        }
        base = "".join(f"{part}: {values[part]}\n" for part in parts.split())
        base += f'"@signature-params": ({parts}){params}'
        if key == "ed25519":
            signature = self.private.sign(base.encode())
        else:
            signature = hmac.digest(self.signing["secret"].encode(), base.encode(), "sha256")
        headers = {"Content-Digest": digest} if content else {}
        return headers | {
            "Signature-Input": f"sig=({parts}){params}",
            "Signature": f"sig=:{base64.b64encode(signature).decode()}:",
        }
