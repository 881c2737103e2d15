"""The first organisation, project, operator and API key, so that a new platform can be called at once.

1. A person alone needs none of it by name: the organisation and the project are called "default", the person
   operator@localhost, and the key is theirs with every scope.
2. Keys of version 0.1 become API keys of the default project, nobody's, with the scopes that calls need: what
   was handed to a program then cannot manage the platform now.
3. Where there is any credential, revoked or not, no key is made.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Engine

from abyssal.platform.identity.credentials import USUAL_SCOPES
from abyssal.platform.identity.ids import new_id
from abyssal.stores.api_keys import check_given_key, digest_of, new_key, rekeyed
from abyssal.stores.rights import SCOPES, scopes_of
from abyssal.stores.sql.credential_secrets import SecretRow, add_secrets
from abyssal.stores.sql.credentials import CredentialRow, add_credential, has_credentials
from abyssal.stores.sql.members import UserRow, add_member, add_user, find_user_by_email
from abyssal.stores.sql.old_keys import OldKeyRow, old_keys, take_old_keys
from abyssal.stores.sql.organizations import OrganizationRow, add_organization, live_organizations
from abyssal.stores.sql.projects import ProjectRow, add_project, live_projects
from abyssal.stores.sql.revision import next_revision
from abyssal.stores.sql.vault import Vault

FILE_NAME = "first-key"
DEFAULT = "default"
OPERATOR = "operator@localhost"


class FirstKey(msgspec.Struct, frozen=True):
    """What `ensure_first_key` did. `key` is None when there were keys already."""

    key: str | None
    made: bool = False


class _Home(msgspec.Struct, frozen=True):
    """Where the first credentials go, and whose they are."""

    project: str
    user: str


def ensure_first_key(engine: Engine, vault: Vault, data: Path, given: str, *, now_ns: int) -> FirstKey:
    """See the module. The first key is `given`, or a fresh one that is kept in `data`; one transaction.

    The file is mode 600 and is there before the key is, so a crash between leaves nobody locked out. Raises
    ConfigurationError when `given` is no key.
    """
    with engine.connect() as connection:
        if has_credentials(connection) and not old_keys(connection, count=1):
            return FirstKey(None)
    with engine.begin() as connection:
        revision = next_revision(connection)  # of several nodes that start on one database, one goes on
        known = has_credentials(connection)
        found = take_old_keys(connection)
        if known and not found:
            return FirstKey(None)
        home = _home(connection, revision, now_ns)
        for old in found:
            row = _credential(old.id, home.project, None, old.name, scopes_of(USUAL_SCOPES), old.created_at)
            add_credential(connection, msgspec.structs.replace(row, revoked_at=old.revoked_at), revision)
        add_secrets(connection, [_secret_of(old, vault) for old in found])
        if known or found:
            return FirstKey(None)
        key = _first(data, given)
        row = _credential(new_id("key"), home.project, home.user, "first", SCOPES, now_ns)
        add_credential(connection, row, revision)
        digest = digest_of(key.encode(), vault.hash_key())
        add_secrets(connection, [SecretRow(new_id("sec"), row.id, key[-4:], now_ns, digest=digest)])
    return FirstKey(key, made=not given)


def _home(connection: Connection, revision: int, now_ns: int) -> _Home:
    """The default organisation, project and operator, made where they are not there yet."""
    organizations = live_organizations(connection, name=DEFAULT, count=1)
    if organizations:
        organization = organizations[0].id
    else:
        organization = new_id("org")
        add_organization(connection, OrganizationRow(organization, DEFAULT, None, None, None, now_ns))
    user = find_user_by_email(connection, OPERATOR)
    if user is None:
        user = UserRow(new_id("user"), OPERATOR, True, now_ns)
        add_user(connection, user)
        add_member(connection, organization, user.id, "owner", name="operator", created_at=now_ns)
    projects = live_projects(connection, organization, name=DEFAULT, count=1)
    if projects:
        return _Home(projects[0].id, user.id)
    project = ProjectRow(new_id("proj"), organization, DEFAULT, None, None, None, now_ns)
    add_project(connection, project, revision)
    return _Home(project.id, user.id)


def _first(data: Path, given: str) -> str:
    if given:
        check_given_key(given)
        return given
    key = new_key()
    path = data / FILE_NAME
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(key + "\n")
    return key


def _credential(
    key_id: str, project: str, user: str | None, name: str, scopes: tuple[str, ...], created_at: int
) -> CredentialRow:
    return CredentialRow(key_id, "api_key", project, user, name, scopes, None, None, created_at)


def _secret_of(old: OldKeyRow, vault: Vault) -> SecretRow:
    digest = rekeyed(old.digest, vault.hash_key())
    return SecretRow(new_id("sec"), old.id, old.hint, old.created_at, digest=digest)
