"""Replays: which payloads said again what another had said, so that it is not lost with the other."""

import sqlalchemy as sa
from alembic import op

SCHEMA = "postback"  # stands for the configured one

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    schema = op.get_context().version_table_schema
    op.add_column(
        "payload", sa.Column("retold", sa.Boolean(), server_default=sa.false(), nullable=False), schema=schema
    )
    op.execute(f"UPDATE \"{schema}\".payload SET retold = true WHERE state = 'duplicate'")  # noqa: S608
    op.create_index(
        "payload_retold",
        "payload",
        ["message_ids"],
        unique=False,
        schema=SCHEMA,
        postgresql_using="gin",
        postgresql_where=sa.text("retold"),
    )


def downgrade() -> None:
    schema = op.get_context().version_table_schema
    op.drop_index("payload_retold", "payload", schema=SCHEMA)
    op.drop_column("payload", "retold", schema=schema)
