"""Alembic's own command and functions work in the same folder, and what it writes is plain."""

import asyncio
import os
import subprocess
import sys
import traceback

import pytest
from alembic import command
from alembic.config import Config, main
from sqlalchemy import inspect, text

from holdfast import migrate
from holdfast.database import Database
from holdfast.errors import ConfigurationError, MigrationError
from holdfast.events import Events

CREATE = "op.create_table('{0}', sa.Column('id', sa.Integer, primary_key=True))"
MODELS = """
import enum
from datetime import datetime
from sqlalchemy import CheckConstraint, ForeignKey, JSON, MetaData, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from holdfast import models
from holdfast.models import NAMING_CONVENTION, NotBlank, Timestamps, UUIDKey, ValueEnum, Versioned
from holdfast.models import json_type, typed_json

class Status(enum.Enum):
    DRAFT = "draft"
    PLAYED = "played"

class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = models.Base.type_annotation_map

class Player(UUIDKey, Versioned, Timestamps, Base):
    __tablename__ = "players"
    name: Mapped[str] = mapped_column(unique=True, index=True)
    title: Mapped[str] = mapped_column(NotBlank(80))
    motto: Mapped[str | None] = mapped_column(NotBlank())

class Deck(UUIDKey, Timestamps, Base):
    __tablename__ = "decks"
    __table_args__ = (CheckConstraint("size >= 0", name="size_not_negative"),)
    player_id = mapped_column(ForeignKey("players.id", ondelete="CASCADE"))
    size: Mapped[int] = mapped_column(server_default="0")
    status: Mapped[Status] = mapped_column(ValueEnum(Status))
    cards: Mapped[dict[str, int]] = mapped_column(json_type())
    sides: Mapped[list[str] | None] = mapped_column(typed_json(list[str]))
    plain: Mapped[dict[str, int]] = mapped_column(JSON())
    binary: Mapped[dict[str, int] | None] = mapped_column({binary})
    played_at: Mapped[datetime | None]
"""


@pytest.fixture
def alembic(project, monkeypatch, capfd):
    """Run the command in the project's folder; gives its output, and raises what it raised."""
    monkeypatch.chdir(project.folder)
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "DIRECT_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)

    def run(*args: str, **variables: str) -> str:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            main(argv=args)
        return capfd.readouterr().out.strip()

    return run


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request, tmp_path):
    """Give an empty database of each backend."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a.db"
    return request.getfixturevalue("database_url")


@pytest.fixture
async def db(url):
    """Give the database, opened."""
    async with Database(url, events=Events(lambda _: None)) as each:
        yield each


@pytest.fixture
def shop(project, url):
    """Give a project with models of every column type."""
    project.write_models(MODELS.format(binary="JSONB()" if "postgresql" in url else "JSON()"))
    return project


def test_the_command_in_the_projects_folder(project, database_url):
    """As a user types it: it migrates the database that the environment names."""
    project.add("a", CREATE.format("one"))
    ended = [
        subprocess.run(
            [sys.executable, "-m", "alembic", *args],
            cwd=project.folder,
            env={**os.environ, "DATABASE_OWNER_URL": database_url},
            capture_output=True,
            text=True,
            check=False,
        )
        for args in (["upgrade", "head"], ["current"])
    ]

    assert [each.returncode for each in ended] == [0, 0]
    assert ended[1].stdout.strip() == "a (head)"


async def current(project, url):
    async with Database(url) as db:
        return await migrate.current(db, project.ini)


class TestCommand:
    """The plain `alembic` command, called in this process."""

    def test_where_the_url_comes_from(self, project, url, alembic):
        """The option wins over the file, the file over the owner's variable, that over the last."""
        for name, before in (("a", None), ("b", "a"), ("c", "b"), ("d", "c")):
            project.add(name, CREATE.format(name), down=before)
        wrong = "postgresql://127.0.0.1:1/nowhere"

        alembic("upgrade", "+1", DATABASE_URL=url)
        alembic("upgrade", "+1", DATABASE_OWNER_URL=url, DATABASE_URL=wrong)
        alembic("-x", f"url={url}", "upgrade", "+1", DATABASE_OWNER_URL=wrong)
        with project.ini.open("a") as file:
            file.write(f"sqlalchemy.url = {url.replace('%', '%%')}\n")
        alembic("upgrade", "+1", DATABASE_OWNER_URL=wrong)

        assert asyncio.run(current(project, url)) == ("d",)

    def test_past_the_pooler(self, project, database_url, alembic):
        """The direct URL wins over those that lead to one, and the file over all variables."""
        project.add("a", CREATE.format("a"))
        project.add("b", CREATE.format("b"), down="a")
        pooled = "postgresql://127.0.0.1:1/nowhere?pooler=transaction"
        others = {"DATABASE_OWNER_URL": pooled, "DATABASE_URL": pooled}

        alembic("upgrade", "+1", DIRECT_DATABASE_URL=database_url, **others)
        assert asyncio.run(current(project, database_url)) == ("a",)
        with project.ini.open("a") as file:
            file.write(f"sqlalchemy.url = {database_url.replace('%', '%%')}\n")
        alembic("upgrade", "+1", DIRECT_DATABASE_URL=pooled, **others)

        assert asyncio.run(current(project, database_url)) == ("b",)

    def test_sql_is_printed_without_a_database(self, project, alembic):
        """`--sql` gives the statements of the whole way, in one transaction."""
        project.add("a", CREATE.format("one"))

        sql = alembic("upgrade", "head", "--sql")

        assert sql.index("BEGIN;") < sql.index("CREATE TABLE one") < sql.index("COMMIT;")
        assert "INSERT INTO alembic_version (version_num) VALUES ('a')" in sql

    def test_sql_for_another_dialect(self, project, alembic):
        """SQLite's own, on request."""
        project.add("a", "op.add_column('one', sa.Column('at', sa.Uuid()))")

        assert "ADD COLUMN at UUID" in alembic("upgrade", "head", "--sql")
        assert "ADD COLUMN at CHAR(32)" in alembic(
            "-x", "dialect=sqlite", "upgrade", "head", "--sql"
        )

    def test_sql_with_a_schema(self, project, alembic):
        """It is made before Alembic's own table, which is in it."""
        models = "from sqlalchemy import MetaData\nmetadata = MetaData(schema='shop')"
        project.write_models(models, base="metadata")
        project.add("a")

        sql = alembic("upgrade", "head", "--sql")

        assert sql.index("CREATE SCHEMA IF NOT EXISTS shop") < sql.index("shop.alembic_version")

    def test_no_database_is_named(self, project, alembic):
        """The error says which variables there are."""
        project.add("a")

        with pytest.raises(ConfigurationError, match="set DATABASE_OWNER_URL or DATABASE_URL"):
            alembic("upgrade", "head")

    def test_a_percent_sign_in_the_file_shows_no_password(self, project, alembic):
        """The parser's own message would have repeated the URL."""
        project.add("a")
        with project.ini.open("a") as file:
            file.write("sqlalchemy.url = postgresql://a:s%40cret@h/d\n")

        with pytest.raises(ConfigurationError, match="write %% there") as caught:
            alembic("upgrade", "head")

        assert "cret" not in "".join(traceback.format_exception(caught.value))

    def test_the_line_that_alembic_init_wrote(self, project, alembic):
        """It is a placeholder, and the error says where it stands."""
        project.add("a")
        with project.ini.open("a") as file:
            file.write("sqlalchemy.url = driver://user:pass@localhost/dbname\n")

        with pytest.raises(ConfigurationError, match=r"^sqlalchemy\.url of .*alembic\.ini: "):
            alembic("upgrade", "head")


