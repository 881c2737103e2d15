"""What may be asked of files that a service keeps: the arguments of `client.files`.

Source: OpenAI API, "Files".
"""

from __future__ import annotations

from typing import Literal

from abyssal.client.params import CallOptions, PageOptions, request_body


class UploadParams(CallOptions, total=False):
    """Those of `files.create`, but for the file."""

    filename: str | None
    """What it is called, if not by the name that it comes with."""
    purpose: Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"] | None
    expires_in: int | None
    """Seconds after which it is gone; None keeps it."""


class FileListParams(PageOptions, total=False):
    """Those of `files.list`."""

    purpose: str | None
    order: Literal["asc", "desc"] | None


_UPLOAD = frozenset(UploadParams.__annotations__)


def upload_fields(params: UploadParams) -> dict[str, str]:
    """The fields of the form beside the file. Raises TypeError for arguments that do not exist."""
    given = request_body("create", params, _UPLOAD, ())
    fields = {"purpose": str(given.get("purpose", "user_data"))}
    if "expires_in" in given:
        fields["expires_after[anchor]"] = "created_at"
        fields["expires_after[seconds]"] = str(given["expires_in"])
    return fields
