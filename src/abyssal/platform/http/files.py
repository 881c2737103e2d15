"""The routes of files, under `/v1/files` and `/files`: OpenAI's, with the ids of the official service.

1. Who asks is found out before anything of a body is read; an upload is answered when it is on the disk.
2. Content is given out as an attachment of its sniffed type, which no browser may guess anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from abyssal.platform.files import library
from abyssal.platform.files.arrival import Arrival, on_disk
from abyssal.platform.files.library import Owner
from abyssal.platform.files.objects import file_object
from abyssal.platform.files.rules import (
    USUAL_PURPOSE,
    checked_purpose,
    clean_name,
    expiry,
    key_of,
    no_such_file,
)
from abyssal.platform.http.multipart import UploadForm
from abyssal.platform.http.ranges import is_heeded
from abyssal.platform.http.reading import read_proof, read_query
from abyssal.platform.plane import ControlPlane
from abyssal.stores.sql.files import FileRow
from abyssal.wire.errors import PayloadTooLargeError, UnsupportedMediaTypeError
from abyssal.wire.files import FileDeleted

ROOTS = ("/v1/files", "/files")
FORM_ROOM = 64 * 1024  # bytes of an upload that are not the file's
_GONE = 499  # nobody hears it

_encode = msgspec.json.Encoder().encode


def file_routes(plane: ControlPlane) -> list[BaseRoute]:
    """The routes. They raise ApiError for what is to be answered with an error object."""
    routes: list[BaseRoute] = []
    for root in ROOTS:
        of_root = {"GET": _list_files, "POST": _upload}
        of_file = {"GET": _show, "DELETE": _delete}
        routes += [
            _route(plane, root, of_root),
            _route(plane, f"{root}/{{id}}", of_file),
            _route(plane, f"{root}/{{id}}/content", {"GET": _content}),
        ]
    return routes


Answer = Callable[[ControlPlane, Owner, Request], Awaitable[Response]]


def _route(plane: ControlPlane, path: str, of_method: Mapping[str, Answer]) -> Route:
    async def answer(request: Request) -> Response:
        proof = read_proof(request.headers)
        owner = await plane.run(lambda: library.find_owner(plane, proof))
        handle = of_method["GET" if request.method == "HEAD" else request.method]
        return await handle(plane, owner, request)

    return Route(path, answer, methods=list(of_method))


async def _list_files(plane: ControlPlane, owner: Owner, request: Request) -> Response:
    query = read_query(request.query_params, library.QUERY)
    return _json(await plane.run(lambda: library.list_files(plane, owner, query)))


async def _show(plane: ControlPlane, owner: Owner, request: Request) -> Response:
    return _json(file_object(await _row(plane, owner, request)))


async def _content(plane: ControlPlane, owner: Owner, request: Request) -> Response:
    row = await _row(plane, owner, request)
    _judge_range(request, row.size)
    try:
        path = await on_disk(lambda: plane.blobs.find(key_of(row.id)))
    except FileNotFoundError:  # it was deleted in this moment
        raise no_such_file(row.id) from None
    headers = {
        "content-disposition": f"attachment; filename*=utf-8''{quote(row.name, safe='')}",
        "x-content-type-options": "nosniff",
        "cache-control": "private, no-cache",
    }
    return FileResponse(path, headers=headers, media_type=row.media_type)


def _judge_range(request: Request, size: int) -> None:
    """Leave the field in the request where it counts. Raises BadRequestError (416)."""
    asked = request.headers.getlist("range")
    if asked and (len(asked) > 1 or not is_heeded(asked[0], size)):
        request.scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] != b"range"]


async def _delete(plane: ControlPlane, owner: Owner, request: Request) -> Response:
    row = await _row(plane, owner, request)
    key = key_of(row.id)
    await on_disk(lambda: plane.blobs.withdraw(key))
    await plane.run(lambda: library.forget_file(plane, owner, row.id))
    await on_disk(lambda: plane.blobs.remove(key))
    return _json(FileDeleted(id=row.id))


async def _upload(plane: ControlPlane, owner: Owner, request: Request) -> Response:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaTypeError("A compressed upload is not taken here; send the file as it is.")
    _check_announced(plane, owner, request)
    form = UploadForm(request.headers.get("content-type", ""))
    arrival = Arrival(plane, owner)
    try:
        async for piece in request.stream():
            data = form.feed(piece)
            if data:
                _purpose(form)  # before all of a large file has come in vain
                await arrival.add(data)
        form.end()
        row = await _keep(plane, arrival, form)
    except ClientDisconnect:
        return Response(status_code=_GONE)
    finally:
        await arrival.drop()
    return _json(file_object(row))


async def _keep(plane: ControlPlane, arrival: Arrival, form: UploadForm) -> FileRow:
    now_ns, fields = plane.clock.unix_ns(), form.fields
    ends = expiry(fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]"), now_ns)
    return await arrival.keep(clean_name(form.filename or ""), _purpose(form), ends, now_ns=now_ns)


def _purpose(form: UploadForm) -> str:
    return checked_purpose(form.fields.get("purpose", USUAL_PURPOSE))


def _check_announced(plane: ControlPlane, owner: Owner, request: Request) -> None:
    """Raise PayloadTooLargeError for what is too large by its own account, before any of it is read."""
    announced = request.headers.get("content-length", "0")
    most = plane.files.max_size
    least = int(announced) - FORM_ROOM if announced.isdigit() else 0
    if least > most:
        raise PayloadTooLargeError(
            f"The file is over {most} bytes; send a smaller one, or have files.max_size raised.",
            param="file",
        )
    if least > owner.room or not owner.room:
        raise library.no_room(plane.files)


async def _row(plane: ControlPlane, owner: Owner, request: Request) -> FileRow:
    file_id = str(request.path_params["id"])
    return await plane.run(lambda: library.show_file(plane, owner, file_id))


def _json(body: msgspec.Struct) -> Response:
    return Response(_encode(body), headers={"cache-control": "no-store"}, media_type="application/json")
