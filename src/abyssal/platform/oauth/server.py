"""The authorization server: what each endpoint decides. Plain calls on the thread that SQL is on; no HTTP.

1. Every call of a client is looked at in this order: the brake, the form, the client, the rest. A client that
   is not proven never learns anything about tokens.
2. A token carries the scopes that were asked for, all that the client has without a question; never more than
   client, project and organisation all have. It ends with the client at the latest.
3. A client may end its own tokens, and ask about those of its own organisation. About any other it is told
   what it would be told about no token at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from abyssal.platform.oauth.clients import Clients, why_ended
from abyssal.platform.oauth.errors import (
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    TooManyAttemptsError,
    UnsupportedGrantTypeError,
)
from abyssal.platform.oauth.form import client_of
from abyssal.platform.oauth.token_keys import KeyRing, make_first_key, public_jwk, signing_key
from abyssal.platform.oauth.tokens import AccessToken, new_jti, read_token, sign_token
from abyssal.platform.plane import ControlPlane
from abyssal.stores.brake import Attempts
from abyssal.stores.rights import BITS, scopes_of
from abyssal.stores.sql.clients import ClientRow, find_client
from abyssal.stores.sql.revision import next_revision
from abyssal.stores.sql.tokens import TokenKeyRow, is_token_revoked, read_token_keys, revoke_token

_S = 10**9
_NEW_KEY = 10 * _S  # so long the workers of other replicas may not have heard of a key
_SCOPE = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")  # RFC 6749 §3.3


class ClientCall(NamedTuple):
    """What a client sent: the form's fields, the values of `Authorization`, the address it calls from."""

    fields: dict[str, str]
    authorization: Sequence[str]
    address: str


class TokenAnswer(msgspec.Struct, frozen=True):
    """The answer of RFC 6749 §5.1; `expires_in` in seconds."""

    access_token: str
    expires_in: int
    scope: str
    token_type: Literal["Bearer"] = "Bearer"


