"""RFC 9421 against its own examples (appendix B.2 and section 2), and what may not be covered."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from abyssal.wire.message_signatures import (
    ComponentError,
    Message,
    content_digest,
    digest_fits,
    signature_base,
    signature_fields,
    signatures,
)
from abyssal.wire.structured_fields import InnerList, Item, inner_lists

BODY = b'{"hello": "world"}'
SHA_512 = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
SHA_256 = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
FIELDS = {
    b"date": b"Tue, 20 Apr 2021 02:07:55 GMT",
    b"content-type": b"application/json",
    b"content-digest": SHA_512.encode(),
    b"content-length": b"18",
}
REQUEST = Message(b"POST", b"https", b"example.com", b"/foo?param=Value&Pet=dog", FIELDS.get)
SHARED_SECRET = base64.b64decode(
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
)
ED25519_PEM = (
    b"-----BEGIN PRIVATE KEY-----\n"
    b"MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n"
    b"-----END PRIVATE KEY-----\n"
)
B25 = b'sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"'
B26 = (
    b'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
    b';created=1618884473;keyid="test-key-ed25519"'
)


def covered(*names: str) -> InnerList:
    return InnerList(tuple(Item(name, {}) for name in names), {"created": 1})


def value_of(item: str, request: Message) -> str:
    """The value that `item`, as written in a Signature-Input, has in the base."""
    (listed,) = inner_lists(f"s=({item});created=1".encode()).values()
    first, last = signature_base(listed, request).decode().split("\n")
    assert last == f'"@signature-params": ({item});created=1'
    assert first.startswith(f"{item}: ")
    return first.removeprefix(f"{item}: ")


def test_b_2_5_hmac() -> None:
    (found,) = signatures(B25, b"sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:")
    base = signature_base(found.covered, REQUEST)
    assert base.decode().split("\n") == [
        '"date": Tue, 20 Apr 2021 02:07:55 GMT',
        '"@authority": example.com',
        '"content-type": application/json',
        '"@signature-params": ("date" "@authority" "content-type")'
        ';created=1618884473;keyid="test-shared-secret"',
    ]
    assert hmac.new(SHARED_SECRET, base, hashlib.sha256).digest() == found.value


def test_b_2_6_ed25519() -> None:
    value = (
        b"sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:"
    )
    (found,) = signatures(B26, value)
    key = load_pem_private_key(ED25519_PEM, None)
    assert key.sign(signature_base(found.covered, REQUEST)) == found.value  # type: ignore[union-attr,call-arg]


DERIVED = {  # RFC 9421, sections 2.2.1 to 2.2.8
    '"@method"': "POST",
    '"@target-uri"': "https://example.com/foo?param=Value&Pet=dog",
    '"@authority"': "example.com",
    '"@scheme"': "https",
    '"@request-target"': "/foo?param=Value&Pet=dog",
    '"@path"': "/foo",
    '"@query"': "?param=Value&Pet=dog",
    '"@query-param";name="Pet"': "dog",
}


@pytest.mark.parametrize(("item", "value"), list(DERIVED.items()), ids=list(DERIVED))
def test_derived_components(item: str, value: str) -> None:
    assert value_of(item, REQUEST) == value


@pytest.mark.parametrize(
    ("target", "item", "value"),
    [
        (b"/path", '"@query"', "?"),
        (b"/path?", '"@query"', "?"),
        (b"/path?queryString", '"@query"', "?queryString"),
        (b"https://www.example.com/path?a", '"@target-uri"', "https://www.example.com/path?a"),
        (b"https://www.example.com/path?a", '"@request-target"', "https://www.example.com/path?a"),
        (b"https://www.example.com/path?a", '"@path"', "/path"),
        (b"https://www.example.com", '"@path"', "/"),
        (b"/p?param=value&foo=bar&baz=batman&qux=", '"@query-param";name="baz"', "batman"),
        (b"/p?param=value&foo=bar&baz=batman&qux=", '"@query-param";name="qux"', ""),
        (
            b"/p?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace",
            '"@query-param";name="var"',
            "this%20is%20a%20big%0Amultiline%20value",
        ),
        (b"/p?bar=with+plus+whitespace", '"@query-param";name="bar"', "with%20plus%20whitespace"),
        (b"/p?fa%C3%A7ade%22%3A%20=something", '"@query-param";name="fa%C3%A7ade%22%3A%20"', "something"),
        (b"/p?a=~", '"@query-param";name="a"', "%7E"),
    ],
)
def test_targets(target: bytes, item: str, value: str) -> None:
    assert value_of(item, REQUEST._replace(target=target)) == value


@pytest.mark.parametrize(
    ("scheme", "authority", "normal"),
    [
        (b"https", b"WWW.Example.COM:443", "www.example.com"),
        (b"http", b"www.example.com:80", "www.example.com"),
        (b"http", b"www.example.com:443", "www.example.com:443"),
        (b"https", b"[2001:DB8::1]:8443", "[2001:db8::1]:8443"),
    ],
)
def test_the_authority(scheme: bytes, authority: bytes, normal: str) -> None:
    assert value_of('"@authority"', REQUEST._replace(scheme=scheme, authority=authority)) == normal


def test_a_field_is_taken_without_blanks_around_it() -> None:
    request = REQUEST._replace(field={b"x-empty": b"", b"x-padded": b" \t a, b  "}.get)
    assert value_of('"x-empty"', request) == ""
    assert value_of('"x-padded"', request) == "a, b"


NOT_COVERED = [
    '"x-absent"', '"Date"', '"da te"', '""', '"@status"', '"@signature-params"', '"@nothing"', '"@"',
    '"date";sf', '"date";bs', '"date";key="a"', '"date";req', '"date";tr', '"date";x', '"@method";req',
    '"@query-param"', '"@query-param";name', '"@query-param";name=Pet', '"@query-param";name="absent"',
    '"@query-param";name="twice"', '"@query-param";name="Pet";req', '"date" "date"', '"@method" "@path" "@method"',
]  # fmt: skip


@pytest.mark.parametrize("items", NOT_COVERED)
def test_what_cannot_be_covered(items: str) -> None:
    request = REQUEST._replace(target=b"/foo?Pet=dog&twice=1&twice=1")
    (listed,) = inner_lists(f"s=({items})".encode()).values()
    with pytest.raises(ComponentError):
        signature_base(listed, request)


def test_a_query_is_not_read_without_end() -> None:
    request = REQUEST._replace(target=b"/?a=1" + b"&" + b"&".join(b"b%d=1" % n for n in range(5000)))
    (listed,) = inner_lists(b's=("@query-param";name="a")').values()
    with pytest.raises(ComponentError, match="more than 64"):
        signature_base(listed, request)


def test_no_host_no_target_uri() -> None:
    with pytest.raises(ComponentError, match="no Host"):
        signature_base(covered("@target-uri"), REQUEST._replace(authority=b""))


def test_only_labels_with_a_signature_are_signatures() -> None:
    found = signatures(b'a=("@method"), b=("@path"), c=()', b"c=:AA==:, x=:AA==:, a=:AQ==:")
    assert [(one.label, one.value) for one in found] == [("a", b"\1"), ("c", b"\0")]


@pytest.mark.parametrize("field", [SHA_256, SHA_512, f"{SHA_256}, {SHA_512}", f"md5=:AA==:, {SHA_256}"])
def test_digests_that_fit(field: str) -> None:
    assert digest_fits(field.encode(), BODY)
    assert not digest_fits(field.encode(), BODY + b" ")


@pytest.mark.parametrize(
    "field",
    ["", "md5=:sQqNsWTgdUEFt6mb5y4/5Q==:", f"{SHA_256}, sha-512=:AA==:", SHA_256.upper(), SHA_256.replace(":", '"'),
     f"{SHA_256}, {SHA_256}", "sha-256=?1"],
)  # fmt: skip
def test_digests_that_do_not(field: str) -> None:
    assert not digest_fits(field.encode(), BODY)


def test_the_digest_that_is_made() -> None:
    assert content_digest(BODY) == SHA_256


def test_what_is_signed_is_read_again() -> None:
    def sign(base: bytes) -> bytes:
        return hmac.digest(b"secret", base, "sha256")

    parameters = {"created": 7, "nonce": 'quo"ted\\', "keyid": "sig_1", "tag": "t"}
    fields = signature_fields(REQUEST, sign, ["@method", "@target-uri", "date"], parameters)
    (found,) = signatures(fields["Signature-Input"].encode(), fields["Signature"].encode())
    assert found.covered.parameters == parameters
    assert sign(signature_base(found.covered, REQUEST)) == found.value
