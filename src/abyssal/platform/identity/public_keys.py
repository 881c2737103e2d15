"""An ed25519 public key as a caller gives it, judged. Pure.

Points of small order are refused: under such a key one signature fits many messages, so anybody could sign
(RFC 8032 §8.4 leaves the check to whoever takes keys).
"""

from __future__ import annotations

import base64
import binascii

from abyssal.wire.errors import BadRequestError

_P = 2**255 - 19
# The y coordinates of the eight points whose order divides 8.
_Y8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL = frozenset({0, 1, _P - 1, _Y8, _P - _Y8})


def read_public_key(text: str) -> bytes:
    """The 32 bytes of a key given as PEM (SubjectPublicKeyInfo, RFC 8410) or as base64 of themselves.

    Raises BadRequestError (`public_key`) for anything else, another algorithm, or a weak key.
    """
    text = text.strip()
    raw = _from_pem(text) if text.startswith("-----") else _from_base64(text)
    y = (int.from_bytes(raw, "little") & (2**255 - 1)) % _P
    if y in _SMALL:
        raise _refused("this key is weak (a point of small order): anybody could sign with it")
    return raw


def hint_of(raw: bytes) -> str:
    """The last four characters of the key's base64."""
    return base64.b64encode(raw).decode().rstrip("=")[-4:]


def _from_pem(text: str) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if "PRIVATE KEY" in text:
        raise _refused(
            "this is a private key, which is yours alone: make another pair and send its public half"
        )
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise _refused("this PEM holds no public key") from None
    if not isinstance(key, Ed25519PublicKey):
        raise _refused("this key is of another algorithm than ed25519")
    return key.public_bytes_raw()


def _from_base64(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32:
        raise _refused("an ed25519 public key is PEM, or base64 of its 32 bytes")
    return raw


def _refused(problem: str) -> BadRequestError:
    return BadRequestError(
        f'"public_key": {problem}; send what `openssl pkey -pubout` prints of an ed25519 key.',
        param="public_key",
        code="invalid_value",
    )