class Introspection(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of RFC 7662 §2.2. Of a token that is not active nothing else is said."""

    active: bool
    scope: str = ""
    client_id: str = ""
    token_type: str = ""
    exp: int = 0
    iat: int = 0
    sub: str = ""
    aud: str = ""
    iss: str = ""
    jti: str = ""


_INACTIVE = Introspection(False)


class AuthorizationServer:
    """See the module. Raises OAuthError; everything else is a fault of the platform."""

    def __init__(self, plane: ControlPlane) -> None:
        self._engine, self._vault, self._clock = plane.engine, plane.vault, plane.clock
        self._identity, self._issuer, self._uses = plane.identity, plane.issuer, plane.uses
        self._clients = Clients(plane.vault)
        self._keys = KeyRing(plane.vault)
        self._attempts = Attempts(
            per_address=plane.identity.failures_per_address,
            per_credential=plane.identity.failures_per_key,
        )

    def token(self, call: ClientCall) -> tuple[TokenAnswer, bool]:
        """A token for the client (RFC 6749 §4.4), and whether its key may still be news to the workers."""
        grant_type = call.fields.get("grant_type")
        if grant_type is None:
            raise InvalidRequestError("The parameter grant_type is missing; it is client_credentials.")
        if grant_type != "client_credentials":
            raise UnsupportedGrantTypeError("The only grant type here is client_credentials.")
        now_ns = self._clock.unix_ns()
        with self._engine.connect() as connection:
            client = self._prove(connection, call, now_ns)
            scope = _granted(call.fields.get("scope"), client.scopes)
            key = signing_key(read_token_keys(connection), now_ns=now_ns)
        self._uses.note(self._engine, client.id, now_ns=now_ns)
        key = key or self._first_key(now_ns)
        now = now_ns // _S
        ends = now + self._identity.token_lifetime
        if client.expires_at is not None:
            ends = min(ends, client.expires_at // _S)
        token = AccessToken(new_jti(), client.id, scope, now, ends)
        text = sign_token(token, issuer=self._issuer, kid=key.id, key=self._keys.private(key))
        return TokenAnswer(text, ends - now, scope), now_ns - key.created_at < _NEW_KEY

    def revoke(self, call: ClientCall) -> bool:
        """End a token of the client (RFC 7009); whether it was one, and so has to be in force.

        InvalidGrantError for another client's token: who asks shall not believe that it is ended now. It
        tells no more than the token itself, which anybody can read and verify.
        """
        now_ns = self._clock.unix_ns()
        with self._engine.connect() as connection:
            client = self._prove(connection, call, now_ns)
            token = self._read(connection, call, now_ns)
        self._uses.note(self._engine, client.id, now_ns=now_ns)
        if token is None:
            return False
        if token.client_id != client.id:
            raise InvalidGrantError("The token was issued to another client; only that one can revoke it.")
        with self._engine.begin() as connection:
            revision = next_revision(connection)  # two at once: the second waits here, and finds it done
            if not is_token_revoked(connection, token.jti):
                revoke_token(connection, token.jti, expires_at=token.expires_at * _S, revision=revision)
        return True

    def introspect(self, call: ClientCall) -> Introspection:
        """What a token of the client's organisation is worth now (RFC 7662)."""
        now_ns = self._clock.unix_ns()
        with self._engine.connect() as connection:
            asking = self._prove(connection, call, now_ns)
            token = self._read(connection, call, now_ns)
            over = token is None or is_token_revoked(connection, token.jti)
            client = None if token is None or over else find_client(connection, token.client_id)
        self._uses.note(self._engine, asking.id, now_ns=now_ns)
        if token is None or client is None or client.organization != asking.organization:
            return _INACTIVE
        if why_ended(client, now_ns):
            return _INACTIVE
        still = scopes_of(client.scopes)
        return Introspection(
            active=True,
            scope=" ".join(scope for scope in token.scope.split(" ") if scope in still),
            client_id=token.client_id,
            token_type="Bearer",
            exp=token.expires_at,
            iat=token.issued_at,
            sub=token.client_id,
            aud=self._issuer,
            iss=self._issuer,
            jti=token.jti,
        )

    def key_set(self) -> list[dict[str, str]]:
        """The keys that tokens can be verified with, those that sign soon among them (RFC 7517).

        Where the database cannot be asked, those that it had last, so that who verifies tokens goes on.
        """
        try:
            with self._engine.connect() as connection:
                keys = self._keys.public(read_token_keys(connection))
        except DBAPIError:
            keys = self._keys.known
            if not keys:
                raise
        return [public_jwk(key_id, key) for key_id, key in keys.items()]

    def _prove(self, connection: Connection, call: ClientCall, now_ns: int) -> ClientRow:
        now = self._clock.monotonic()
        try:
            presented = client_of(call.fields, call.authorization)
        except InvalidClientError as error:
            self._brake("", call.address, now)
            if error.reason:
                self._attempts.failed("", call.address, now)
            raise
        self._brake(presented.client_id, call.address, now)
        try:
            client = self._clients.prove(connection, presented, call.address, now_ns=now_ns)
        except InvalidClientError as error:
            self._attempts.failed(presented.client_id, call.address, now, stranger=error.stranger)
            raise
        self._attempts.proved(client.id, call.address, now)
        return client

    def _brake(self, claimed: str, address: str, now: float) -> None:
        wait = self._attempts.blocked(claimed, address, now)
        if wait:
            raise TooManyAttemptsError(math.ceil(wait))

    def _read(self, connection: Connection, call: ClientCall, now_ns: int) -> AccessToken | None:
        text = call.fields.get("token")
        if text is None:
            raise InvalidRequestError("The parameter token is missing.")
        keys = self._keys.public(read_token_keys(connection))
        return read_token(text, issuer=self._issuer, keys=keys, now_ns=now_ns)

    def _first_key(self, now_ns: int) -> TokenKeyRow:
        make_first_key(self._engine, self._vault, now_ns=now_ns, days=self._identity.token_key_days)
        with self._engine.connect() as connection:
            key = signing_key(read_token_keys(connection), now_ns=now_ns)
        assert key is not None
        return key


def _granted(asked: str | None, allowed: int) -> str:
    """The scopes of a token, in their usual order; InvalidScopeError for more than `allowed`."""
    if asked is None:
        if not allowed:
            raise InvalidScopeError("This client has no scopes that a token could carry.")
        return " ".join(scopes_of(allowed))
    if _SCOPE.fullmatch(asked) is None:
        raise InvalidScopeError("The scope is malformed: names with a single space between them.")
    names = asked.split(" ")
    for name in names:
        if not BITS.get(name, 0) & allowed:
            raise InvalidScopeError(
                f"The scope {name[:100]} is unknown or not this client's; "
                f"it may ask for: {' '.join(scopes_of(allowed)) or 'none'}."
            )
    return " ".join(scope for scope in scopes_of(allowed) if scope in names)
