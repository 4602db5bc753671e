"""Retention: idempotency keys are found by their age."""

from alembic import op

from migrations.online import create_index

SCHEMA = "postback"  # stands for the configured one

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    create_index("idempotency_created", "idempotency", ["created_at"])


def downgrade() -> None:
    op.drop_index("idempotency_created", "idempotency", schema=SCHEMA)
