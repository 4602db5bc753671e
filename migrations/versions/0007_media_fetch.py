"""Files of inbound messages are fetched: tries, when the next one is due, what a text part says."""

import sqlalchemy as sa
from alembic import op

from migrations.online import create_index, fill

SCHEMA = "postback"  # stands for the configured one

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    schema = op.get_context().version_table_schema
    for column in (
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("text", sa.String(), nullable=True),
    ):
        op.add_column("media", column, schema=schema, if_not_exists=True)
    # links of messages that came before; some may be alive
    fill(
        """UPDATE postback.media SET next_at = now() WHERE (message_id, "position") IN (
               SELECT message_id, "position" FROM postback.media
               WHERE state = 'pending' AND url <> '' AND next_at IS NULL LIMIT 5000)"""
    )
    create_index("media_due", "media", ["next_at"], where="state = 'pending'")


def downgrade() -> None:
    schema = op.get_context().version_table_schema
    op.drop_index("media_due", "media", schema=SCHEMA)
    # they are in the texts of their messages
    op.execute(f"""DELETE FROM "{schema}".media WHERE state = 'text'""")  # noqa: S608
    for name in ("text", "reason", "next_at", "attempts"):
        op.drop_column("media", name, schema=schema)
