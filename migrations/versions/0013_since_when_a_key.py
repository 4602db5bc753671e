"""Since when a secret key is in use: tells what was made before it."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    schema = op.get_context().version_table_schema
    since = sa.Column("since", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)
    op.add_column("secret_key_check", since, schema=schema)


def downgrade() -> None:
    op.drop_column("secret_key_check", "since", schema=op.get_context().version_table_schema)
