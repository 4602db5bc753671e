"""API keys that end by themselves, and when each was last used."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    schema = op.get_context().version_table_schema
    for name in ("expires_at", "last_used_at"):
        op.add_column("api_key", sa.Column(name, sa.DateTime(timezone=True), nullable=True), schema=schema)


def downgrade() -> None:
    schema = op.get_context().version_table_schema
    for name in ("last_used_at", "expires_at"):
        op.drop_column("api_key", name, schema=schema)
