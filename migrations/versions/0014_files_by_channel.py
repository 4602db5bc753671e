"""The channel of a file that is to be fetched: so that channels take turns."""

import sqlalchemy as sa
from alembic import op

from migrations.online import create_index

SCHEMA = "postback"  # stands for the configured one

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    # files that the version before stores have none, and are given theirs when they are claimed
    column = sa.Column("channel", sa.String(), nullable=True)
    op.add_column("media", column, schema=op.get_context().version_table_schema, if_not_exists=True)
    create_index("media_due_by_channel", "media", ["channel", "next_at"], where="state = 'pending'")


def downgrade() -> None:
    op.drop_index("media_due_by_channel", "media", schema=SCHEMA)
    op.drop_column("media", "channel", schema=op.get_context().version_table_schema)
