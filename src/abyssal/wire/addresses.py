"""Network addresses as text: which networks hold one, and whose address stands behind trusted proxies.

1. An address has one spelling: IPv6 compressed in lower case (RFC 5952), without a zone; an IPv4-mapped
   one (``::ffff:192.0.2.1``) is the IPv4 address that it maps.
2. What is no address is in no network.
3. The client is the peer of the connection. Only if that peer is trusted is `X-Forwarded-For` read, from
   its right end, where the nearest proxy wrote: the first address that is not trusted is the client. What
   stands to the left of it the client may have made up.
4. Something there that is no address ends the search: then the peer is the client.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_REMEMBERED = 4096  # texts, and which address each is
_LONGEST = 64  # characters; what is longer is no address, and is not remembered either
_MAPPED_BITS = 96  # ::ffff:0:0/96 (RFC 4291 §2.5.5.2)


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address that `text` is by rule 1; None if it is none."""
    return _parse(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=_REMEMBERED)
def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv6Address(int(address)) if address.scope_id is not None else address


class Networks:
    """A set of networks; ``"192.0.2.1" in networks`` takes any spelling of an address."""

    __slots__ = ("_by_bits",)

    def __init__(self, networks: Iterable[tuple[int, int, int]] = ()) -> None:
        """`networks` are address bits (32 or 128), prefix length and network address; see `parse`."""
        found: dict[int, dict[int, set[int]]] = {}
        for bits, length, address in networks:
            drop = bits - length
            found.setdefault(bits, {}).setdefault(drop, set()).add(address >> drop)
        # By address bits: (bits to drop, what is left). One look for each length, however many networks.
        self._by_bits = {
            bits: tuple((drop, frozenset(left)) for drop, left in lengths.items())
            for bits, lengths in found.items()
        }

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Networks:
        """The networks written as ``10.0.0.0/8``, ``2001:db8::/32``, or an address for itself alone.

        ValueError, one sentence, for the first that is none or has bits beyond its prefix.
        """
        return cls(_parse_network(text) for text in texts)

    def __bool__(self) -> bool:
        return bool(self._by_bits)

    def __contains__(self, address: str) -> bool:
        parsed = parse_address(address)
        return parsed is not None and self.holds(parsed)

    def holds(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether `address`, as `parse_address` gives it, is in one of the networks."""
        number = int(address)
        return any(number >> drop in left for drop, left in self._by_bits.get(address.max_prefixlen, ()))


def _parse_network(text: str) -> tuple[int, int, int]:
    address, slash, length = text.partition("/")
    example = "write for example 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1"
    if "%" in text or (slash and not (length.isascii() and length.isdecimal())):
        raise ValueError(f"{text!r} is no network; {example}")
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is no network; {example}") from None
    if network.network_address != ip_address(address):
        raise ValueError(f'{text!r} has bits beyond its prefix; did you mean "{network}"?')
    bits, prefix = network.max_prefixlen, network.prefixlen
    if isinstance(network, IPv6Network) and prefix >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return 32, prefix - _MAPPED_BITS, int(mapped)
    return bits, prefix, int(network.network_address)


def client_address(peer: str, forwarded_for: bytes | None, trusted: Networks) -> str:
    """The client's address by rules 3 and 4, in its one spelling; a `peer` that is none is left as it is.

    `forwarded_for` is the value of `X-Forwarded-For`, several lines joined by commas in their order; None
    without one. A port after an address is allowed, as some proxies write it. When every address is trusted,
    the left-most is the client: the call began within the trusted networks.
    """
    own = parse_address(peer)
    if own is None:
        return peer
    if forwarded_for is None or not trusted.holds(own):
        return str(own)
    client = own
    for entry in reversed(forwarded_for.decode("latin-1").split(",")):
        address = _parse_forwarded(entry.strip(" \t"))
        if address is None:
            return str(own)
        client = address
        if not trusted.holds(client):
            break
    return str(client)


def _parse_forwarded(entry: str) -> IPv4Address | IPv6Address | None:
    """An address of the header, perhaps in brackets, perhaps with a port."""
    port = "0"
    if entry.startswith("["):
        entry, closing, rest = entry[1:].partition("]")
        if not closing or ":" not in entry or rest[:1] not in ("", ":"):
            return None
        port = rest[1:] if rest else port
    elif entry.count(":") == 1:
        entry, _, port = entry.partition(":")
    if not (port.isascii() and port.isdecimal() and len(port) <= 5):
        return None
    return parse_address(entry)
