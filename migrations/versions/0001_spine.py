"""The spine: messages, their timelines, what carriers sent, and what waits to be sent."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

SCHEMA = "postback"  # stands for the configured one

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "adopted",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index("adopted_message", "adopted", ["message_id"], unique=False, schema=SCHEMA)
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("channels", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_table(
        "attention",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("uncertain", sa.Boolean(), nullable=False),
        sa.Column("conflict", sa.Boolean(), nullable=False),
        sa.Column("failure", sa.Boolean(), nullable=False),
        sa.Column("error_class", sa.String(), nullable=True),
        sa.Column("error_specificity", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("error_message", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("message_id"),
        schema=SCHEMA,
    )
    op.create_index(
        "attention_conflict",
        "attention",
        ["message_id"],
        unique=False,
        schema=SCHEMA,
        postgresql_where=sa.text("conflict"),
    )
    op.create_index(
        "attention_error",
        "attention",
        ["error_class", "message_id"],
        unique=False,
        schema=SCHEMA,
        postgresql_where=sa.text("failure"),
    )
    op.create_index(
        "attention_uncertain",
        "attention",
        ["message_id"],
        unique=False,
        schema=SCHEMA,
        postgresql_where=sa.text("uncertain"),
    )
    op.create_table(
        "awaited_report",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("due", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("message_id"),
        schema=SCHEMA,
    )
    op.create_index("awaited_report_due", "awaited_report", ["due"], unique=False, schema=SCHEMA)
    op.create_table(
        "conversation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("our_number", sa.String(), nullable=False),
        sa.Column("contact", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("our_number", "contact", name="conversation_numbers"),
        schema=SCHEMA,
    )
    op.create_table(
        "event",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=True),
        sa.Column("bits", sa.Integer(), nullable=False),
        sa.Column("effective", sa.Boolean(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("provider_status", sa.String(), nullable=True),
        sa.Column("provider_code", sa.String(), nullable=True),
        sa.Column("provider_message", sa.String(), nullable=True),
        sa.Column("error_class", sa.String(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("payload_id", sa.Uuid(), nullable=True),
        sa.Column("replay", sa.Integer(), nullable=False),
        sa.Column("superseded", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "key"),
        schema=SCHEMA,
        postgresql_partition_by="RANGE (message_id)",
    )
    op.create_index("event_seq", "event", ["seq"], unique=False, schema=SCHEMA)
    op.create_table(
        "feed_head",
        sa.Column("only", sa.Boolean(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("only"),
        schema=SCHEMA,
    )
    op.create_table(
        "file",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("content_type", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("api_key", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index("file_sha256", "file", ["sha256"], unique=False, schema=SCHEMA)
    op.create_table(
        "idempotency",
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("message_ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key"),
        schema=SCHEMA,
    )
    op.create_table(
        "media",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("content_type", sa.String(), nullable=True),
        sa.Column("size", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "position"),
        schema=SCHEMA,
        postgresql_partition_by="RANGE (message_id)",
    )
    op.create_index("media_id", "media", ["id"], unique=False, schema=SCHEMA)
    op.create_table(
        "message",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("our_number", sa.String(), nullable=True),
        sa.Column("contact", sa.String(), nullable=True),
        sa.Column("client_reference", sa.String(), nullable=True),
        sa.Column("conversation_id", sa.Uuid(), nullable=True),
        sa.Column("in_reply_to", sa.Uuid(), nullable=True),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index("message_channel", "message", ["channel", "id"], unique=False, schema=SCHEMA)
    op.create_index("message_client_reference", "message", ["client_reference"], unique=False, schema=SCHEMA)
    op.create_index("message_contact", "message", ["contact", "id"], unique=False, schema=SCHEMA)
    op.create_index("message_conversation", "message", ["conversation_id", "id"], unique=False, schema=SCHEMA)
    op.create_index("message_our_number", "message", ["our_number", "id"], unique=False, schema=SCHEMA)
    op.create_table(
        "message_body",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.String(), nullable=True),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("fallback_text", sa.String(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("template_id", sa.Uuid(), nullable=True),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("metadata_", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("participants", sa.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("message_id"),
        schema=SCHEMA,
        postgresql_partition_by="RANGE (message_id)",
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("batch", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("submission_id", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index(
        "outbox_leased",
        "outbox",
        ["lease_until"],
        unique=False,
        schema=SCHEMA,
        postgresql_where=sa.text("state <> 'queued'"),
    )
    op.create_index(
        "outbox_queued",
        "outbox",
        ["channel", "next_at"],
        unique=False,
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_table(
        "payload",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("query", sa.String(), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("peer", sa.String(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("message_ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(
        "payload_attention",
        "payload",
        ["state", "id"],
        unique=False,
        schema=SCHEMA,
        postgresql_where=sa.text("state IN ('quarantined', 'unverified')"),
    )
    op.create_index("payload_channel", "payload", ["channel", "id"], unique=False, schema=SCHEMA)
    op.create_table(
        "rate",
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("due", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("channel"),
        schema=SCHEMA,
    )
    op.create_table(
        "reference",
        sa.Column("provider_message_id", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("inbound", sa.Boolean(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("provider_message_id", "channel", "recipient", "inbound"),
        schema=SCHEMA,
    )
    op.create_index("reference_message", "reference", ["message_id"], unique=False, schema=SCHEMA)
    op.create_table(
        "secret_key_check",
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint"),
        schema=SCHEMA,
    )
    op.create_table(
        "submission",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("contact", sa.String(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", "recipient"),
        schema=SCHEMA,
        postgresql_partition_by="RANGE (id)",
    )
    op.create_table(
        "template",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("provider_template_id", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("error_class", sa.String(), nullable=True),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("error_message", sa.String(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("channel", "provider_template_id", name="template_provider_id"),
        schema=SCHEMA,
    )

    head = sa.Table(
        "feed_head",
        sa.MetaData(schema=SCHEMA),
        sa.Column("only", sa.Boolean()),
        sa.Column("seq", sa.BigInteger()),
    )
    op.execute(sa.insert(head).values(only=True, seq=0))


def downgrade() -> None:
    for table in (
        "template",
        "submission",
        "secret_key_check",
        "reference",
        "rate",
        "payload",
        "outbox",
        "message_body",
        "message",
        "media",
        "idempotency",
        "file",
        "feed_head",
        "event",
        "conversation",
        "attention",
        "awaited_report",
        "api_key",
        "adopted",
    ):
        op.drop_table(table, schema=SCHEMA)
