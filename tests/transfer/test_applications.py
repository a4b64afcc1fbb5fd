"""The applications' own databases are copied, whose triggers write by themselves."""

from pathlib import Path

import pytest
from tests.transfer.conftest import Pair

APPS = Path(__file__).parents[2] / "apps"
MANTIMON = """
INSERT INTO users (id, email, display_name, oauth_provider, oauth_id)
SELECT gen_random_uuid(), each || '@x', 'n', 'google', each FROM generate_series(1, 3) AS a (each);
SELECT make_game_history_partitions('2024-01-01', '2024-03-01');
INSERT INTO game_history (id, game_type, player1_id, winner_id, end_reason, played_at)
SELECT gen_random_uuid(), 'ranked', id, id, 'draw', '2024-02-03' FROM users
"""
FACEPLATE = """
INSERT INTO faceplate.users (id, email, subject_id) VALUES (gen_random_uuid(), 'a@x', 's');
INSERT INTO faceplate.conversations (id, user_id, updated_at)
SELECT gen_random_uuid(), id, '2024-01-01' FROM faceplate.users;
INSERT INTO faceplate.messages (id, conversation_id, role, content, created_at, tool_calls)
SELECT gen_random_uuid(), id, 'user', 'hello', '2024-01-02', '[{"a": 1.50}]'
FROM faceplate.conversations
"""


@pytest.mark.parametrize(
    ("name", "rows", "tables"),
    [
        ("mantimon", MANTIMON, ["users", "game_history", "standings"]),
        ("faceplate", FACEPLATE, [f"faceplate.{each}" for each in ("conversations", "messages")]),
    ],
)
async def test_an_applications_database_is_copied(database_url, other_url, name, rows, tables):
    """What its triggers wrote in the source is not written again."""
    pair = Pair(source=database_url, target=other_url, folder=APPS / name)
    await pair.migrate(pair.source)
    await pair.run(pair.source, *rows.split(";"))

    copied = await pair.copy()

    assert {each.name for each in copied.tables if each.rows} >= set(tables)
    for table in tables:
        sql = f"SELECT *, tableoid::regclass::text FROM {table} ORDER BY 1, 2"
        assert await pair.ask(pair.target, sql) == await pair.ask(pair.source, sql)
