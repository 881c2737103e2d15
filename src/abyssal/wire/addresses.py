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
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_KNOWN_ADDRESSES = 4096  # answers that one `Networks` remembers
_MAPPED_BITS = 96  # ::ffff:0:0/96 (RFC 4291 §2.5.5.2)


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address that `text` is by rule 1; None if it is none."""
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

    __slots__ = ("_by_length", "_known")

    def __init__(self, networks: Iterable[tuple[int, int, int]] = ()) -> None:
        """`networks` are address bits (32 or 128), prefix length and network address; see `parse`."""
        found: dict[tuple[int, int], set[int]] = {}
        for bits, length, address in networks:
            found.setdefault((bits, bits - length), set()).add(address >> (bits - length))
        # (address bits, bits to drop, what is left): one look for each length, however many networks.
        self._by_length = tuple((*key, frozenset(left)) for key, left in found.items())
        self._known: dict[str, bool] = {}

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Networks:
        """The networks written as ``10.0.0.0/8``, ``2001:db8::/32``, or an address for itself alone.

        ValueError, one sentence, for the first that is none or has bits beyond its prefix.
        """
        return cls(_parse_network(text) for text in texts)

    def __bool__(self) -> bool:
        return bool(self._by_length)

    def __contains__(self, address: str) -> bool:
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _KNOWN_ADDRESSES:
                self._known.clear()
            known = self._known[address] = self._holds(address)
        return known

    def _holds(self, text: str) -> bool:
        address = parse_address(text)
        if address is None:
            return False
        bits, number = address.max_prefixlen, int(address)
        return any(bits == own and number >> drop in left for own, drop, left in self._by_length)


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
    nearest = peer if own is None else str(own)
    if forwarded_for is None or peer not in trusted:
        return nearest
    client = nearest
    for entry in reversed(forwarded_for.decode("latin-1").split(",")):
        address = _parse_forwarded(entry.strip(" \t"))
        if address is None:
            return nearest
        client = str(address)
        if client not in trusted:
            break
    return client


def _parse_forwarded(entry: str) -> IPv4Address | IPv6Address | None:
    """An address of the header, perhaps in brackets, perhaps with a port."""
    if entry.startswith("["):
        entry, closing, port = entry[1:].partition("]")
        if not closing or ":" not in entry or (port and not port.startswith(":")):
            return None
        port = port[1:] if port else "0"
    elif entry.count(":") == 1:
        entry, _, port = entry.partition(":")
    else:
        port = "0"
    if not (port.isascii() and port.isdecimal() and len(port) <= 5):
        return None
    return parse_address(entry)
