"""The tables. Times are Unix nanoseconds, durations microseconds, tokens integers; lists are JSON texts.

What the data plane follows (projects, credentials, token keys, revoked tokens) carries the `revision` of its
last change; the row `identity` of `revisions` has the newest, and is written in the same transaction.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

# --- identity -----------------------------------------------------------------------------------------

revisions = Table(
    "revisions",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# `scopes`, `models`, `networks` of an organisation or a project: NULL is no limit.
organizations = Table(
    "organizations",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("scopes", Text),
    Column("models", Text),
    Column("networks", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("archived_at", BigInteger),
)

projects = Table(
    "projects",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("organization_id", String(40), ForeignKey("organizations.id"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("scopes", Text),
    Column("models", Text),
    Column("networks", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("archived_at", BigInteger),
    Column("revision", BigInteger, nullable=False, index=True),
)

users = Table(
    "users",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("email", String(320), nullable=False, unique=True),
    Column("operator", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

members = Table(
    "members",
    metadata,
    Column("organization_id", String(40), ForeignKey("organizations.id"), primary_key=True),
    Column("user_id", String(40), ForeignKey("users.id"), primary_key=True, index=True),
    Column("name", String(200), nullable=False),  # what this organisation calls the person
    Column("role", String(20), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

credentials = Table(
    "credentials",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("project_id", String(40), ForeignKey("projects.id"), nullable=False, index=True),
    Column("user_id", String(40), ForeignKey("users.id"), index=True),  # NULL: nobody's, a service's
    Column("name", String(200), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("models", Text),
    Column("networks", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
    Column("revision", BigInteger, nullable=False, index=True),
)

# What proves a credential: one row, two while it is rotated. Which of the three columns is used depends on
# the kind: `digest` for API keys, `sealed` for clients and signing keys, `public_key` (32 bytes) for ed25519.
secrets = Table(
    "secrets",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("credential_id", String(40), ForeignKey("credentials.id"), nullable=False, index=True),
    Column("digest", LargeBinary(32), unique=True),
    Column("sealed", LargeBinary),
    Column("public_key", LargeBinary(32)),
    Column("hint", String(8), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("warned_at", BigInteger),
)

# Keys that access tokens are signed with. `public_pem` is published from `created_at` on, tokens are signed
# from `active_at` on, `retired_at` ends its use; tokens signed before are good until they expire.
token_keys = Table(
    "token_keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("public_pem", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("active_at", BigInteger, nullable=False),
    Column("retired_at", BigInteger),
    Column("revision", BigInteger, nullable=False, index=True),
)

revoked_tokens = Table(
    "revoked_tokens",
    metadata,
    Column("jti", String(64), primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),
)

# --- secrets at rest ----------------------------------------------------------------------------------

# Which master key new seals are made with. A writer reads it in its own transaction (FOR SHARE), so that
# nothing is sealed with a key that is being replaced.
master_keys = Table(
    "master_keys",
    metadata,
    Column("name", String(40), primary_key=True),  # always "current"
    Column("key_id", String(40), nullable=False),
)

# The platform's own: `hash-key` for API keys.
platform_secrets = Table(
    "platform_secrets",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# --- the control plane's own --------------------------------------------------------------------------

# The answer to a creation, sealed since it may carry a secret that is shown once.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("caller", String(40), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("request", LargeBinary(32), nullable=False),
    Column("status", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False, index=True),
)

notifications = Table(
    "notifications",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("organization_id", String(40), ForeignKey("organizations.id"), nullable=False, index=True),
    Column("kind", String(40), nullable=False),
    Column("subject", String(40), nullable=False),
    Column("message", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# --- conversations ------------------------------------------------------------------------------------

# `content` or `sealed`: JSON, plain or under the master key, by `encrypt_conversations` when it was written.
# `lease_holder` is the call that may add a turn, until `lease_until`.
conversations = Table(
    "conversations",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("project_id", String(40), ForeignKey("projects.id"), nullable=False),
    Column("user_id", String(512)),
    Column("content", LargeBinary),
    Column("sealed", LargeBinary),
    Column("turns", Integer, nullable=False),
    Column("ttl_us", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("lease_holder", String(100)),
    Column("lease_until", BigInteger),
)

# What one call added: its new messages and the answer. `tokens` is an estimate.
turns = Table(
    "turns",
    metadata,
    Column("conversation_id", String(40), ForeignKey("conversations.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("call_id", String(40), nullable=False),
    Column("model", String(256), nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("content", LargeBinary),
    Column("sealed", LargeBinary),
    Column("created_at", BigInteger, nullable=False),
)

# --- files ---------------------------------------------------------------------------------------------

# What clients uploaded; the bytes are in `stores.blobs`, under the hexadecimal part of the id.
files = Table(
    "files",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("project_id", String(40), ForeignKey("projects.id"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("purpose", String(40), nullable=False),
    Column("media_type", String(100), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, index=True),
)
Index("ix_files_project_created", files.c.project_id, files.c.created_at, files.c.id)

# --- calls --------------------------------------------------------------------------------------------

# One row per call that reached an upstream; the primary key makes a replayed journal harmless.
usage = Table(
    "usage",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("key_id", String(40), nullable=False),
    Column("model", String(256), nullable=False),
    Column("upstream", String(200), nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("status", Integer, nullable=False),
    Column("code", String(80), nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("first_byte_us", BigInteger, nullable=False),
    Column("total_us", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Turned away for who they were or were not: what an operator looks at after an attack. No secret is in it.
refusals = Table(
    "refusals",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("address", String(45), nullable=False),
    Column("way", String(20), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("credential_id", String(40), nullable=False),
)

# What version 0.1 kept its keys in (their plain SHA-256); emptied at the first start that finds rows in it.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("hint", String(8), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

# For lists, page by page: of one project, and of all.
_MADE = (credentials.c.created_at, credentials.c.id)
Index("ix_credentials_kind_project", credentials.c.kind, credentials.c.project_id, *_MADE)
Index("ix_credentials_kind_created", credentials.c.kind, *_MADE)

_OWN = (conversations.c.created_at, conversations.c.id)
Index("ix_conversations_project", conversations.c.project_id, *_OWN)
Index("ix_conversations_user", conversations.c.project_id, conversations.c.user_id, *_OWN)
