"""Public keys as people send them, and the ones under which anybody could sign."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as new_p256
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from abyssal.platform.identity.public_keys import hint_of, read_public_key
from abyssal.wire.errors import BadRequestError

from .tenants import ED25519

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def pem(key: Ed25519PrivateKey | Ed448PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_pem_and_base64_are_the_same_key() -> None:
    key = Ed25519PrivateKey.generate()
    raw = key.public_key().public_bytes_raw()
    assert read_public_key(pem(key)) == read_public_key(f"\n{pem(key)} ") == raw
    text = base64.b64encode(raw).decode()
    assert read_public_key(text) == raw
    assert hint_of(raw) == text[-5:-1]


def small_order_points() -> set[bytes]:
    """Multiply points by the prime order of the group: what is left has an order that divides 8."""
    order = 2**252 + 27742317777372353535851937790883648493
    found: set[bytes] = set()
    y = 2
    while len(found) < 8:
        x2 = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
        x = pow(x2, (P + 3) // 8, P)
        if (x * x - x2) % P:
            x = x * pow(2, (P - 1) // 4, P) % P
        if (x * x - x2) % P == 0:
            found.add(encoded(*multiplied(order, (x, y))))
        y += 1
    return found


def added(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    k = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + k, -1, P) % P
    return x, (a[1] * b[1] + a[0] * b[0]) * pow(1 - k, -1, P) % P


def multiplied(times: int, point: tuple[int, int]) -> tuple[int, int]:
    result = (0, 1)
    while times:
        if times & 1:
            result = added(result, point)
        point = added(point, point)
        times >>= 1
    return result


def encoded(x: int, y: int) -> bytes:
    return (y | (x & 1) << 255).to_bytes(32, "little")


def test_weak_keys_are_refused() -> None:
    weak = small_order_points()
    assert len(weak) == 8
    unusual = {(y + P).to_bytes(32, "little") for y in (0, 1)}  # other spellings of 0 and 1
    signs = {bytes([*one[:31], one[31] ^ 0x80]) for one in weak | unusual}
    for raw in weak | unusual | signs:
        with pytest.raises(BadRequestError, match="weak"):
            read_public_key(base64.b64encode(raw).decode())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "base64"),
        ("AAAA", "base64"),
        (ED25519[:-1], "base64"),
        (ED25519 + "AAAA", "base64"),
        (ED25519.replace("/", "_"), "base64"),
        ("é" * 44, "base64"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "no public key"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "no public key"),
        ("-----", "no public key"),
        ("----- é", "no public key"),
    ],
)
def test_what_is_no_key_is_refused(text: str, problem: str) -> None:
    with pytest.raises(BadRequestError, match=problem) as refusal:
        read_public_key(text)
    assert refusal.value.param == "public_key"


def test_another_algorithm_is_refused() -> None:
    p256 = new_p256(SECP256R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for text in (pem(Ed448PrivateKey.generate()), p256.decode()):
        with pytest.raises(BadRequestError, match="another algorithm"):
            read_public_key(text)


def test_a_private_key_is_refused_and_not_repeated() -> None:
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(BadRequestError, match="private key") as refusal:
        read_public_key(text)
    assert text.splitlines()[1] not in refusal.value.message
