"""The reference that went out, and the calls of a message."""

import sqlalchemy as sa
from alembic import op

from migrations.online import create_index

SCHEMA = "postback"  # stands for the configured one

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    column = sa.Column("reference", sa.String(), nullable=True)
    op.add_column("submission", column, schema=op.get_context().version_table_schema, if_not_exists=True)
    create_index("submission_message", "submission", ["message_id"])


def downgrade() -> None:
    op.drop_index("submission_message", "submission", schema=SCHEMA)
    op.drop_column("submission", "reference", schema=op.get_context().version_table_schema)
