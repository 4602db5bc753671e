"""Redactions, and the processes that have to forget what was redacted."""

import sqlalchemy as sa
from alembic import op

SCHEMA = "postback"  # stands for the configured one

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "redaction",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("ids", sa.ARRAY(sa.Uuid()), nullable=True),
        sa.Column("redacted_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        schema=SCHEMA,
    )
    op.create_table(
        "content_lease",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", moment, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("content_lease", schema=SCHEMA)
    op.drop_table("redaction", schema=SCHEMA)
