"""What kind of content bytes are, told by how they begin and, for text, by the file's name. Pure.

1. A signature decides before a name: a picture that is called `notes.txt` is a picture.
2. What begins like text (UTF-8, no NUL) is text; its name's ending says which, `text/plain` if it is unknown.
3. All else is `application/octet-stream`. What a client says of its content is never believed.
"""

from __future__ import annotations

import codecs

LOOKED_AT = 4096  # bytes that are enough to tell
UNKNOWN = "application/octet-stream"
IMAGES = frozenset(("image/png", "image/jpeg", "image/gif", "image/webp"))

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_OFFICE = "application/vnd.openxmlformats-officedocument."
_ZIPPED = {
    "docx": f"{_OFFICE}wordprocessingml.document",
    "xlsx": f"{_OFFICE}spreadsheetml.sheet",
    "pptx": f"{_OFFICE}presentationml.presentation",
}
_TEXTS = {
    "md": "text/markdown",
    "markdown": "text/markdown",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "html": "text/html",
    "htm": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "mjs": "text/javascript",
    "xml": "application/xml",
    "svg": "image/svg+xml",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "ndjson": "application/jsonl",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "toml": "application/toml",
    "py": "text/x-python",
}
_TEXT_TYPES = frozenset(_TEXTS.values())


def media_type_of(head: bytes, name: str) -> str:
    """The type of content that begins with `head` (its first LOOKED_AT bytes, fewer if it is shorter)."""
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp":
        return "video/mp4"
    if head.startswith(b"PK\x03\x04"):
        return _ZIPPED.get(ending, "application/zip")
    if _begins_like_text(head):
        return _TEXTS.get(ending, "text/plain")
    return UNKNOWN


def is_text(media_type: str) -> bool:
    """Whether content of that type is meant to be read as text."""
    return media_type.startswith("text/") or media_type in _TEXT_TYPES


def _begins_like_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=False)  # a character may be cut at its end
    except UnicodeDecodeError:
        return False
    return True
