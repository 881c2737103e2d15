"""Who there is, in memory: what the control plane published, found by lookup. It judges nobody.

1. Entries rest as bytes and become a `Credential` at their first use (`stores.snapshot`).
2. A whole picture is gathered beside the one in force and takes its place when it is complete.
3. An object that was replaced says so (`live`), so that whoever remembers it knows at once.
"""

from __future__ import annotations

from heapq import heappop, heappush

from abyssal.gateway.principal import Credential, Project
from abyssal.stores.api_keys import KeyDigest
from abyssal.stores.snapshot import KEPT_REVOKED, Snapshot, TokenKey, decode_record


class _Picture:
    __slots__ = ("endings", "entries", "projects", "revoked")

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes | Credential] = {}
        self.projects: dict[str, Project] = {}
        self.revoked: set[str] = set()
        self.endings: list[tuple[int, str]] = []  # a heap


class Directory:
    """See the module."""

    def __init__(self) -> None:
        self._now = _Picture()
        self._coming: _Picture | None = None
        self._digest = KeyDigest(bytes(32))
        self.token_keys: dict[str, TokenKey] = {}
        self.version = 0

    def take(self, piece: Snapshot) -> bool:
        """Take a piece of a snapshot; True when with it a new version is in force."""
        if piece.whole:
            self._coming = _Picture()
        picture = self._coming or self._now
        if piece.hash_key is not None:
            self._digest = KeyDigest(piece.hash_key)
        if piece.token_keys is not None:
            self.token_keys = {key.id: key for key in piece.token_keys}
        for record in piece.projects:
            known = picture.projects.get(record.id)
            if known is None:
                picture.projects[record.id] = Project(record)
            else:
                known.update(record)
        entries = picture.entries
        for entry in piece.entries:
            before = entries.get(entry.lookup)
            if isinstance(before, Credential):
                before.live = False
            if entry.record:
                entries[entry.lookup] = entry.record
            elif before is not None:
                del entries[entry.lookup]
        for token in piece.revoked_tokens:
            if token.jti not in picture.revoked:
                picture.revoked.add(token.jti)
                heappush(picture.endings, (token.expires_at, token.jti))
        if not piece.last:
            return False
        if self._coming is not None:
            for old in self._now.entries.values():
                if isinstance(old, Credential):
                    old.live = False
            self._now, self._coming = self._coming, None
        self.version = piece.version
        return True

    def of_key(self, key: bytes) -> Credential | None:
        """The API key's credential."""
        return self._find(self._digest(key))

    def of_id(self, credential_id: str) -> Credential | None:
        """The credential of that id; API keys are not found this way."""
        return self._find(credential_id.encode())

    def is_revoked(self, jti: str) -> bool:
        """Whether the access token of that id was revoked."""
        return jti in self._now.revoked

    def forget_ended(self, now_ns: int) -> None:
        """Let go of revocations of tokens that ended long ago (`KEPT_REVOKED`)."""
        picture = self._now
        while picture.endings and picture.endings[0][0] + KEPT_REVOKED < now_ns:
            picture.revoked.discard(heappop(picture.endings)[1])

    def _find(self, lookup: bytes) -> Credential | None:
        found = self._now.entries.get(lookup)
        if type(found) is bytes:
            record = decode_record(found)
            project = self._now.projects.get(record.project)
            if project is None:
                return None
            found = self._now.entries[lookup] = Credential(record, project)
        return found  # pyright: ignore[reportReturnType]
