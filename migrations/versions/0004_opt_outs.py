"""Opt-outs: the list and its ledger, and what waits in the outbox by the person it is for."""

import sqlalchemy as sa
from alembic import op

SCHEMA = "postback"  # stands for the configured one

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "opt_out",
        sa.Column("contact", sa.String(), nullable=False),
        sa.Column("our_number", sa.String(), nullable=False),
        sa.Column("contact_hash", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("certainty", sa.String(), nullable=False),
        sa.Column("word", sa.String(), nullable=True),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("contact", "our_number", "contact_hash"),
        schema=SCHEMA,
    )
    op.create_index("opt_out_id", "opt_out", ["id"], unique=True, schema=SCHEMA)
    op.create_table(
        "opt_out_entry",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contact", sa.String(), nullable=False),
        sa.Column("contact_hash", sa.LargeBinary(), nullable=False),
        sa.Column("our_number", sa.String(), nullable=False),
        sa.Column("opts_out", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("certainty", sa.String(), nullable=False),
        sa.Column("word", sa.String(), nullable=True),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("said_by", sa.String(), nullable=True),
        sa.Column("covers", sa.ARRAY(sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
    )
    op.create_index("opt_out_entry_contact", "opt_out_entry", ["contact"], unique=False, schema=SCHEMA)
    for table in ("opt_out", "opt_out_entry"):
        op.create_index(
            f"{table}_erased",
            table,
            ["contact_hash"],
            unique=False,
            schema=SCHEMA,
            postgresql_where=sa.text("contact_hash <> ''::bytea"),
        )
    schema = op.get_context().version_table_schema
    op.add_column(
        "message_body", sa.Column("redacted_at", sa.DateTime(timezone=True), nullable=True), schema=schema
    )
    op.add_column("outbox", sa.Column("contact", sa.String(), nullable=True), schema=schema)
    op.add_column("outbox", sa.Column("scope", sa.ARRAY(sa.Text()), nullable=True), schema=schema)
    op.create_index("outbox_contact", "outbox", ["contact"], unique=False, schema=SCHEMA)
    op.execute(
        f'UPDATE "{schema}".outbox o SET contact = m.contact '  # noqa: S608
        f'FROM "{schema}".message m WHERE m.id = o.id'
    )


def downgrade() -> None:
    schema = op.get_context().version_table_schema
    op.drop_index("outbox_contact", "outbox", schema=SCHEMA)
    op.drop_column("outbox", "scope", schema=schema)
    op.drop_column("outbox", "contact", schema=schema)
    op.drop_column("message_body", "redacted_at", schema=schema)
    op.drop_table("opt_out_entry", schema=SCHEMA)
    op.drop_table("opt_out", schema=SCHEMA)
