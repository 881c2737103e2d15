"""The bytes of response heads: status lines and header lines, made once where they never change."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus

REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
STATUS_LINES = {code: b"HTTP/1.1 %d %b\r\n" % (code, reason) for code, reason in REASONS.items()}

JSON = b"content-type: application/json\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def status_line(status: int) -> bytes:
    """The status line of any status from 200 to 599."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status


def date_line(unix_seconds: float) -> bytes:
    """A `date` header line (RFC 9110 §6.6.1)."""
    return b"date: %b\r\n" % formatdate(unix_seconds, usegmt=True).encode()
