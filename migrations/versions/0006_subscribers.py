"""Subscribers: who is told of events, what became of each, and which process tells them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

SCHEMA = "postback"  # stands for the configured one

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    moment, words = sa.DateTime(timezone=True), sa.ARRAY(sa.Text())
    op.create_table(
        "subscriber",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("types", words, nullable=True),
        sa.Column("channels", words, nullable=True),
        sa.Column("visible", words, nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("disabled_reason", sa.String(), nullable=True),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("previous_secret", sa.LargeBinary(), nullable=True),
        sa.Column("previous_until", moment, nullable=True),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("replay", sa.Integer(), nullable=False),
        sa.Column("replay_after", sa.BigInteger(), nullable=True),
        sa.Column("replay_through", sa.BigInteger(), nullable=True),
        sa.Column("failing_since", moment, nullable=True),
        sa.Column("holder", sa.Uuid(), nullable=True),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index("subscriber_holder", "subscriber", ["holder"], unique=False, schema=SCHEMA)
    op.create_table(
        "forwarder",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lease_until", moment, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subscriber_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("replay", sa.Integer(), nullable=False),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("attempts", postgresql.JSONB(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("next_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index("delivery_subscriber", "delivery", ["subscriber_id", "id"], unique=False, schema=SCHEMA)
    op.create_index(
        "delivery_event", "delivery", ["subscriber_id", "replay", "seq"], unique=True, schema=SCHEMA
    )
    op.create_index(
        "delivery_open",
        "delivery",
        ["subscriber_id", "state", "next_at"],
        unique=False,
        schema=SCHEMA,
        postgresql_where=sa.text("state <> 'delivered'"),
    )


def downgrade() -> None:
    for table in ("delivery", "forwarder", "subscriber"):
        op.drop_table(table, schema=SCHEMA)
