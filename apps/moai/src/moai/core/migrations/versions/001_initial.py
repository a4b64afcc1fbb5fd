"""Make the five tables, on PostgreSQL and on SQLite."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "001"
down_revision = None
branch_labels = None
depends_on = None

# What Python strips, and what cannot be seen.
_BLANKS = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
    "\u200b\u2060\ufeff"
)
# The clock of the server at this moment; SQLite's has milliseconds.
_NOW = {
    "postgresql": "clock_timestamp()",
    "sqlite": "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))",
}


def upgrade() -> None:
    op.create_table(
        "projects",
        _id("id"),
        sa.Column("name", sa.String(), nullable=False),
        _list("models"),
        _time("created_at"),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        _not_blank("projects", "name"),
    )
    op.create_index(op.f("ix_projects_created_at_id"), "projects", ["created_at", "id"])
    op.create_table(
        "discussions",
        _id("id"),
        _id("project_id"),
        sa.Column("question", sa.String(), nullable=False),
        sa.Column("kind", sa.String(length=32), server_default="open", nullable=False),
        sa.Column("status", sa.String(length=32), server_default="active", nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        _time("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_discussions")),
        sa.CheckConstraint(
            "completed_at IS NULL OR status = 'completed'", name=op.f("ck_discussions_completed_at")
        ),
        _of("discussions", "project_id", "projects"),
        _not_blank("discussions", "question"),
    )
    op.create_index(
        op.f("ix_discussions_project_id_created_at_id"),
        "discussions",
        ["project_id", "created_at", "id"],
    )
    op.create_table(
        "consensus",
        _id("id"),
        _id("discussion_id"),
        _list("agreements"),
        _list("disagreements"),
        sa.Column("summary", sa.String(), nullable=False),
        sa.Column("generated_by", sa.String(), nullable=False),
        _time("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consensus")),
        sa.UniqueConstraint("discussion_id", name=op.f("uq_consensus_discussion_id")),
        _of("consensus", "discussion_id", "discussions"),
        _not_blank("consensus", "summary"),
        _not_blank("consensus", "generated_by"),
    )
    op.create_table(
        "rounds",
        _id("id"),
        _id("discussion_id"),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), server_default="parallel", nullable=False),
        _time("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rounds")),
        sa.UniqueConstraint("discussion_id", "number", name=op.f("uq_rounds_discussion_id_number")),
        sa.CheckConstraint("number >= 1", name=op.f("ck_rounds_number_positive")),
        _of("rounds", "discussion_id", "discussions"),
    )
    op.create_table(
        "messages",
        _id("id"),
        _id("round_id"),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("is_direct", sa.Boolean(), server_default=sa.false(), nullable=False),
        _time("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        _of("messages", "round_id", "rounds"),
        _not_blank("messages", "model"),
        _not_blank("messages", "content"),
    )
    op.create_index(
        op.f("ix_messages_round_id_created_at_id"), "messages", ["round_id", "created_at", "id"]
    )


def downgrade() -> None:
    for table in ("messages", "rounds", "consensus", "discussions", "projects"):
        op.drop_table(table)


def _id(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=36), nullable=False)


def _list(name: str) -> sa.Column[list[str]]:
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    return sa.Column(name, json, server_default=sa.text("'[]'"), nullable=False)


def _time(name: str) -> sa.Column[object]:
    now = sa.text(_NOW[op.get_context().dialect.name])
    return sa.Column(name, sa.DateTime(timezone=True), server_default=now, nullable=False)


def _not_blank(table: str, column: str) -> sa.CheckConstraint:
    said = sa.func.trim(sa.column(column), _BLANKS) != ""
    return sa.CheckConstraint(said, name=op.f(f"ck_{table}_{column}_not_blank"))


def _of(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{parent}")
    return sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=name, ondelete="CASCADE")
