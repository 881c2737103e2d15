"""OAuth 2.0 client credentials: an access token from the service's token endpoint (RFC 6749, section 4.4).

The endpoint is `/oauth/token` beside the API, on the host of the base URL, so the client's own connections
carry the request. The secret goes into the form (section 2.3.1), not into a header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec

from abyssal.client import defaults, faults
from abyssal.client.answer import Answer
from abyssal.client.credentials.fetching import Fetching, Token
from abyssal.client.request import Endpoint
from abyssal.client.settings import BaseUrl, Secret
from abyssal.wire.errors import ProtocolError

_API_PARTS = ("/v1", "/beta")  # at the end of a base URL; what is before them is where the service is mounted
_is_token = re.compile(r"[!-~]+").fullmatch  # RFC 6750 section 2.1 allows less, other services more


class _TokenAnswer(msgspec.Struct, frozen=True):
    """RFC 6749, section 5.1."""

    access_token: str
    token_type: str
    expires_in: float = defaults.TOKEN_LIFE


_token_answer = msgspec.json.Decoder(_TokenAnswer, strict=False)  # some services send expires_in as text


class ClientCredentials:
    """Keeps the `Credential` protocol."""

    def __init__(self, base: BaseUrl, client_id: str, client_secret: str) -> None:
        self.secret = Secret(client_secret)
        self.standing: Mapping[str, str] = {}
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        self._endpoint = Endpoint("POST", service_root(base), "/oauth/token", headers)
        self.fetching = Fetching(self._endpoint, Secret(urlencode(form)), self._read)

    def proof(self, endpoint: Endpoint, body: bytes, unix_ns: int) -> Mapping[str, str]:
        return self.fetching.fields

    def refused(self, proof: Mapping[str, str]) -> bool:
        self.fetching.refuse(proof)
        return True

    def _read(self, answer: Answer, unix_ns: int) -> Token:
        url = self._endpoint.url
        if not 200 <= answer.status < 300:
            raise faults.error_of_answer(
                answer.status,
                answer.headers,
                answer.content,
                url=url,
                secret=self.secret,
                unix_now=unix_ns / 1e9,
            )
        try:
            said = _token_answer.decode(answer.content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            # Not an excerpt of it: whatever its shape, it may hold a token.
            raise ProtocolError(f"What {url} answered is no access token: {error}.") from None
        if said.token_type.lower() != "bearer" or not _is_token(said.access_token) or not said.expires_in > 0:
            kind, life = said.token_type[:40], said.expires_in
            del said  # a traceback that shows variables must not show the token
            raise ProtocolError(
                f"{url} gave a token of type {kind!r} for {life:g} s that this client cannot use; "
                "it must be a bearer token of visible ASCII characters."
            )
        self.secret.hide_also(said.access_token)
        return Token.lasting(said.access_token, min(said.expires_in, defaults.TOKEN_LONGEST_LIFE), unix_ns)


def service_root(base: BaseUrl) -> BaseUrl:
    """Where the service is mounted: `base` without the part that names an API."""
    path = next((base.path.removesuffix(part) for part in _API_PARTS if base.path.endswith(part)), base.path)
    return msgspec.structs.replace(base, path=path)