async def test_alembics_functions_within_a_running_loop(project, url, db, monkeypatch):
    """`command.upgrade` may be called in async code, where asyncio.run() would fail."""
    project.add("a", CREATE.format("one"))
    monkeypatch.setenv("DATABASE_OWNER_URL", url)

    command.upgrade(Config(project.ini), "head")

    assert await migrate.current(db, project.ini) == ("a",)


class TestRevision:
    """Writing a migration from the difference of models and database."""

    async def test_a_migrated_database_equals_the_models(self, shop, db):
        """After the first migration there is nothing left to write, and no file is."""
        written = await migrate.revision(db, shop.ini, "first tables")
        await migrate.upgrade(db, shop.ini)
        again = await migrate.revision(db, shop.ini, "nothing")

        assert [written] == shop.versions
        assert again is None

    @pytest.mark.parametrize("first", [0, 1])
    async def test_what_one_engine_gave_serves_the_other(self, project, database_url, first):
        """The clock is asked in the SQL of the engine that is migrated, whoever wrote the file."""
        project.write_models(
            "from holdfast.models import NotBlank, Timestamps, UUIDKey\n"
            "from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column\n"
            "from sqlmodel import AutoString\n\n\n"
            "class Base(DeclarativeBase):\n    pass\n\n\n"
            "class Note(UUIDKey, Timestamps, Base):\n    __tablename__ = 'notes'\n"
            "    title: Mapped[str] = mapped_column(NotBlank(80))\n"
            "    body: Mapped[str] = mapped_column(AutoString(9))\n"
        )
        urls = [database_url, f"sqlite:///{project.folder}/both.db"]
        async with Database(urls[first]) as one, Database(urls[1 - first]) as other:
            await migrate.revision(one, project.ini, "first tables")
            for db in (one, other):
                await migrate.upgrade(db, project.ini)
                assert await migrate.revision(db, project.ini, "nothing") is None

    async def test_what_is_written_names_no_type_of_ours(self, shop, db):
        """A migration means the same for ever, whatever becomes of library and models."""
        written = (await migrate.revision(db, shop.ini, "first tables")).read_text()

        assert "holdfast" not in written
        assert "sa.DateTime(timezone=True)" in written
        assert "sa.String(length=32)" in written
        document = "sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(), 'postgresql')"
        assert written.count(document) == 2
        assert "sa.Column('title', sa.String(length=80), nullable=False)" in written
        assert "sa.Column('motto', sa.String(), nullable=True)" in written
        assert "name=op.f('ck_players_title_not_blank')" in written
        assert "sa.Column('plain', sa.JSON(), nullable=False)" in written
        assert "name=op.f('fk_decks_player_id_players')" in written

    async def test_a_change_is_found(self, shop, db):
        """A new column is written, and migrated with the rest."""
        await migrate.revision(db, shop.ini, "first tables")
        await migrate.upgrade(db, shop.ini)
        env = shop.folder / "migrations" / "env.py"
        env.write_text(env.read_text().replace("size:", "more: Mapped[str | None]\n    size:"))

        written = await migrate.revision(db, shop.ini, "more")
        await migrate.upgrade(db, shop.ini)

        assert (
            "op.add_column" in written.read_text() or "batch_op.add_column" in written.read_text()
        )
        async with db.engine.connect() as connection:
            columns = await connection.run_sync(lambda sync: inspect(sync).get_columns("decks"))
        assert "more" in {each["name"] for each in columns}

    async def test_the_way_back(self, shop, db):
        """What was written also undoes itself."""
        await migrate.revision(db, shop.ini, "first tables")
        await migrate.upgrade(db, shop.ini)

        await migrate.downgrade(db, shop.ini, "base")

        async with db.engine.connect() as connection:
            names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        assert names == ["alembic_version"]

    async def test_an_empty_one_on_request(self, project, db):
        """Without autogenerate the file is written, to be filled by hand."""
        written = await migrate.revision(db, project.ini, "by hand", autogenerate=False)

        assert [written] == project.versions

    @pytest.mark.parametrize(
        "message",
        ['quo"""ted"', "back\\slash\\", "\\N{nothing}", "two\n  lines", "a\x1b\udcff", "${x}"],
    )
    async def test_any_message_is_kept(self, project, db, message):
        """What is written can be read again, and says the message in one line."""
        written = await migrate.revision(db, project.ini, message, autogenerate=False)
        [found] = migrate.history(project.ini)

        assert found.path == written
        assert found.message == " ".join(message.encode("utf-8", "replace").decode().split())

    async def test_a_database_that_lags_behind(self, shop, db):
        """The difference to an old state would be wrong, so it is refused."""
        await migrate.revision(db, shop.ini, "first tables")

        with pytest.raises(
            MigrationError, match=r"not at the newest.*migrate it: holdfast migrate$"
        ):
            await migrate.revision(db, shop.ini, "second")


