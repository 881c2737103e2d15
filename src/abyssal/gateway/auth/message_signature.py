"""HTTP message signatures (RFC 9421): `Signature-Input` and `Signature`, by a signing key or a public key.

1. `@method` and `@target-uri` are covered, and `content-digest` when there is a body; anything else may be
   (`wire.message_signatures`). The digest fits the body.
2. `created`, `nonce` and `keyid` are there. `created` is at most 300 seconds from now, either way; `expires`
   is ahead. The credential says the algorithm: hmac-sha256 for `sig_`, ed25519 for `pub_`; `alg` may repeat
   it and nothing else.
3. Of several signatures the first counts that names a key of ours. Others, such as a proxy's, are none of
   our business.
4. `@target-uri` is tried with the scheme that this server sees and with the other one, which the client used
   when something in between ends TLS; and with the authority as sent and as RFC 9110 §4.2.3 writes it.
5. The nonce is good once per key, as with signed requests.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from typing import NamedTuple

from abyssal.gateway.auth.by_id import find, is_proven, named, nonce_of
from abyssal.gateway.auth.directory import Directory
from abyssal.gateway.auth.proof import Proof, Unproven
from abyssal.gateway.auth.signable import message_of
from abyssal.gateway.exchange import Exchange
from abyssal.gateway.principal import Credential
from abyssal.wire.message_signatures import (
    ComponentError,
    Message,
    Signature,
    digest_fits,
    signature_base,
    signatures,
)
from abyssal.wire.signing import MAX_SKEW
from abyssal.wire.structured_fields import StructuredFieldError

MAX_NONCE = 256  # characters
_SECOND = 1_000_000_000
_OTHER = {b"http": b"https", b"https": b"http"}


class _Kind(NamedTuple):
    name: str  # of `stores.rights.KINDS`
    algorithm: str  # RFC 9421 §6.2.2
    verify: Callable[[bytes, bytes, bytes], bool]  # key, base, signature


class MessageSignatures:
    """See the module."""

    name = "message_signature"

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._schemes_differ = False  # what proved the last request; only the order of trying depends on it

    def claimed(self, exchange: Exchange) -> str:
        try:
            ours = _ours(exchange)
        except StructuredFieldError:
            return ""
        return next((named(key_id) for _, key_id, _ in ours), "")

    def prove(self, exchange: Exchange, now_ns: int) -> Proof:
        try:
            ours = _ours(exchange)
        except StructuredFieldError:
            raise Unproven("malformed") from None
        if not ours:
            raise Unproven("unknown")
        signature, key_id, kind = ours[0]
        return self._proof(exchange, signature, kind, find(self._directory, key_id, kind.name), now_ns)

    def _proof(
        self, exchange: Exchange, signature: Signature, kind: _Kind, found: Credential | None, now_ns: int
    ) -> Proof:
        claimed = "" if found is None else found.id
        parameters = signature.covered.parameters
        created, nonce, expires = (
            parameters.get("created"),
            parameters.get("nonce"),
            parameters.get("expires", 0),
        )
        if type(created) is not int or type(expires) is not int or type(nonce) is not str:
            raise Unproven("malformed", claimed)
        if not 1 <= len(nonce) <= MAX_NONCE:
            raise Unproven("malformed", claimed)
        if parameters.get("alg", kind.algorithm) != kind.algorithm:
            raise Unproven("algorithm", claimed)
        covered = {item.value for item in signature.covered.items}
        if not covered >= {"@method", "@target-uri"} or (exchange.body and "content-digest" not in covered):
            raise Unproven("uncovered", claimed)
        if abs(now_ns // _SECOND - created) > MAX_SKEW:
            raise Unproven("skewed", claimed)
        if "expires" in parameters and now_ns >= expires * _SECOND:
            raise Unproven("expired", claimed)
        message = message_of(exchange)
        if not self._is_signed(message, signature, kind, found, now_ns) or found is None:
            raise Unproven("unknown" if found is None else "signature", claimed)
        digest = message.field(b"content-digest")
        if "content-digest" in covered and not (digest is not None and digest_fits(digest, exchange.body)):
            raise Unproven("digest", claimed)
        until = (created + MAX_SKEW + 1) * _SECOND  # its last second is accepted to the end
        return Proof(found.principal, nonce_of(found, nonce.encode()), until)

    def _is_signed(
        self, message: Message, signature: Signature, kind: _Kind, found: Credential | None, now_ns: int
    ) -> bool:
        proven: list[bool] = []
        bases: dict[int, bytes] = {}  # each is built once, whatever secrets are tried

        def proves(key: bytes) -> bool:
            for number, candidate in enumerate(self._candidates(message)):
                if number not in bases:
                    bases[number] = signature_base(signature.covered, candidate)
                if kind.verify(key, bases[number], signature.value):
                    proven.append(candidate.scheme != message.scheme)
                    return True
            return False

        try:
            is_signed = is_proven(found, now_ns, proves)
        except ComponentError:
            raise Unproven("component", "" if found is None else found.id) from None
        if is_signed:
            self._schemes_differ = proven[0]
        return is_signed

    def _candidates(self, message: Message) -> Iterator[Message]:
        other = message._replace(scheme=_OTHER[message.scheme])
        for candidate in (other, message) if self._schemes_differ else (message, other):
            yield candidate
            if candidate.normal_authority != candidate.authority:
                yield candidate._replace(authority=candidate.normal_authority)


def _ours(exchange: Exchange) -> list[tuple[Signature, str, _Kind]]:
    """The signatures whose keyid looks like ours, with it. Raises StructuredFieldError."""
    fields = exchange.head.proof or {}
    found: list[tuple[Signature, str, _Kind]] = []
    for signature in signatures(fields.get(b"signature-input", b""), fields.get(b"signature", b"")):
        key_id = signature.covered.parameters.get("keyid")
        if type(key_id) is str:
            kind = _KINDS.get(key_id.partition("_")[0])
            if kind is not None:
                found.append((signature, key_id, kind))
    return found


def _verify_hmac(secret: bytes, base: bytes, signature: bytes) -> bool:
    return hmac.compare_digest(hmac.digest(secret, base, "sha256"), signature)


def _verify_ed25519(key: bytes, base: bytes, signature: bytes) -> bool:
    # libsodium, which takes half of OpenSSL's time; loaded when the first one comes.
    from nacl.bindings import crypto_sign_BYTES, crypto_sign_open
    from nacl.exceptions import BadSignatureError

    if len(signature) != crypto_sign_BYTES:
        return False
    try:
        crypto_sign_open(signature + base, key)
    except BadSignatureError:
        return False
    return True


_KINDS = {
    "sig": _Kind("signing_key", "hmac-sha256", _verify_hmac),
    "pub": _Kind("public_key", "ed25519", _verify_ed25519),
}
