"""The stage *compose* for files: what a chat names of the stored ones, or brings along, is put into it.

1. A request without such parts passes at once.
2. Stored files are asked for by the project of who calls, who needs the scope `files`. The control process
   says where they are, and this worker reads them, on a thread.
3. A file that is brought along passes untouched to a model whose upstream takes files.
4. The files of one call are bounded together, since all of them are in memory with it.
5. A file that the conversation remembers and that is gone is told as gone: nobody could send it again, and
   the conversation would end with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from abyssal.gateway.compose.file_contents import Written, brought_part, gone_part, stored_part
from abyssal.gateway.compose.file_parts import (
    NO_HISTORY,
    Place,
    Reference,
    body_with,
    history_in,
    places_of,
    references_of,
)
from abyssal.gateway.exchange import Exchange, Request
from abyssal.stores.file_inquiries import READ, Found, Stored, Wanted
from abyssal.stores.rights import BITS
from abyssal.wire.chat_request import ChatRequest
from abyssal.wire.errors import (
    BadRequestError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    UnavailableError,
)

Ask = Callable[[str, bytes], asyncio.Future[bytes]]

MOST_FILES = 100
_PATIENCE = 15.0  # seconds for the control process to answer
_SCOPE = BITS["files"]

_found = msgspec.msgpack.Decoder(Found)
_pack = msgspec.msgpack.Encoder().encode


class Files:
    """See the module.

    `ask` puts a question to the control process, `takes_files` says it of a model by its name, `most` is the
    bytes that one call's files may have.
    """

    def __init__(
        self,
        ask: Ask,
        loop: asyncio.AbstractEventLoop,
        *,
        takes_files: Callable[[str], bool],
        most: int,
    ) -> None:
        self._ask, self._loop = ask, loop
        self._takes_files, self._most = takes_files, most
        self._at_work: set[asyncio.Task[None]] = set()

    def compose(self, exchange: Exchange, asked: Request | None = None) -> asyncio.Future[None] | None:
        """Put the files in. Raises ApiError, now or in the future.

        `asked` is the request before a history was put in front of it, None where none was.
        """
        request = exchange.request
        assert isinstance(request, ChatRequest)
        places = places_of(request, exchange.body)
        if places is None:
            return None
        history = history_in(request, asked) if isinstance(asked, ChatRequest) else NO_HISTORY
        references = references_of(exchange.body, places, history)
        takes_files = self._takes_files(request.model)
        if takes_files:
            references = [one for one in references if one.file_id is not None]
        if not references:
            return None
        if len(references) > MOST_FILES:
            raise BadRequestError(
                f"{len(references)} files in one call; {MOST_FILES} are the most.",
                param="messages",
                code="invalid_value",
            )
        self._check_size(sum(len(one.data) * 3 // 4 for one in references if one.data is not None))
        ids = list(dict.fromkeys(one.file_id for one in references if one.file_id is not None))
        if ids:
            _check_scope(exchange)
        task = self._loop.create_task(self._put_in(exchange, references, ids, takes_files))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)
        return task

    async def _put_in(
        self, exchange: Exchange, references: Sequence[Reference], ids: list[str], takes_files: bool
    ) -> None:
        stored = await self._stored(exchange, ids) if ids else {}
        size = 0
        for one in references:
            if one.file_id is None:
                size += len(one.data or "") * 3 // 4
            elif one.file_id in stored:
                size += stored[one.file_id].size
            elif not one.remembered:
                raise _no_such_file(one)
        self._check_size(size)

        def work() -> tuple[bytes, dict[Place, Written]]:
            written: dict[Place, Written] = {}
            for one in references:
                written[one.place] = _written(one, stored, takes_files)
            return body_with(exchange.body, {at: part.json for at, part in written.items()}), written

        body, written = await self._loop.run_in_executor(None, work)
        exchange.body = body
        request = exchange.request
        assert isinstance(request, ChatRequest)
        for (at, place), one in written.items():
            content = request.messages[at].content
            assert isinstance(content, list)
            content[place] = one.part

    async def _stored(self, exchange: Exchange, ids: list[str]) -> dict[str, Stored]:
        principal = exchange.principal
        assert principal is not None
        try:
            async with asyncio.timeout(_PATIENCE):
                answer = await self._ask(READ, _pack(Wanted(principal.credential.project.id, ids)))
        except TimeoutError:
            raise UnavailableError(
                "Stored files cannot be read now; try again shortly.", retry_after=1
            ) from None
        found = _found.decode(answer).files
        return {file_id: one for file_id, one in zip(ids, found, strict=True) if one is not None}

    def _check_size(self, size: int) -> None:
        if size > self._most:
            raise PayloadTooLargeError(
                f"The files of this call have {size} bytes together, over {self._most}; send fewer, or "
                "smaller ones.",
                param="messages",
                code="files_too_large",
            )


def _written(reference: Reference, stored: dict[str, Stored], takes_files: bool) -> Written:
    if reference.file_id is None:
        return brought_part(reference)
    file = stored.get(reference.file_id)
    if file is None:
        return gone_part(reference)
    try:
        return stored_part(reference, file.name, file.media_type, file.path, takes_files=takes_files)
    except FileNotFoundError:  # it was deleted in this moment
        if reference.remembered:
            return gone_part(reference)
        raise _no_such_file(reference) from None
    except OSError as error:
        raise UnavailableError(
            f'The file "{file.name}" cannot be read now ({error.strerror}); try again shortly.',
            code="storage_unavailable",
            retry_after=1,
        ) from None


def _check_scope(exchange: Exchange) -> None:
    assert exchange.principal is not None
    if not exchange.principal.scopes & _SCOPE:
        raise PermissionDeniedError(
            "This call names a stored file, and the credential lacks the scope `files`; use one that has it, "
            "or send the content itself.",
            code="scope_missing",
        )


def _no_such_file(reference: Reference) -> NotFoundError:
    """The same for what does not exist and for what is another project's."""
    file_id = (reference.file_id or "")[:80]
    shown = file_id if file_id.isprintable() else "of that id"
    return NotFoundError(
        f"{reference.where}: there is no file {shown} that these credentials can see; upload it first "
        "(POST /v1/files), or check the id.",
        param=reference.where,
    )
