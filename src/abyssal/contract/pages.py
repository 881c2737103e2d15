"""The pages of documentation: the table and the document, rendered; they need no script."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from abyssal import __version__
from abyssal.contract.document import document_bytes, statuses
from abyssal.contract.operation import Operation
from abyssal.contract.operations import OPERATIONS, TAGS
from abyssal.contract.reading import inline, prose, reached, rows, words
from abyssal.wire.errors import NotFoundError

_HERE = Path(__file__).parent
FAMILIES: dict[str, str] = {tag.lower(): tag for tag in TAGS}
"""Names of pages, and the tags that they are about."""
PAGES: tuple[str, ...] = ("front", "overview", *FAMILIES)


class Shown(NamedTuple):
    """An operation beside what the document says of it."""

    operation: Operation
    described: dict[str, Any]
    errors: tuple[int, ...]


def render(page: str, models: Sequence[str]) -> bytes:
    """The page called `page`, one of PAGES, as HTML."""
    document = _document()
    schemas = document["components"]["schemas"]
    tag = FAMILIES.get(page, "")
    shown = [
        Shown(operation, document["paths"][operation.path][operation.method.lower()], statuses(operation))
        for operation in OPERATIONS
        if operation.tag == tag
    ]
    template = "family" if tag else page
    text = (
        _environment()
        .get_template(f"{template}.html")
        .render(
            page=page,
            tag=tag,
            tags=TAGS,
            families=FAMILIES,
            by_tag={name: [item for item in OPERATIONS if item.tag == name] for name in TAGS},
            shown=shown,
            schemas=schemas,
            types=reached(schemas, [[item.described, _errors_of(document, item)] for item in shown]),
            responses=document["components"]["responses"],
            schemes=document["components"]["securitySchemes"],
            about=document["info"]["description"],
            models=models,
            version=__version__,
        )
    )
    return text.encode()


def static_file(name: str) -> bytes:
    """A file that pages use. Raises NotFoundError."""
    found = {path.name: path for path in (_HERE / "static").iterdir()}.get(name)
    if found is None:
        raise NotFoundError(f'There is no file "{name[:100]}" here.')
    return found.read_bytes()


@cache
def _document() -> dict[str, Any]:
    return msgspec.json.decode(document_bytes())


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = made.filters
    filters.update(prose=prose, inline=inline, rows=rows, words=words)
    return made


def _errors_of(document: dict[str, Any], shown: Shown) -> list[Any]:
    responses = document["components"]["responses"]
    references = [answer.get("$ref", "") for answer in shown.described["responses"].values()]
    return [responses[reference.rpartition("/")[2]] for reference in references if reference]
