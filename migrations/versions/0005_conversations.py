"""Conversations: what is unread, what came last, who waits, and groups of people."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

SCHEMA = "postback"  # stands for the configured one

revision = "0005"
down_revision = "0004"

_INDEXES = (
    ("conversation_contact", ["contact"], None),
    ("conversation_last_message", ["last_message_at", "id"], None),
    ("conversation_our_number", ["our_number", "last_message_at", "id"], None),
    ("conversation_unread", ["last_message_at", "id"], "unread_count > 0"),
)


def upgrade() -> None:
    schema = op.get_context().version_table_schema
    moment, numbers = sa.DateTime(timezone=True), sa.ARRAY(sa.Text())
    for column in (
        sa.Column("thread", sa.String(), nullable=True),
        sa.Column("participants", numbers, nullable=False, server_default="{}"),
        sa.Column("channels", numbers, nullable=False, server_default="{}"),
        sa.Column("last_message_id", sa.Uuid(), nullable=True),
        sa.Column("last_message_at", moment, nullable=True),
        sa.Column("last_inbound_at", moment, nullable=True),
        sa.Column("waiting_since", moment, nullable=True),
        sa.Column("unread_count", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("message_count", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("metadata_", postgresql.JSONB(), nullable=False, server_default="{}"),
    ):
        op.add_column("conversation", column, schema=schema)
    op.execute(_FROM_MESSAGES.replace("postback.", f'"{schema}".'))
    for name in ("thread", "last_message_at"):
        op.alter_column("conversation", name, nullable=False, schema=schema)
    for name in ("participants", "channels", "unread_count", "message_count", "metadata_"):
        op.alter_column("conversation", name, server_default=None, schema=schema)
    op.drop_constraint("conversation_numbers", "conversation", schema=schema)
    op.create_unique_constraint(
        "conversation_thread", "conversation", ["our_number", "thread"], schema=schema
    )
    for name, columns, where in _INDEXES:
        op.create_index(
            name, "conversation", columns, schema=SCHEMA, postgresql_where=sa.text(where) if where else None
        )


#: what the messages that are there tell; nobody has said which of them were read
_FROM_MESSAGES = """
    UPDATE postback.conversation c SET thread = c.contact, channels = coalesce(m.channels, '{}'),
        last_message_id = m.last_id, last_message_at = coalesce(m.last_at, now()),
        last_inbound_at = m.last_inbound_at, unread_count = coalesce(m.inbound, 0),
        message_count = coalesce(m.messages, 0),
        waiting_since = CASE WHEN m.last_is_inbound THEN m.last_inbound_at END
    FROM postback.conversation x LEFT JOIN LATERAL (
        SELECT array_agg(DISTINCT channel ORDER BY channel) AS channels,
            (array_agg(id ORDER BY id DESC))[1] AS last_id, max(updated_at) AS last_at,
            (array_agg(direction ORDER BY id DESC))[1] = 'inbound' AS last_is_inbound,
            max(updated_at) FILTER (WHERE direction = 'inbound') AS last_inbound_at,
            count(*) FILTER (WHERE direction = 'inbound') AS inbound, count(*) AS messages
        FROM postback.message WHERE conversation_id = x.id
    ) m ON true WHERE c.id = x.id"""


def downgrade() -> None:
    schema = op.get_context().version_table_schema
    for name, _, _ in _INDEXES:
        op.drop_index(name, "conversation", schema=SCHEMA)
    op.drop_constraint("conversation_thread", "conversation", schema=schema)
    # groups had no place of their own before: their messages stay, without a conversation
    op.execute(f"""DELETE FROM "{schema}".conversation WHERE thread <> contact""")  # noqa: S608
    op.create_unique_constraint(
        "conversation_numbers", "conversation", ["our_number", "contact"], schema=schema
    )
    for name in (
        "metadata_", "message_count", "unread_count", "waiting_since", "last_inbound_at", "last_message_at",
        "last_message_id", "channels", "participants", "thread",
    ):  # fmt: skip
        op.drop_column("conversation", name, schema=schema)
