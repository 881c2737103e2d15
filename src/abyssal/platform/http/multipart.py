"""An upload's form (multipart/form-data, RFC 7578): bytes in, the file's content out as it comes. No I/O.

1. The part called `file` is the file, once; every other part is a field of at most 1 KiB, and there are at
   most 16. Fields may stand before the file or behind it.
2. A form that ends before its last boundary is refused: it may have been cut.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from abyssal.wire.errors import BadRequestError, UnsupportedMediaTypeError

FILE = "file"
_LONGEST_FIELD = 1024  # bytes
_MOST_FIELDS = 16

_silent = logging.Logger("multipart", logging.CRITICAL)  # what strangers send is no news


class UploadForm:
    """See the module. `feed` gives the file as it comes; after `end`, `fields` and `filename` are whole."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data":
            raise UnsupportedMediaTypeError(
                "Send the file as multipart/form-data, with the parts `file` and `purpose`."
            )
        if not boundary:
            raise _malformed("its content type names no boundary")
        self.filename: str | None = None  # None until the file began
        self._fields: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self._name = b""  # of a header
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._field: str | None = None  # the field that is being read, None for the file
        self._content = b""  # of it
        self._complete = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._add_name,
                    "on_header_value": self._add_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._add_data,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise _malformed(str(error)) from None
        self._parser.logger = _silent

    @property
    def fields(self) -> Mapping[str, str]:
        """The other parts by name."""
        return self._fields

    def feed(self, data: bytes) -> bytes:
        """What `data` holds of the file. Raises BadRequestError."""
        if self._complete:
            return b""  # an epilogue, which means nothing (RFC 2046 §5.1.1)
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _malformed(str(error)) from None
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def end(self) -> None:
        """Raise BadRequestError unless the form is whole and has a file."""
        if not self._complete:
            raise _malformed("it ends before its last boundary")
        if self.filename is None:
            raise BadRequestError('"file" is missing; it is required.', param=FILE, code="missing_field")

    # --- the parser's side ----------------------------------------------------------------------------

    def _begin_part(self) -> None:
        self._headers = {}

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _end_headers(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition"))
        if disposition != b"form-data" or b"name" not in options:
            raise _malformed("a part has no name")
        if self._headers.get(b"content-transfer-encoding", b"binary").lower() not in (
            b"binary",
            b"8bit",
            b"7bit",
        ):
            raise _malformed("a part has a transfer encoding; send it as it is")
        name = options[b"name"].decode("utf-8", "replace")
        if name == FILE:
            if self.filename is not None:
                raise BadRequestError("Two files in one upload; send one.", param=FILE, code="invalid_value")
            self.filename = options.get(b"filename", b"").decode("utf-8", "replace").replace("%22", '"')
            self._field = None
            return
        if name in self._fields or len(self._fields) >= _MOST_FIELDS:
            raise BadRequestError(
                f"The field {name[:40]!r} is there twice, or there are over {_MOST_FIELDS}; send each once.",
                param=name[:40],
                code="invalid_value",
            )
        self._field, self._content = name, b""
        self._fields[name] = ""

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._pieces.append(data[start:end])
            return
        self._content += data[start:end]
        if len(self._content) > _LONGEST_FIELD:
            raise BadRequestError(
                f"The field {self._field[:40]!r} is over {_LONGEST_FIELD} bytes; a file goes into `file`.",
                param=self._field[:40],
                code="invalid_value",
            )

    def _end_part(self) -> None:
        if self._field is not None:
            self._fields[self._field] = self._content.decode("utf-8", "replace")

    def _end(self) -> None:
        self._complete = True


def _malformed(why: str) -> BadRequestError:
    return BadRequestError(
        f"The body is no multipart/form-data form: {why}. Most clients make one by themselves.",
        code="invalid_multipart",
    )
