"""The revisions of the schema, oldest first. Each is an Alembic revision file in `versions/`.

A new one: a file there, its module at the end of MODULES. Written to go forward only (back is a restored
backup), in one transaction on both databases, without the tables of `schema.py`, which move on.
"""

from __future__ import annotations

_VERSIONS = f"{__name__}.versions"
MODULES = (
    f"{_VERSIONS}.0001_foundation",
    f"{_VERSIONS}.0002_identity",
    f"{_VERSIONS}.0003_conversations",
    f"{_VERSIONS}.0004_files",
)


def revision_of(module: str) -> str:
    """The revision that a module's name begins with: `0001` of `….versions.0001_foundation`."""
    return module.rpartition(".")[2].partition("_")[0]


HEAD = revision_of(MODULES[-1])
