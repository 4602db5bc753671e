"""The feed's numbers are not given twice when the database goes on from an earlier moment."""

import sqlalchemy as sa
from alembic import op

SCHEMA = "postback"  # stands for the configured one

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    # columns are added in the schema as it stands, only whole tables are translated
    op.add_column(
        "feed_head",
        sa.Column("lineage", sa.String(), nullable=True),
        schema=op.get_context().version_table_schema,
    )
    op.create_table(
        "feed_gap",
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("after", sa.BigInteger(), nullable=False),
        sa.Column("lineage", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("until"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("feed_gap", schema=SCHEMA)
    op.drop_column("feed_head", "lineage", schema=op.get_context().version_table_schema)
