"""Make the schema, its four tables, and the order of messages."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "faceplate"
_NOW = sa.text("clock_timestamp()")

# The row of the conversation is locked from here to the end of the transaction, so its messages
# are written one after the other. Each gets the time at which it holds the lock, and in any case
# a later one than that of the message before: the clock may have been set back. A time that is
# not the column's default, since it is from before this statement or after now, was given.
_PLACE_MESSAGE = """
CREATE FUNCTION faceplate.place_message() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moved timestamptz;
BEGIN
    UPDATE faceplate.conversations
    SET updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond')
    WHERE id = NEW.conversation_id
    RETURNING updated_at INTO moved;
    IF FOUND AND NEW.created_at BETWEEN statement_timestamp() AND clock_timestamp() THEN
        NEW.created_at := moved;
    END IF;
    RETURN NEW;
END
$$
"""
_TRIGGER = """
CREATE TRIGGER place_message BEFORE INSERT ON faceplate.messages
FOR EACH ROW EXECUTE FUNCTION faceplate.place_message()
"""


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS faceplate")
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=False),
        sa.Column("subject_id", sa.String(length=255), nullable=False),
        _time("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        schema=SCHEMA,
    )
    _index("users", "email", unique=True)
    _index("users", "subject_id", unique=True)
    op.create_table(
        "conversations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(length=255), server_default="New Chat", nullable=False),
        _time("created_at"),
        _time("updated_at"),
        _owner("conversations", "user_id", "users"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversations")),
        schema=SCHEMA,
    )
    _index("conversations", "user_id")
    op.create_table(
        "messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("tool_calls", postgresql.JSONB(), nullable=True),
        sa.Column("tool_results", postgresql.JSONB(), nullable=True),
        _time("created_at"),
        sa.CheckConstraint(
            "role IN ('user', 'assistant', 'system', 'tool')", name=op.f("ck_messages_role")
        ),
        _owner("messages", "conversation_id", "conversations"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        schema=SCHEMA,
    )
    _index("messages", "conversation_id")
    op.create_index(
        op.f("ix_messages_created_at"),
        "messages",
        ["created_at"],
        schema=SCHEMA,
        postgresql_using="brin",
        postgresql_with={"autosummarize": True},
    )
    _index("messages", "conversation_id", "created_at", "id")
    op.execute(_PLACE_MESSAGE)
    op.execute(_TRIGGER)
    op.create_table(
        "mcp_configs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("config", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        _time("created_at"),
        _time("updated_at"),
        _owner("mcp_configs", "user_id", "users"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mcp_configs")),
        sa.UniqueConstraint("user_id", "name", name=op.f("uq_mcp_configs_user_id_name")),
        schema=SCHEMA,
    )
    _index("mcp_configs", "user_id")


def downgrade() -> None:
    # The schema stays: the version table is in it.
    op.drop_table("mcp_configs", schema=SCHEMA)
    op.drop_table("messages", schema=SCHEMA)
    op.execute("DROP FUNCTION faceplate.place_message()")
    op.drop_table("conversations", schema=SCHEMA)
    op.drop_table("users", schema=SCHEMA)


def _time(name: str) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=_NOW, nullable=False)


def _owner(table: str, column: str, owner: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column],
        [f"{SCHEMA}.{owner}.id"],
        name=op.f(f"fk_{table}_{column}_{owner}"),
        ondelete="CASCADE",
    )


def _index(table: str, *columns: str, unique: bool = False) -> None:
    name = op.f(f"ix_{table}_{'_'.join(columns)}")
    op.create_index(name, table, list(columns), unique=unique, schema=SCHEMA)
