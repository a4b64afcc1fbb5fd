"""Make the tables of players, what they own, and the games they play."""

from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "001"
down_revision = None
branch_labels = None
depends_on = None

_NOW = sa.text("clock_timestamp()")
_SQL = Path(__file__).parent


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("display_name", sa.String(length=64), nullable=False),
        sa.Column("avatar_url", sa.String(length=2048), nullable=True),
        sa.Column("oauth_provider", sa.String(length=32), nullable=False),
        sa.Column("oauth_id", sa.String(length=255), nullable=False),
        sa.Column("is_premium", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("premium_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_login", sa.DateTime(timezone=True), nullable=True),
        *_timestamps(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
        sa.UniqueConstraint(
            "oauth_provider", "oauth_id", name=op.f("uq_users_oauth_provider_oauth_id")
        ),
    )
    op.execute("CREATE SEQUENCE holdfast_epoch")
    op.create_table(
        "active_games",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("game_type", sa.String(length=32), nullable=False),
        sa.Column("player1_id", sa.Uuid(), nullable=False),
        sa.Column("player2_id", sa.Uuid(), nullable=True),
        sa.Column("npc_id", sa.String(length=64), nullable=True),
        sa.Column(
            "rules_config", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("game_state", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("turn_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column(
            "last_action_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False
        ),
        sa.Column("turn_deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "version",
            sa.BigInteger(),
            server_default=sa.text("nextval('holdfast_epoch') << 23"),
            nullable=False,
        ),
        *_timestamps(),
        sa.CheckConstraint(
            "turn_number >= 0", name=op.f("ck_active_games_turn_number_not_negative")
        ),
        sa.ForeignKeyConstraint(
            ["player1_id"],
            ["users.id"],
            name=op.f("fk_active_games_player1_id_users"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["player2_id"],
            ["users.id"],
            name=op.f("fk_active_games_player2_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_active_games")),
    )
    op.create_index("ix_active_games_player1_id", "active_games", ["player1_id"])
    op.create_index("ix_active_games_player2_id", "active_games", ["player2_id"])
    op.create_table(
        "campaign_progress",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("current_club", sa.String(length=64), server_default="club_1", nullable=False),
        sa.Column("medals", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column(
            "defeated_npcs", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False
        ),
        sa.Column("total_wins", sa.Integer(), server_default="0", nullable=False),
        sa.Column("total_losses", sa.Integer(), server_default="0", nullable=False),
        sa.Column("booster_packs", sa.Integer(), server_default="0", nullable=False),
        sa.Column("mantibucks", sa.Integer(), server_default="0", nullable=False),
        *_timestamps(),
        sa.CheckConstraint(
            "booster_packs >= 0", name=op.f("ck_campaign_progress_booster_packs_not_negative")
        ),
        sa.CheckConstraint(
            "mantibucks >= 0", name=op.f("ck_campaign_progress_mantibucks_not_negative")
        ),
        sa.CheckConstraint(
            "total_losses >= 0", name=op.f("ck_campaign_progress_total_losses_not_negative")
        ),
        sa.CheckConstraint(
            "total_wins >= 0", name=op.f("ck_campaign_progress_total_wins_not_negative")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_campaign_progress_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign_progress")),
        sa.UniqueConstraint("user_id", name=op.f("uq_campaign_progress_user_id")),
    )
    op.create_table(
        "collections",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("card_definition_id", sa.String(length=64), nullable=False),
        sa.Column("quantity", sa.Integer(), server_default="1", nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("obtained_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        *_timestamps(),
        sa.CheckConstraint("quantity >= 1", name=op.f("ck_collections_quantity_positive")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_collections_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collections")),
        sa.UniqueConstraint(
            "user_id", "card_definition_id", name=op.f("uq_collections_user_id_card_definition_id")
        ),
    )
    op.create_index("ix_collections_user_id", "collections", ["user_id"])
    op.create_table(
        "decks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("cards", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "energy_cards", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("is_valid", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("validation_errors", postgresql.JSONB(), nullable=True),
        sa.Column("is_starter", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("starter_type", sa.String(length=32), nullable=True),
        *_timestamps(),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_decks_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decks")),
    )
    op.create_index("ix_decks_user_id", "decks", ["user_id"])
    op.create_table(
        "game_history",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("game_type", sa.String(length=32), nullable=False),
        sa.Column("player1_id", sa.Uuid(), nullable=True),
        sa.Column("player2_id", sa.Uuid(), nullable=True),
        sa.Column("npc_id", sa.String(length=64), nullable=True),
        sa.Column("winner_id", sa.Uuid(), nullable=True),
        sa.Column("end_reason", sa.String(length=32), nullable=False),
        sa.Column("turn_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("duration_seconds", sa.Integer(), server_default="0", nullable=False),
        sa.Column("replay_data", postgresql.JSONB(), nullable=True),
        sa.Column("played_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        *_timestamps(),
        sa.CheckConstraint(
            "duration_seconds >= 0", name=op.f("ck_game_history_duration_seconds_not_negative")
        ),
        sa.CheckConstraint("turn_count >= 0", name=op.f("ck_game_history_turn_count_not_negative")),
        sa.ForeignKeyConstraint(
            ["player1_id"],
            ["users.id"],
            name=op.f("fk_game_history_player1_id_users"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["player2_id"],
            ["users.id"],
            name=op.f("fk_game_history_player2_id_users"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["winner_id"],
            ["users.id"],
            name=op.f("fk_game_history_winner_id_users"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", "played_at", name=op.f("pk_game_history")),
        postgresql_partition_by="RANGE (played_at)",
    )
    op.create_index(
        "ix_game_history_player1_id_played_at_id", "game_history", ["player1_id", "played_at", "id"]
    )
    op.create_index(
        "ix_game_history_player2_id_played_at_id", "game_history", ["player2_id", "played_at", "id"]
    )
    op.create_index("ix_game_history_winner_id", "game_history", ["winner_id"])
    op.create_index(
        "ix_game_history_wins",
        "game_history",
        ["played_at", "winner_id"],
        postgresql_where=sa.text("winner_id IS NOT NULL"),
    )
    op.create_table(
        "standings",
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("wins", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_standings_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("month", "user_id", name=op.f("pk_standings")),
    )
    op.create_index("ix_standings_best", "standings", ["month", sa.text("wins DESC"), "user_id"])
    op.create_index("ix_standings_user_id", "standings", ["user_id"])
    for file in ("001_partitions.sql", "001_standings.sql"):
        for statement in (_SQL / file).read_text(encoding="utf-8").split(";;"):
            op.execute(statement)
    # The first ones, so that the tables can be used as they are.
    op.execute("SELECT make_game_history_partitions(now(), now() + interval '3 months')")


def downgrade() -> None:
    op.drop_table("standings")
    op.drop_table("game_history")
    op.execute("DROP FUNCTION make_game_history_partitions")
    op.execute("DROP FUNCTION count_wins")
    op.execute("DROP FUNCTION recount_wins")
    op.drop_table("decks")
    op.drop_table("collections")
    op.drop_table("campaign_progress")
    op.drop_table("active_games")
    op.execute("DROP SEQUENCE holdfast_epoch")
    op.drop_table("users")


def _timestamps() -> list[sa.Column[datetime]]:
    return [
        sa.Column(name, sa.DateTime(timezone=True), server_default=_NOW, nullable=False)
        for name in ("created_at", "updated_at")
    ]
