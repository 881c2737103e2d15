"""HTTP message signatures (RFC 9421) of requests: what is signed, and the digest of a body (RFC 9530).

It knows no key, no algorithm and no clock: it reads the fields and makes the bytes that a signature covers.

1. Derived components are those of requests: `@method`, `@target-uri`, `@authority`, `@scheme`,
   `@request-target`, `@path`, `@query`, `@query-param` (§2.2).
2. Fields are covered as they are, lines joined with a comma (§2.1). The parameters `sf`, `bs`, `key`, `req`
   and `tr` are refused: what they armour against does not arise in a request that no intermediary rewrote.
3. No component comes twice, and one that the message does not have cannot be covered (§2.5).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple
from urllib.parse import parse_qsl, quote

from abyssal.wire.structured_fields import (
    InnerList,
    Item,
    Parameters,
    StructuredFieldError,
    byte_sequences,
    inner_lists,
    serialized,
    serialized_item,
    serialized_list,
)

_MAX_QUERY_PARAMETERS = 64  # in a query of which parameters are covered
_MAX_COVERED_PARAMETERS = 8
_MAX_COMPONENTS = 32
_DIGESTS = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}  # RFC 9530 §5: the two that are active
_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}
_is_field_name = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+").fullmatch


class ComponentError(ValueError):
    """A covered component that this message does not have, or that is not taken here."""


class Signature(NamedTuple):
    """One signature of a message: its label, what it covers and says of itself, its bytes."""

    label: str
    covered: InnerList
    value: bytes


class Message(NamedTuple):
    """What of a request can be signed. `target` and `authority` (the Host field) are as sent.

    `scheme` is `http` or `https`; `field` gives a field's value by lower-case name, None when there is none.
    """

    method: bytes
    scheme: bytes
    authority: bytes
    target: bytes
    field: Callable[[bytes], bytes | None]

    @property
    def normal_authority(self) -> bytes:
        """In lower case, without the scheme's own port (RFC 9421 §2.2.3)."""
        return self.authority.lower().removesuffix(_DEFAULT_PORTS.get(self.scheme, b"\0"))


def signatures(signature_input: bytes, signature: bytes) -> list[Signature]:
    """The signatures that the two fields have, in order. Raises StructuredFieldError."""
    values = byte_sequences(signature)
    return [
        Signature(label, covered, values[label])
        for label, covered in inner_lists(signature_input).items()
        if label in values
    ]


def signature_base(covered: InnerList, message: Message) -> bytes:
    """The bytes that are signed (RFC 9421 §2.5). Raises ComponentError."""
    lines: dict[bytes, bytes] = {}
    if len(covered.items) > _MAX_COMPONENTS:
        raise ComponentError(f"over {_MAX_COMPONENTS} components are covered")
    if [item.value for item in covered.items].count("@query-param") > _MAX_COVERED_PARAMETERS:
        raise ComponentError(f"over {_MAX_COVERED_PARAMETERS} query parameters are covered")
    for item in covered.items:
        name = serialized_item(item).encode()
        if name in lines:
            raise ComponentError(f"{item.value} is covered twice")
        lines[name] = _component(item, message)
    lines[b'"@signature-params"'] = serialized_list(covered.items, covered.parameters).encode()
    return b"\n".join([b"%b: %b" % line for line in lines.items()])


def signature_fields(
    message: Message, sign: Callable[[bytes], bytes], components: Iterable[str], parameters: Parameters
) -> dict[str, str]:
    """The two fields that sign `message`; `sign` makes the signature of a base. Raises ComponentError."""
    covered = InnerList(tuple(Item(name, {}) for name in components), parameters)
    value = sign(signature_base(covered, message))
    return {
        "Signature-Input": f"sig1={serialized_list(covered.items, covered.parameters)}",
        "Signature": f"sig1={serialized(value)}",
    }


def content_digest(body: bytes) -> str:
    """The Content-Digest field of `body` (RFC 9530 §2)."""
    return f"sha-256={serialized(hashlib.sha256(body).digest())}"


def digest_fits(field: bytes, body: bytes) -> bool:
    """Whether a Content-Digest has an algorithm that is known, and every one of those fits `body`."""
    try:
        digests = byte_sequences(field)
    except StructuredFieldError:
        return False
    known = [(value, _DIGESTS[name]) for name, value in digests.items() if name in _DIGESTS]
    return bool(known) and all(value == of(body).digest() for value, of in known)


def _component(item: Item, message: Message) -> bytes:
    name = item.value
    if not item.parameters and name in _DERIVED:
        return _DERIVED[name](message)
    if name == "@query-param":
        return _query_parameter(item, message)
    if item.parameters:
        raise ComponentError(f"{name} has parameters; only @query-param may")
    if name.startswith("@"):
        raise ComponentError(f"{name} is not known for requests")
    value = message.field(name.encode()) if _is_field_name(name) else None
    if value is None:
        raise ComponentError(f"there is no field {name}")
    return value.strip(b" \t")


def _target_uri(message: Message) -> bytes:
    if not message.target.startswith(b"/"):
        return message.target
    if not message.authority:
        raise ComponentError("the request has no Host")
    return message.scheme + b"://" + message.authority + message.target


def _path_and_query(message: Message) -> tuple[bytes, bytes]:
    target = message.target
    if not target.startswith(b"/"):
        target = b"/" + target.partition(b"://")[2].partition(b"/")[2]
    path, _, query = target.partition(b"?")
    return path, query


def _query_parameter(item: Item, message: Message) -> bytes:
    """RFC 9421 §2.2.8: decoded as a form, written again in percent-encoding."""
    wanted = item.parameters.get("name")
    if type(wanted) is not str or len(item.parameters) != 1:
        raise ComponentError("@query-param has one parameter, name")
    query = _path_and_query(message)[1].decode("latin-1")
    try:
        pairs = parse_qsl(query, True, errors="replace", max_num_fields=_MAX_QUERY_PARAMETERS)
    except ValueError:
        raise ComponentError(f"the query has more than {_MAX_QUERY_PARAMETERS} parameters") from None
    values = [value for name, value in pairs if _form_quoted(name) == wanted]
    if len(values) != 1:
        raise ComponentError(f"the query has {wanted} {len(values)} times")
    return _form_quoted(values[0]).encode()


def _form_quoted(text: str) -> str:
    return quote(text, safe="*-._").replace("~", "%7E")


_DERIVED: dict[str, Callable[[Message], bytes]] = {
    "@method": lambda message: message.method,
    "@target-uri": _target_uri,
    "@authority": lambda message: message.normal_authority,
    "@scheme": lambda message: message.scheme,
    "@request-target": lambda message: message.target,
    "@path": lambda message: _path_and_query(message)[0],
    "@query": lambda message: b"?" + _path_and_query(message)[1],
}
