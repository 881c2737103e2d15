"""The opening of a WebSocket: what an upgrade must say, and the head that answers it (RFC 6455 §4.2).

No extension and no subprotocol is taken: messages are small, and compressing each costs more than it saves.
"""

from __future__ import annotations

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidUpgrade
from websockets.http11 import Request
from websockets.server import ServerProtocol

from abyssal.gateway.exchange import Exchange, RequestHead
from abyssal.wire.errors import ApiError, BadRequestError

VERSION_LINE = b"sec-websocket-version: 13\r\n"  # RFC 6455 §4.4
_UPGRADE = b"upgrade: websocket\r\nconnection: Upgrade\r\n"
_JSON = b"content-type: application/json\r\n"


class UpgradeRequiredError(ApiError):
    """The path is a WebSocket's (RFC 9110 §15.5.22)."""

    status, type, default_code = 426, "invalid_request_error", "upgrade_required"


def open_lines(head: RequestHead, upgrade: bytes) -> bytes:
    """The header lines that accept an upgrade; `upgrade` is the field of that name.

    Raises BadRequestError or UpgradeRequiredError.
    """
    headers = Headers()
    for line in head.forwarded.split(b"\r\n"):
        if line.startswith(b"sec-websocket-"):
            name, _, value = line.decode("latin-1").partition(": ")
            headers[name] = value
    headers["Connection"] = "Upgrade"  # as the parser found
    headers["Upgrade"] = upgrade.decode("latin-1")
    try:
        accept, _, _ = ServerProtocol().process_request(Request("/", headers))
    except InvalidUpgrade as error:
        raise UpgradeRequiredError(f"Only upgrades to websocket are known here: {error}.") from None
    except InvalidHandshake as error:
        if headers.get_all("Sec-WebSocket-Version") not in ([], ["13"]):
            raise UpgradeRequiredError(f"Only version 13 of WebSocket is spoken here: {error}.") from None
        raise BadRequestError(f"The WebSocket upgrade is not valid: {error}.", code="bad_upgrade") from None
    return _UPGRADE + b"sec-websocket-accept: %b\r\n" % accept.encode()


def error_lines(error: ApiError) -> bytes:
    """The header lines of a refused upgrade: 426 names what would be taken."""
    return _JSON + (b"upgrade: websocket\r\n" + VERSION_LINE if error.status_code == 426 else b"")


def upgrade_required(exchange: Exchange) -> None:
    """Answer an ordinary request for a WebSocket's path."""
    error = UpgradeRequiredError(
        "This path is a WebSocket's; connect with a WebSocket client (ws:// or wss://)."
    )
    exchange.client.answer(error.status_code, error_lines(error), error.as_json())
