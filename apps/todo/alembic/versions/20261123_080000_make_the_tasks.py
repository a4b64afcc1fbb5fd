"""Make the table of tasks."""

import sqlalchemy as sa
from alembic import op

revision = "7d0c5be1f2a4"
down_revision = None
branch_labels = None
depends_on = None

# What Python strips from a text, and what cannot be seen although no standard calls it a space.
_BLANKS = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
    "\u200b\u2060\ufeff"
)
_NOW = {
    "postgresql": "clock_timestamp()",
    # SQLite's clock has milliseconds; padded to the microseconds that SQLAlchemy writes.
    "sqlite": "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))",
}


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=1000), nullable=True),
        sa.Column("status", sa.String(length=50), server_default="pending", nullable=False),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint(
            sa.func.trim(sa.column("title"), _BLANKS) != "", name=op.f("ck_tasks_title_not_empty")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
    )
    op.create_index(op.f("ix_tasks_user_id"), "tasks", ["user_id"])
    op.create_index(
        op.f("ix_tasks_user_id_created_at_id"), "tasks", ["user_id", "created_at", "id"]
    )


def downgrade() -> None:
    op.drop_table("tasks")


def _time(name: str) -> sa.Column:
    now = sa.text(_NOW[op.get_context().dialect.name])
    return sa.Column(name, sa.DateTime(timezone=True), server_default=now, nullable=False)
