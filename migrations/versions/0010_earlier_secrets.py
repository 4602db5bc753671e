"""Any number of a subscriber's earlier secrets, each with its own end."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    schema = op.get_context().version_table_schema
    empty = sa.text("'{}'")
    op.add_column(
        "subscriber",
        sa.Column("earlier_secrets", sa.ARRAY(sa.LargeBinary()), nullable=False, server_default=empty),
        schema=schema,
    )
    op.add_column(
        "subscriber",
        sa.Column(
            "earlier_until", sa.ARRAY(sa.DateTime(timezone=True)), nullable=False, server_default=empty
        ),
        schema=schema,
    )


def downgrade() -> None:
    schema = op.get_context().version_table_schema
    op.drop_column("subscriber", "earlier_until", schema=schema)
    op.drop_column("subscriber", "earlier_secrets", schema=schema)
