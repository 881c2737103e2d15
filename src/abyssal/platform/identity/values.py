"""Single values that callers send, judged: names, addresses, scopes, models, networks, ends. Pure.

Each function gives the value as it is stored, or raises BadRequestError whose `param` names the field.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from ipaddress import IPv6Network, ip_network

from abyssal.platform.identity.limits import Limits, Names
from abyssal.stores.rights import BITS, ROLES, SCOPES, mask_of
from abyssal.wire.errors import BadRequestError

LONGEST_LIFE = 100 * 365 * 86_400  # seconds; a sum with it still fits into the database's integers
_LONGEST_NAME, _LONGEST_EMAIL = 200, 320
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_MAPPED = IPv6Network("::ffff:0:0/96")  # IPv4 addresses written as IPv6 ones (RFC 4291 §2.5.5.2)
_SECOND = 1_000_000_000


def checked_name(text: str, field: str = "name") -> str:
    """A name for people: 1 to 200 printable characters without blanks around them."""
    name = text.strip()
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise _invalid(field, f"a name has 1 to {_LONGEST_NAME} printable characters")
    return name


def checked_email(text: str) -> str:
    """An e-mail address in lower case."""
    email = text.strip().lower()
    if len(email) > _LONGEST_EMAIL or not email.isprintable() or not _EMAIL.fullmatch(email):
        raise _invalid("email", "an address has the form name@host")
    return email


def checked_role(role: str) -> str:
    """The name of a role."""
    if role not in ROLES:
        raise _invalid("role", f"there is no role {role!r}, there are: {', '.join(ROLES)}")
    return role


def checked_limits(scopes: Names | None, models: Names | None, networks: Names | None) -> Limits:
    """Lists as a request names them: doubled values once, networks in their usual notation."""
    for scope in scopes or ():
        if scope not in BITS:
            raise _invalid("scopes", f"there is no scope {scope[:40]!r}, there are: {', '.join(SCOPES)}")
    for model in models or ():
        if not 0 < len(model) <= _LONGEST_NAME or not model.isprintable() or " " in model:
            raise _invalid("models", f"a model's name has 1 to {_LONGEST_NAME} characters and no blank")
    return Limits(
        Limits().scopes if scopes is None else mask_of(scopes),
        None if models is None else tuple(dict.fromkeys(models)),
        None if networks is None else tuple(dict.fromkeys(map(_network, networks))),
    )


def checked_end(end: datetime | None, *, now_ns: int, field: str = "expires_at") -> int | None:
    """A moment to come, in Unix nanoseconds, cut to the second; None stays None (never)."""
    if end is None:
        return None
    try:
        seconds = int(end.astimezone(UTC).timestamp())
    except OverflowError:
        raise _invalid(field, "there is no such moment in UTC") from None
    if not now_ns < seconds * _SECOND <= now_ns + LONGEST_LIFE * _SECOND:
        raise _invalid(field, "the end is a moment to come, within 100 years")
    return seconds * _SECOND


def _network(text: str) -> str:
    try:
        if "%" in text:
            raise ValueError("zones are of one machine only")
        network = ip_network(text)
    except ValueError as error:
        problem = f"{text[:60]!r} is no network in CIDR notation such as 10.0.0.0/8"
        raise _invalid("networks", f"{problem} ({error!s:.100})") from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        address = network.network_address.ipv4_mapped
        return f"{address}/{network.prefixlen - 96}"
    return str(network)


def _invalid(field: str, problem: str) -> BadRequestError:
    return BadRequestError(f'"{field}": {problem}.', param=field, code="invalid_value")
