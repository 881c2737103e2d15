"""HTTP message signatures: what passes, every way in which one does not, and several at once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any

import pytest

from abyssal.gateway.auth.message_signature import MessageSignatures
from abyssal.gateway.exchange import Exchange

from .people import (
    CLIENT,
    CLIENT_SECRET,
    ED25519,
    NOW,
    PUBLIC_KEY,
    SIGNING_KEY,
    SIGNING_SECRET,
    People,
    exchange,
    proven,
    refused,
)

BODY = b'{"model":"m","messages":[]}'
TARGET = "/v1/chat/completions?a=b"


def by_hmac(secret: str = SIGNING_SECRET) -> Callable[[bytes], bytes]:
    return lambda base: hmac.new(secret.encode(), base, hashlib.sha256).digest()


def digest_of(body: bytes, algorithm: str = "sha256") -> str:
    value = base64.b64encode(hashlib.new(algorithm, body).digest()).decode()
    return f"{algorithm[:3]}-{algorithm[3:]}=:{value}:"


def signed(
    components: str = '"@method" "@target-uri" "content-digest"',
    parameters: str = f';created={NOW};nonce="n-1";keyid="{SIGNING_KEY}"',
    *,
    sign: Callable[[bytes], bytes] | None = None,
    body: bytes = BODY,
    uri: str = f"http://api.test{TARGET}",
    label: str = "sig1",
    **sent: Any,
) -> Exchange:
    """A request signed as RFC 9421 §2.5 says, written here once more by hand; `sent` is what comes."""
    digest = digest_of(body)
    known = {
        '"@method"': "POST", '"@target-uri"': uri, '"content-digest"': digest, '"@authority"': "api.test",
        '"@path"': "/v1/chat/completions", '"@query"': "?a=b", '"@scheme"': uri.partition(":")[0],
        '"content-type"': "application/json", '"x-twice"': "1, 2", '"host"': "api.test",
        '"content-length"': str(len(body)), '"content-encoding"': "gzip",
    }  # fmt: skip
    lines = [f"{name}: {known.get(name, 'x')}" for name in components.split(" ") if name]
    lines.append(f'"@signature-params": ({components}){parameters}')
    value = base64.b64encode((sign or by_hmac())("\n".join(lines).encode())).decode()
    fields: dict[str, Any] = {
        "target": TARGET, "body": body, "content_digest": digest,
        "signature_input": f"{label}=({components}){parameters}", "signature": f"{label}=:{value}:",
        "lines": b"content-type: application/json\r\nx-twice: 1\r\nx-twice: 2\r\ncontent-encoding: gzip\r\n",
    }  # fmt: skip
    return exchange(**(fields | sent))


def of(key: str = SIGNING_KEY, created: int = NOW, more: str = "") -> str:
    return f';created={created};nonce="n-1";keyid="{key}"{more}'


@pytest.fixture
def way(people: People) -> MessageSignatures:
    return MessageSignatures(people.directory)


PLAIN = '"@method" "@target-uri"'
ALL = PLAIN + ' "content-digest"'

PROVEN = {
    "plain": signed(),
    "with alg": signed(parameters=of(more=';alg="hmac-sha256"')),
    "with a tag and what nobody knows": signed(parameters=of(more=';tag="app";x=1')),
    "with an end": signed(parameters=of(more=f";expires={NOW + 1}")),
    "no body": signed(PLAIN, body=b"", content_digest=None),
    "no body, with its digest": signed(ALL, body=b""),
    "everything else": signed(
        ALL + ' "@authority" "@path" "@query" "@scheme" "content-type" "x-twice" "host" "content-length"'
        ' "content-encoding"'
    ),
    "https in front of us": signed(uri=f"https://api.test{TARGET}"),
    "http behind us": signed(scheme=b"https"),
    "a port that goes without saying": signed(host="API.test:80"),
}


@pytest.mark.parametrize("request_", list(PROVEN.values()), ids=list(PROVEN))
def test_it_is_proven(way: MessageSignatures, request_: Exchange) -> None:
    proof = proven(way, request_)
    assert (proof.principal.id, proof.until) == (SIGNING_KEY, (NOW + 301) * 10**9)


def test_by_a_public_key(way: MessageSignatures) -> None:
    for more in ("", ';alg="ed25519"'):
        assert (
            proven(way, signed(parameters=of(PUBLIC_KEY, more=more), sign=ED25519.sign)).principal.id
            == PUBLIC_KEY
        )


def test_both_schemes_in_turn(way: MessageSignatures) -> None:
    """What proved the last request changes the order of trying and nothing else."""
    for scheme in ("https", "http", "http", "https", "https"):
        assert proven(way, signed(uri=f"{scheme}://api.test{TARGET}"))
        assert refused(way, signed(uri=f"ftp://api.test{TARGET}")).reason == "signature"


@pytest.mark.parametrize(("offset", "fits"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_the_window(way: MessageSignatures, offset: int, fits: bool) -> None:
    request = signed(parameters=of(created=NOW + offset))
    if fits:
        assert proven(way, request).until == (NOW + offset + 301) * 10**9
    else:
        assert refused(way, request).reason == "skewed"


def test_it_expires_at_the_second(way: MessageSignatures) -> None:
    request = signed(parameters=of(more=f";expires={NOW + 5}"))
    assert proven(way, request, now=NOW + 4.999)
    assert refused(way, request, now=NOW + 5).reason == "expired"


def parameters(**changed: str) -> str:
    said = {"created": str(NOW), "nonce": '"n-1"', "keyid": f'"{SIGNING_KEY}"'} | changed
    return "".join(f";{name}={value}" for name, value in said.items() if value)


NOT_PROVEN: dict[str, tuple[Exchange, str]] = {
    "no created": (signed(parameters=parameters(created="")), "malformed"),
    "created as text": (signed(parameters=parameters(created=f'"{NOW}"')), "malformed"),
    "created as true": (signed(parameters=parameters(created="?1")), "malformed"),
    "no nonce": (signed(parameters=parameters(nonce="")), "malformed"),
    "an empty nonce": (signed(parameters=parameters(nonce='""')), "malformed"),
    "a nonce of 257": (signed(parameters=parameters(nonce='"' + "n" * 257 + '"')), "malformed"),
    "a nonce without quotes": (signed(parameters=parameters(nonce="n")), "malformed"),
    "expires as text": (signed(parameters=parameters(expires='"9"')), "malformed"),
    "created twice": (signed(parameters=of() + f";created={NOW}"), "malformed"),
    "no keyid": (signed(parameters=parameters(keyid="")), "unknown"),
    "keyid without quotes": (signed(parameters=parameters(keyid=SIGNING_KEY)), "unknown"),
    "a client's id": (signed(parameters=of(CLIENT), sign=by_hmac(CLIENT_SECRET)), "unknown"),
    "a key that there is not": (signed(parameters=of("sig_nobody"), sign=by_hmac("\0" * 32)), "unknown"),
    "a public key that there is not": (signed(parameters=of("pub_nobody"), sign=ED25519.sign), "unknown"),
    "the other kind's algorithm": (signed(parameters=of(more=';alg="ed25519"')), "algorithm"),
    "an algorithm that is not taken": (signed(parameters=of(more=';alg="rsa-v1_5-sha256"')), "algorithm"),
    "an algorithm that is a token": (signed(parameters=of(more=";alg=ed25519")), "algorithm"),
    "hmac with a public key": (
        signed(parameters=of(PUBLIC_KEY, more=';alg="hmac-sha256"')), "algorithm",
    ),
    "hmac with a public key for a secret": (
        signed(
            parameters=of(PUBLIC_KEY),
            sign=lambda base: hmac.digest(ED25519.public_key().public_bytes_raw(), base, "sha256"),
        ),
        "signature",
    ),
    "a wrong secret": (signed(sign=by_hmac("ss_wrong")), "signature"),
    "nobody's secret": (signed(sign=by_hmac("\0" * 32)), "signature"),
    "no signature": (signed(sign=lambda base: b""), "signature"),
    "half a signature": (signed(sign=lambda base: by_hmac()(base)[:16]), "signature"),
    "another method": (signed(method="PUT"), "signature"),
    "another target": (signed(target="/v1/chat/completions?a=c"), "signature"),
    "another host": (signed(host="other.test"), "signature"),
    "another content type": (signed(ALL + ' "content-type"', lines=b"content-type: text/html\r\n"), "signature"),
    "another digest": (signed(content_digest=digest_of(b"other")), "signature"),
    "the body by a byte": (signed(), "digest"),
    "method not covered": (signed('"@target-uri" "content-digest"'), "uncovered"),
    "target not covered": (signed('"@method" "content-digest"'), "uncovered"),
    "path and authority in place of the target": (
        signed('"@method" "@path" "@query" "@authority" "content-digest"'), "uncovered",
    ),
    "body not covered": (signed(PLAIN), "uncovered"),
    "nothing covered": (signed(""), "uncovered"),
    "a digest that is not there": (signed(ALL, content_digest=None), "component"),
    "a field that is not there": (signed(ALL + ' "x-absent"'), "component"),
    "twice the same": (signed('"@method" "@method" "@target-uri" "content-digest"'), "component"),
    "sf": (signed(ALL + ' "content-type";sf'), "component"),
    "req": (signed('"@method";req "@target-uri" "content-digest"'), "component"),
    "no host": (signed(host=""), "component"),
    "no signature-input": (signed(signature_input=None), "malformed"),
    "no signature field": (signed(signature=None), "malformed"),
    "another label": (signed(signature=f"sig2=:{base64.b64encode(bytes(32)).decode()}:"), "unknown"),
    "no structured field": (signed(signature_input="keyid=me"), "malformed"),
    "base64 with a spare bit": (signed(signature="sig1=:AB==:"), "malformed"),
    "no end of fields": (signed(signature_input="a=()" + ";a" * 5000), "malformed"),
}  # fmt: skip
NOT_PROVEN["the body by a byte"][0].body = BODY + b" "


@pytest.mark.parametrize(("request_", "reason"), list(NOT_PROVEN.values()), ids=list(NOT_PROVEN))
def test_it_is_refused(way: MessageSignatures, request_: Exchange, reason: str) -> None:
    found = refused(way, request_)
    assert (found.reason, found.counts) == (reason, True)
    assert found.credential in ("", SIGNING_KEY, PUBLIC_KEY)


@pytest.mark.parametrize(
    ("sign", "reason"), [(ED25519.sign, "digest"), (lambda base: bytes(64), "signature")]
)
def test_a_public_key_s_refusals(way: MessageSignatures, sign: Callable[[bytes], bytes], reason: str) -> None:
    request = signed(parameters=of(PUBLIC_KEY), sign=sign)
    request.body += b" "
    assert refused(way, request).reason == reason


@pytest.mark.parametrize("digest", [digest_of(BODY, "sha512"), f"{digest_of(BODY)}, md5=:AA==:"])
def test_other_digests(way: MessageSignatures, digest: str) -> None:
    def sign(base: bytes) -> bytes:
        return by_hmac()(base.replace(digest_of(BODY).encode(), digest.encode()))

    request = signed(sign=sign, content_digest=digest)
    assert proven(way, request)
    request.body += b" "
    assert refused(way, request).reason == "digest"


def together(*requests: Exchange) -> Exchange:
    """One request with the signatures of all."""
    proofs = [request.head.proof or {} for request in requests]
    for name in (b"signature", b"signature-input"):
        proofs[0][name] = b", ".join(proof[name] for proof in proofs)
    return requests[0]


def test_of_several_the_first_that_names_a_key_of_ours(way: MessageSignatures) -> None:
    theirs = signed(parameters=of("their-key"), label="proxy")
    assert proven(way, together(theirs, signed(label="ours"))).principal.id == SIGNING_KEY
    wrong = signed(sign=by_hmac("wrong"), label="wrong")
    assert refused(way, together(wrong, signed(label="ours"))).reason == "signature"
    both = together(signed(label="a", parameters=of(PUBLIC_KEY), sign=ED25519.sign), signed(label="b"))
    assert proven(way, both).principal.id == PUBLIC_KEY


def test_signatures_of_others_are_passed_over(way: MessageSignatures) -> None:
    theirs = [signed(parameters=of("their-key"), label=f"t{n}") for n in range(10)]
    assert proven(way, together(*theirs, signed(label="ours")))


def test_the_work_of_one_request_is_bounded(way: MessageSignatures) -> None:
    """However much a stranger asks to be covered, and however long the query is."""
    listed = " ".join(f'"@query-param";name="p{n}"' for n in range(29))
    target = "/v1/models?" + "&".join(f"p{n}=x" for n in range(256))
    fields = f'({listed});created={int(NOW)};nonce="n";keyid="{SIGNING_KEY}"'
    request = exchange(target=target, signature_input=f"s={fields}", signature=f"s=:{'A' * 43}=:")
    began = time.process_time_ns()
    refused(way, request)
    assert time.process_time_ns() - began < 20_000_000


def test_both_secrets_while_it_is_rotated(people: People, way: MessageSignatures) -> None:
    new = "ss_" + "n" * 43
    people.credential(SIGNING_KEY, "signing_key", (SIGNING_SECRET.encode(), NOW + 10), new.encode())
    assert proven(way, signed(), now=NOW + 9.999)
    assert refused(way, signed(), now=NOW + 10).reason == "signature"
    assert proven(way, signed(sign=by_hmac(new)), now=NOW + 10)


def test_a_revoked_key(people: People, way: MessageSignatures) -> None:
    people.revoke(SIGNING_KEY)
    assert refused(way, signed()).reason == "unknown"


def test_a_nonce_is_the_key_s_own_whatever_way_it_came(people: People, way: MessageSignatures) -> None:
    other = "sig_" + "5" * 20
    people.credential(other, "signing_key", SIGNING_SECRET.encode())
    assert proven(way, signed()).nonce != proven(way, signed(parameters=of(other))).nonce
    assert proven(way, signed()).nonce == proven(way, signed(ALL + ' "@path"')).nonce


def test_whose_it_claims_to_be(way: MessageSignatures) -> None:
    assert way.claimed(signed(sign=by_hmac("wrong"))) == SIGNING_KEY
    assert way.claimed(together(signed(parameters=of("their-key")), signed(label="b"))) == SIGNING_KEY
    assert way.claimed(signed(parameters=of("sig_nobody"))) == "sig_nobody"
    assert way.claimed(signed(signature="(")) == ""
