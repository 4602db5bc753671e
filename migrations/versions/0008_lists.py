"""Lists that no filter makes long: indexes in the order in which they are read."""

from alembic import op

from migrations.online import create_index, replace_index

SCHEMA = "postback"  # stands for the configured one

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    replace_index(
        "message_client_reference",
        "message",
        ["client_reference", "id"],
        where="client_reference IS NOT NULL",
    )
    create_index("attention_failure", "attention", ["message_id"], where="failure")
    create_index("template_channel", "template", ["channel", "id"])
    create_index("opt_out_our_number", "opt_out", ["our_number", "id"])


def downgrade() -> None:
    op.drop_index("template_channel", "template", schema=SCHEMA)
    op.drop_index("opt_out_our_number", "opt_out", schema=SCHEMA)
    op.drop_index("attention_failure", "attention", schema=SCHEMA)
    op.drop_index("message_client_reference", "message", schema=SCHEMA)
    op.create_index("message_client_reference", "message", ["client_reference"], schema=SCHEMA)
