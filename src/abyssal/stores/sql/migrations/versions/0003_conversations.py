"""Conversations and their turns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "conversations",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("project_id", sa.String(40), sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("user_id", sa.String(512)),
        sa.Column("content", sa.LargeBinary),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("turns", sa.Integer, nullable=False),
        sa.Column("ttl_us", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
        sa.Column("lease_holder", sa.String(100)),
        sa.Column("lease_until", sa.BigInteger),
    )
    made = ["created_at", "id"]
    op.create_index("ix_conversations_project", "conversations", ["project_id", *made])
    op.create_index("ix_conversations_user", "conversations", ["project_id", "user_id", *made])
    op.create_table(
        "turns",
        sa.Column("conversation_id", sa.String(40), sa.ForeignKey("conversations.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("call_id", sa.String(40), nullable=False),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("content", sa.LargeBinary),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
