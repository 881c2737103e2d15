"""Reads what a client posts: form parameters, and who it says it is. Pure.

1. Parameters come in the body alone, as `application/x-www-form-urlencoded` in UTF-8 (RFC 6749 §3.2,
   appendix B). One without a value counts as absent, an unknown one is ignored, one that is there twice is
   refused.
2. A client proves itself by HTTP Basic, id and secret form-encoded before they are joined (§2.3.1), or by
   the fields `client_id` and `client_secret`; never by both. `client_id` beside Basic is allowed when it
   names the same client.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote_plus

from abyssal.platform.oauth.errors import InvalidClientError, InvalidRequestError

MOST_BODY = 16 * 1024  # bytes
_MOST_FIELDS = 64
_FORM = re.compile(r"application/x-www-form-urlencoded\s*(;\s*charset=\"?utf-8\"?\s*)?", re.IGNORECASE)
_CLIENT_ID = re.compile(r"[!-~]{1,40}")
_SHOWABLE_ID = re.compile(r"client_[0-9a-z]{1,33}")


class Presented(NamedTuple):
    """The client that a request claims to come from, and what it offers as proof."""

    client_id: str
    secret: str

    def __repr__(self) -> str:
        return f"Presented(client_id={shown(self.client_id)!r}, secret=****)"


def parse_form(content_type: str, query: str, body: bytes) -> dict[str, str]:
    """The parameters of a request; InvalidRequestError when they are not as rule 1 says."""
    if _FORM.fullmatch(content_type.strip()) is None:
        raise InvalidRequestError(
            "The body must be a form: send content-type application/x-www-form-urlencoded."
        )
    if query:
        raise InvalidRequestError("Parameters belong in the body of the request, none in its address.")
    if len(body) > MOST_BODY:
        raise InvalidRequestError(f"The body is longer than {MOST_BODY} bytes.", status=413)
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise InvalidRequestError(
            f"The body is not a form of at most {_MOST_FIELDS} fields in percent-encoded UTF-8."
        ) from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidRequestError("A parameter is there more than once; send each once.")
    return {name: value for name, value in fields.items() if value}


def client_of(fields: dict[str, str], authorization: Sequence[str]) -> Presented:
    """The client as rule 2 says; `authorization` are the values of all header fields of that name.

    Raises InvalidRequestError for two ways at once, InvalidClientError for none or a malformed one.
    """
    named, secret = fields.get("client_id", ""), fields.get("client_secret", "")
    if not authorization:
        if not named or not secret:
            raise InvalidClientError("")
        return Presented(named, secret)
    if len(authorization) > 1 or secret:
        raise InvalidRequestError("The client proves itself in two ways at once; use one of them.")
    presented = _basic(authorization[0])
    if named and named != presented.client_id:
        raise InvalidRequestError("The client_id in the body is not the one in the authorization header.")
    return presented


def shown(client_id: str) -> str:
    """`client_id` where it looks like one of ours, else "": it may be a secret that was put in its place."""
    return client_id if _SHOWABLE_ID.fullmatch(client_id) else ""


def may_exist(client_id: str) -> bool:
    """Whether a client could have this id, so that it is worth asking for."""
    return _CLIENT_ID.fullmatch(client_id) is not None


def _basic(header: str) -> Presented:
    scheme, _, encoded = header.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError
        client_id, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        if not colon:
            raise ValueError
        return Presented(unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict"))
    except (ValueError, binascii.Error):
        raise InvalidClientError("malformed") from None
