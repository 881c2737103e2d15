"""The parts of a chat that are files: found in its body, and put back as what models read. Pure.

1. `{"type": "file", "file": {…}}` names a stored file (`file_id`) or brings one (`file_data`, a data URL or
   base64, with `filename`). An `image_url` part is one if its address, or `file_id`, is a stored file's id.
2. A picture becomes an `image_url` part with a data URL, a text a text part with its name in front; anything
   else stays a file, with its bytes in `file_data`, for a model whose upstream takes files.
3. Every other byte of the body is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from abyssal.wire.chat_request import ChatRequest, DeveloperMessage, SystemMessage
from abyssal.wire.errors import BadRequestError

ID_PREFIX = "file-api-"
_NEEDLE = ID_PREFIX.encode()

Place = tuple[int, int]
"""Which message, and which part of its content."""


class History(NamedTuple):
    """Where a conversation's messages end among those of a call, and how many they are."""

    end: int
    length: int


NO_HISTORY = History(0, 0)


class Reference(msgspec.Struct, frozen=True):
    """A file that a part names or brings. `wants_image`: nothing else will do."""

    place: Place
    file_id: str | None = None
    data: str | None = None
    name: str = "file"
    detail: str | None = None
    wants_image: bool = False
    history: History = NO_HISTORY

    @property
    def remembered(self) -> bool:
        """Whether it is in the history."""
        return self.place[0] < self.history.end

    @property
    def where(self) -> str:
        """The part's place as error objects name it: in the client's own request, where it is there."""
        return _where(self.place, self.history)


class _File(msgspec.Struct):
    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class _Image(msgspec.Struct):
    url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class _Part(msgspec.Struct):
    file: _File | None = None
    image_url: _Image | str | None = None


_top = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list = msgspec.json.Decoder(list[msgspec.Raw])
_part = msgspec.json.Decoder(_Part)
_encode = msgspec.json.Encoder().encode


def history_in(request: ChatRequest, asked: ChatRequest) -> History:
    """What stands in `request` that was not in `asked`, behind the system messages that begin that."""
    messages = asked.messages
    leading = next(
        (
            at
            for at, message in enumerate(messages)
            if not isinstance(message, SystemMessage | DeveloperMessage)
        ),
        len(messages),
    )
    end = max(len(request.messages) - len(messages) + leading, 0)
    return History(end, max(end - leading, 0))


def places_of(request: ChatRequest, body: bytes) -> Sequence[Place] | None:
    """Where parts are that may be files; None, soon, for nearly every request."""
    found: list[Place] | None = None
    for at, message in enumerate(request.messages):
        content = message.content
        if type(content) is list:
            for place, part in enumerate(content):
                if part.type == "file" or (part.type == "image_url" and _NEEDLE in body):
                    found = found or []
                    found.append((at, place))
    return found


def references_of(body: bytes, places: Sequence[Place], history: History = NO_HISTORY) -> list[Reference]:
    """What the parts at `places` refer to. Raises BadRequestError for a file part that has no file."""
    messages = _list.decode(_top.decode(body)["messages"])
    contents: dict[int, list[msgspec.Raw]] = {}
    found: list[Reference] = []
    for at, place in places:
        if at not in contents:
            contents[at] = _list.decode(_top.decode(messages[at])["content"])
        reference = _reference((at, place), contents[at][place], history)
        if reference is not None:
            found.append(reference)
    return found


def body_with(body: bytes, parts: Mapping[Place, bytes]) -> bytes:
    """`body` with other parts (JSON objects) at their places."""
    top: dict[str, Any] = dict(_top.decode(body))
    messages = _list.decode(top["messages"])
    for at in {at for at, _ in parts}:
        message: dict[str, Any] = dict(_top.decode(messages[at]))
        content = _list.decode(message["content"])
        for place in range(len(content)):
            written = parts.get((at, place))
            if written is not None:
                content[place] = msgspec.Raw(written)
        message["content"] = content
        messages[at] = msgspec.Raw(_encode(message))
    top["messages"] = messages
    return _encode(top)


def _where(place: Place, history: History) -> str:
    at = place[0] - history.length if place[0] >= history.end else place[0]
    return f"messages[{at}].content[{place[1]}]"


def _reference(place: Place, raw: msgspec.Raw, history: History) -> Reference | None:
    where = _where(place, history)
    try:
        part = _part.decode(raw)
    except msgspec.ValidationError as error:
        raise BadRequestError(f"{where}: {error}.", param=where, code="invalid_value") from None
    image = part.image_url
    if image is not None:
        image = _Image(url=image) if isinstance(image, str) else image
        url = image.url or ""
        file_id = image.file_id or (url if url.startswith(ID_PREFIX) else None)
        if file_id is None:
            return None
        return Reference(place, file_id, detail=image.detail, wants_image=True, history=history)
    file = part.file
    if file is None or (file.file_id is None) == (file.file_data is None):
        raise BadRequestError(
            f'{where}: a file part has {{"file": {{…}}}} with either "file_id" or "file_data" in it.',
            param=f"{where}.file",
            code="invalid_value",
        )
    return Reference(place, file.file_id, file.file_data, file.filename or "file", history=history)
