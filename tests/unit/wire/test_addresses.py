"""Which networks hold an address, and whose address stands behind trusted proxies."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abyssal.wire.addresses import Networks, client_address, parse_address

ADDRESSES = st.one_of(
    st.integers(0, 2**32 - 1).map(IPv4Address),
    st.integers(0, 2**128 - 1).map(IPv6Address),
    # Near each other, so that some are in one network.
    st.integers(0, 1023).map(lambda number: IPv4Address(0x0A000000 + number)),
    st.integers(0, 1023).map(lambda number: IPv6Address((0x20010DB8 << 96) + number)),
)
INSIDE = Networks.parse(("10.0.0.0/8", "192.0.2.7", "fd00::/8"))


@st.composite
def networks(draw: st.DrawFn) -> list[str]:
    found: list[str] = []
    for address in draw(st.lists(ADDRESSES, max_size=4)):
        length = draw(st.integers(0, address.max_prefixlen))
        found.append(str(ip_network(f"{address}/{length}", strict=False)))
    return found


# Networks


@given(networks(), ADDRESSES)
def test_a_set_of_networks_is_the_sum_of_its_networks(texts: list[str], address: IPv4Address) -> None:
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    texts = [text for text in texts if not text.lower().startswith("::ffff:")]
    expected = any(address in ip_network(text) for text in texts)
    assert (str(address) in Networks.parse(texts)) is expected


@given(networks())
def test_only_a_set_without_networks_is_false(texts: list[str]) -> None:
    assert bool(Networks.parse(texts)) is bool(texts)
    assert "10.0.0.1" not in Networks()


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
        ("0.0.0.0/0", "255.1.2.3", "2001:db8::1"),
        ("::/0", "2001:db8::1", "10.0.0.1"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
        ("192.0.2.7/32", "::ffff:192.0.2.7", "::192.0.2.7"),
        ("2001:db8::/32", "2001:DB8:0:0::1", "2001:db9::1"),
        ("2001:db8::1", "2001:db8:0:0:0:0:0:1", "2001:db8::2"),
        ("fe80::/10", "fe80::1%eth0", "fec0::1%eth0"),
        ("::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3"),
        ("::ffff:10.0.0.0/104", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
    ],
)
def test_every_spelling_of_an_address_is_the_same_address(network: str, inside: str, outside: str) -> None:
    held = Networks.parse((network,))
    assert (inside in held, outside in held) == (True, False)


@pytest.mark.parametrize(
    "text",
    ["", " ", "10.0.0", "10.0.0.256", "010.0.0.1", "1.2.3.4%eth0", "::1%", "[::1]", "localhost", "10.0.0.1\n",
     "x" * 100_000, "10.0.0.1/8", "٣.1.1.1", "167772161"],
)  # fmt: skip
def test_what_is_no_address_is_in_no_network(text: str) -> None:
    assert parse_address(text) is None
    assert text not in Networks.parse(("0.0.0.0/0", "::/0"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("10.0.0.1/8", '"10.0.0.0/8"'),
        ("2001:db8::1/32", '"2001:db8::/32"'),
        ("10.0.0.0/33", "no network"),
        ("10.0.0.0/-1", "no network"),
        ("10.0.0.0/255.0.0.0", "no network"),
        ("10.0.0.0/", "no network"),
        ("10.0.0.0/٨", "no network"),
        ("10/8", "no network"),
        ("fe80::%eth0/64", "no network"),
        ("example.com", "no network"),
        ("", "no network"),
    ],
)
def test_a_text_that_is_no_network_is_named(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"no network|beyond its prefix") as refusal:
        Networks.parse(("10.0.0.0/8", text))
    assert repr(text) in str(refusal.value)
    assert says in str(refusal.value)


# Whose address


@pytest.mark.parametrize(
    ("peer", "header", "client"),
    [
        # nobody is trusted to speak for others, but who is named
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9", b"198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", b"198.51.100.1", "198.51.100.1"),
        # from the right, to the first that is not trusted
        ("10.0.0.1", b"198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", b"198.51.100.1, 203.0.113.9, 10.2.3.4,192.0.2.7", "203.0.113.9"),
        ("10.0.0.1", b"<script>, 203.0.113.9", "203.0.113.9"),
        # everybody is trusted
        ("10.0.0.1", b"10.9.9.9, 10.2.3.4", "10.9.9.9"),
        # malformed
        ("10.0.0.1", b"", "10.0.0.1"),
        ("10.0.0.1", b",", "10.0.0.1"),
        ("10.0.0.1", b"203.0.113.9,", "10.0.0.1"),
        ("10.0.0.1", b"203.0.113.9, unknown", "10.0.0.1"),
        ("10.0.0.1", b"203.0.113.9, oops, 10.2.3.4", "10.0.0.1"),
        ("10.0.0.1", b"203.0.113.9 198.51.100.1", "10.0.0.1"),
        ("10.0.0.1", b"\xff\xfe", "10.0.0.1"),
        ("10.0.0.1", b'"203.0.113.9"', "10.0.0.1"),
        # ports and brackets
        ("10.0.0.1", b"203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", b"[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", b"[2001:db8::1]", "2001:db8::1"),
        ("10.0.0.1", b"2001:DB8::1", "2001:db8::1"),
        ("10.0.0.1", b"203.0.113.9:", "10.0.0.1"),
        ("10.0.0.1", b"203.0.113.9:http", "10.0.0.1"),
        ("10.0.0.1", b"203.0.113.9:123456", "10.0.0.1"),
        ("10.0.0.1", b"[203.0.113.9]:80", "10.0.0.1"),
        ("10.0.0.1", b"[2001:db8::1]80", "10.0.0.1"),
        ("10.0.0.1", b"[2001:db8::1", "10.0.0.1"),
        # spellings
        ("::ffff:10.0.0.1", b"203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", b"198.51.100.1", "203.0.113.9"),
        ("fd00::1%eth0", b"::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:DB8::0:1", None, "2001:db8::1"),
        # a Unix socket has none
        ("", b"203.0.113.9", ""),
    ],
)  # fmt: skip
def test_the_client_is_the_first_that_nobody_trusted_vouches_for(
    peer: str, header: bytes | None, client: str
) -> None:
    assert client_address(peer, header, INSIDE) == client


@given(st.binary(max_size=200), ADDRESSES)
def test_a_stranger_cannot_give_himself_an_address(header: bytes, peer: IPv4Address) -> None:
    assert client_address(str(peer), header, Networks()) == str(parse_address(str(peer)))


@given(st.binary(max_size=200), ADDRESSES)
def test_what_stands_left_of_a_client_changes_nothing(made_up: bytes, client: IPv4Address) -> None:
    named = str(client).encode()
    found = client_address("10.0.0.1", made_up + b", " + named + b", 10.0.0.2", INSIDE)
    if str(client) not in INSIDE:
        assert found == client_address("10.0.0.1", named, INSIDE) == str(parse_address(str(client)))


@given(st.one_of(st.binary(max_size=200), st.text("0123456789.:abcf[],% ", max_size=80).map(str.encode)))
def test_the_answer_is_always_an_address(header: bytes) -> None:
    found = client_address("10.0.0.1", header, INSIDE)
    assert str(parse_address(found)) == found
