"""The carrier's id of the call that stored a template."""

import sqlalchemy as sa
from alembic import op

from migrations.online import create_index

SCHEMA = "postback"  # stands for the configured one

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    column = sa.Column("provider_message_id", sa.String(), nullable=True)
    op.add_column("template", column, schema=op.get_context().version_table_schema, if_not_exists=True)
    create_index("template_call", "template", ["channel", "provider_message_id"], unique=True)


def downgrade() -> None:
    op.drop_index("template_call", "template", schema=SCHEMA)
    op.drop_column("template", "provider_message_id", schema=op.get_context().version_table_schema)
