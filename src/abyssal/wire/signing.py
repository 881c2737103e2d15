"""The platform's signed requests: which bytes are signed, and how. Both sides of the wire use it.

1. Signed is METHOD LF PATH LF BODY LF TIMESTAMP LF NONCE over the bytes that are sent: PATH is the request
   target as sent, its query included, BODY the raw body, empty for none (platform API, section 1).
2. Of the five only BODY can hold a line feed, so the first two lines and the last two are what they seem:
   no two requests have the same string.
3. The signature is base64 (RFC 4648 §4) of HMAC-SHA256 under the UTF-8 bytes of the secret. It has one
   spelling; a verifier compares text with text, so no other encoding of the same bytes passes.
4. A string starts with a method and an RFC 9421 signature base with a quote: a signature of one kind is
   never one of the other, though both may be made with the same secret.
"""

from __future__ import annotations

import hmac
import re
from binascii import b2a_base64

MAX_SKEW = 300  # seconds, either way
MAX_NONCE = 128  # visible ASCII characters

is_timestamp = re.compile(rb"[0-9]{1,12}").fullmatch
is_nonce = re.compile(rb"[!-~]{1,%d}" % MAX_NONCE).fullmatch
is_signature = re.compile(rb"[A-Za-z0-9+/]{43}=").fullmatch


def string_to_sign(method: bytes, target: bytes, body: bytes, timestamp: bytes, nonce: bytes) -> bytes:
    """The bytes that a signature covers; the parts are as they are sent."""
    return b"\n".join((method, target, body, timestamp, nonce))


def signature_of(secret: bytes, text: bytes) -> bytes:
    """The signature of `text` as it goes into X-Api-Signature: 44 ASCII characters."""
    return b2a_base64(hmac.digest(secret, text, "sha256"), newline=False)


def proves(secret: bytes, text: bytes, signature: bytes) -> bool:
    """Whether `signature` (base64) is that of `text` under `secret`, compared in constant time."""
    return hmac.compare_digest(signature_of(secret, text), signature)


def signed_headers(
    key_id: str, secret: str, *, method: str, target: str, body: bytes, timestamp: int, nonce: str
) -> dict[str, str]:
    """The four header fields that sign a request.

    `target` is the path with its query as it is sent (`/v1/models?limit=2`), `timestamp` in Unix seconds,
    `nonce` 1 to 128 visible ASCII characters, never used before with this key. ValueError for anything else.
    """
    stamp, once = b"%d" % timestamp, nonce.encode()
    if not is_nonce(once):
        raise ValueError(f"a nonce is 1 to {MAX_NONCE} visible ASCII characters, not {nonce!r}")
    if not is_timestamp(stamp):
        raise ValueError(f"a timestamp is in whole Unix seconds, not {timestamp}")
    if "\n" in method or "\n" in target:
        raise ValueError(f"neither a method nor a path has line feeds: {method!r} {target!r}")
    text = string_to_sign(method.encode(), target.encode(), body, stamp, once)
    return {
        "X-Api-Key": key_id,
        "X-Api-Timestamp": stamp.decode(),
        "X-Api-Nonce": nonce,
        "X-Api-Signature": signature_of(secret.encode(), text).decode(),
    }
