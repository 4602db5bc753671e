"""The slides of an MMS: files and texts that stand together."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    column = sa.Column("slides", JSONB(), nullable=True)
    op.add_column("message_body", column, schema=op.get_context().version_table_schema)


def downgrade() -> None:
    op.drop_column("message_body", "slides", schema=op.get_context().version_table_schema)
