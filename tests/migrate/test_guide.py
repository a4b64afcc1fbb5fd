"""The guide's part of a migration serves both engines."""

import re
import uuid
from pathlib import Path

from sqlalchemy import text

from holdfast import migrate
from holdfast.database import Database

PAGE = (Path(__file__).parents[2] / "docs/guide/migrate.md").read_text(encoding="utf-8")
MODELS = """
from holdfast.models import Timestamps, UUIDKey
from sqlalchemy.orm import DeclarativeBase

class Base(DeclarativeBase):
    pass

class Note(UUIDKey, Timestamps, Base):
    __tablename__ = "notes"
"""
TIME = "sa.Column('{0}', sa.DateTime(timezone=True), server_default=now(), nullable=False)"
COLUMNS = [
    "sa.Column('id', sa.Uuid(), primary_key=True)",
    *map(TIME.format, ("created_at", "updated_at")),
]


async def test_one_migration_serves_both_engines(project, any_url):
    """It runs, makes what the models say, and the server knows the time."""
    [part] = re.findall(r"^```python\n(NOW = .*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    project.write_models(MODELS)
    project.add("a", f"op.create_table('notes', {', '.join(COLUMNS)})")
    with project.versions[0].open("a") as file:
        file.write(part)

    async with Database(any_url) as db:
        await migrate.upgrade(db, project.ini)

        assert await migrate.revision(db, project.ini, "nothing") is None
        async with db.begin() as session:
            await session.execute(text(f"INSERT INTO notes (id) VALUES ('{uuid.UUID(int=1).hex}')"))
            assert await session.scalar(text("SELECT created_at <= updated_at FROM notes"))
