"""Whose a request is: a project, a credential of it, and the principal that a proof makes of that.

Made from what the control plane publishes (`auth.directory`); every stage may ask them, none changes them.
"""

from __future__ import annotations

from abyssal.stores.snapshot import CredentialRecord, ProjectRecord
from abyssal.wire.addresses import Networks


class Project:
    """A project and its organisation's limits. One object for as long as it is published."""

    __slots__ = ("active", "id", "models", "networks", "organization", "scopes")

    def __init__(self, record: ProjectRecord) -> None:
        self.id = record.id
        self.update(record)

    def update(self, record: ProjectRecord) -> None:
        """Take over what changed."""
        self.organization, self.scopes, self.active = record.organization, record.scopes, record.active
        self.models = None if record.models is None else frozenset(record.models)
        self.networks = tuple(Networks.parse(allowed) for allowed in record.networks)


class Credential:
    """A credential that was used since it was published. Times are Unix nanoseconds, 0 for never."""

    __slots__ = (
        "expires_at", "id", "kind", "live", "models", "networks", "principal", "project", "scopes",
        "secrets", "user",
    )  # fmt: skip

    def __init__(self, record: CredentialRecord, project: Project) -> None:
        self.id, self.kind, self.user = record.id, record.kind, record.user
        self.project = project
        self.scopes = record.scopes
        self.models = None if record.models is None else frozenset(record.models)
        self.networks = None if record.networks is None else Networks.parse(record.networks)
        self.expires_at = record.expires_at
        self.secrets = record.secrets
        self.live = True
        self.principal = Principal(self, record.scopes)

    def admits(self, address: str) -> bool:
        """Whether it may be used from `address`."""
        own = self.networks
        return (own is None or address in own) and all(address in other for other in self.project.networks)


class Principal:
    """Who asks: a credential, with the scopes that its proof carries (bits of `stores.rights`)."""

    __slots__ = ("_scopes", "credential", "id")

    def __init__(self, credential: Credential, scopes: int) -> None:
        self.credential = credential
        self.id = credential.id
        self._scopes = scopes

    @property
    def scopes(self) -> int:
        """What the proof, the credential and the project all allow."""
        return self._scopes & self.credential.scopes & self.credential.project.scopes

    def may_use(self, model: str) -> bool:
        """Whether the allow-lists have `model`, the name that the client uses."""
        own, shared = self.credential.models, self.credential.project.models
        return (own is None or model in own) and (shared is None or model in shared)

    @property
    def may_use_all(self) -> bool:
        """Whether there is no allow-list."""
        return self.credential.models is None and self.credential.project.models is None