class TestFiles:
    """What can be told from the files alone."""

    def test_history_and_head(self, project):
        """Newest first, with what each follows."""
        project.add("a")
        project.add("b", down="a")
        newest, first = migrate.history(project.ini)

        assert (newest.revision, newest.down, newest.is_head) == ("b", ("a",), True)
        assert (first.revision, first.down, first.is_head) == ("a", (), False)
        assert newest.path == project.versions[1]
        assert migrate.head(str(project.ini)) == "b"

    def test_merged_branches(self, project):
        """A merge follows both."""
        project.add("a")
        project.add("b", down="a")
        project.add("c", down="a")
        project.add("d", down=("b", "c"))

        assert migrate.history(project.ini)[0].down == ("b", "c")
        assert migrate.head(project.ini) == "d"

    def test_no_migration_yet(self, project):
        """The error has the command that writes one."""
        assert migrate.history(project.ini) == []
        with pytest.raises(MigrationError, match=r"there is no migration yet.*holdfast revision"):
            migrate.head(project.ini)

    @pytest.mark.parametrize(
        "broken", ["1 +", "raise LookupError", "revision = 'b'\ndown_revision = 'x'"]
    )
    def test_files_that_cannot_be_read(self, project, broken):
        """A migration with a mistake, or one that follows nothing known."""
        project.add("a")
        (project.versions[0].parent / "b.py").write_text(broken)

        with pytest.raises(MigrationError, match="the migrations cannot be read"):
            migrate.history(project.ini)

    def test_no_folder(self, project):
        """The configuration names one that is not there, or none."""
        for line in ("script_location = %(here)s/nowhere", "", "script_location = %(nope)s"):
            project.ini.write_text(f"[alembic]\npath_separator = os\n{line}\n")
            with pytest.raises(ConfigurationError, match=r"alembic\.ini"):
                migrate.head(project.ini)


async def test_the_rows_survive_the_way_there_and_back(project, db):
    """Data that a migration does not touch stays."""
    project.add("a", CREATE.format("one"))
    project.add("b", CREATE.format("two"), down="a", back="op.drop_table('two')")
    await migrate.upgrade(db, project.ini, "a")
    async with db.begin() as session:
        await session.execute(text("INSERT INTO one VALUES (7)"))

    await migrate.upgrade(db, project.ini)
    await migrate.downgrade(db, project.ini, "a")

    async with db.read() as session:
        assert await session.scalar(text("SELECT id FROM one")) == 7
