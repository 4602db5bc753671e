"""Replays: which payloads said again what another had said, so that it is not lost with the other."""

import sqlalchemy as sa
from alembic import op

from migrations.online import create_index, fill

SCHEMA = "postback"  # stands for the configured one

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column(
        "payload",
        sa.Column("retold", sa.Boolean(), server_default=sa.false(), nullable=False),
        schema=op.get_context().version_table_schema,
        if_not_exists=True,
    )
    fill(
        """UPDATE postback.payload SET retold = true WHERE id IN (
               SELECT id FROM postback.payload WHERE state = 'duplicate' AND NOT retold LIMIT 5000)"""
    )
    create_index("payload_retold", "payload", ["message_ids"], using="gin", where="retold")


def downgrade() -> None:
    schema = op.get_context().version_table_schema
    op.drop_index("payload_retold", "payload", schema=SCHEMA)
    op.drop_column("payload", "retold", schema=schema)
