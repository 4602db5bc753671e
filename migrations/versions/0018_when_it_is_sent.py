"""The time at which the carrier says that it will send a message."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    column = sa.Column("send_at", sa.DateTime(timezone=True), nullable=True)
    op.add_column("message_body", column, schema=op.get_context().version_table_schema)


def downgrade() -> None:
    op.drop_column("message_body", "send_at", schema=op.get_context().version_table_schema)
