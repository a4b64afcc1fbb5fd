"""The model on PostgreSQL, each test in a transaction of the kit's, which is rolled back."""

import uuid
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

import pytest
from sqlalchemy import Column, MetaData, String, Table, Uuid, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from holdfast.models import BLANKS, ValueEnum
from todo.models import Task, TaskStatus

BLANK = ["", " ", "\t", "\n", " \t\r\n ", "\u00a0", "\u3000", "\u200b\ufeff", BLANKS]
COLUMNS = """
    SELECT attname, concat(format_type(atttypid, atttypmod),
        CASE WHEN attnotnull THEN ' NOT NULL' END, ' DEFAULT ' || pg_get_expr(adbin, adrelid))
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = 'tasks'::regclass AND attnum > 0 ORDER BY attnum"""
INDEXES = "SELECT indexname FROM pg_indexes WHERE tablename = 'tasks' ORDER BY indexname"
CONSTRAINTS = """
    SELECT conname, contype FROM pg_constraint
    WHERE conrelid = 'tasks'::regclass AND contype <> 'n' ORDER BY conname"""
ENUMS = "SELECT count(*) FROM pg_type WHERE typtype = 'e'"
INSERT = text("INSERT INTO tasks (id, user_id, title) VALUES (:id, :user, :title)")


@pytest.fixture
def stored(session, make_task):
    """Give a function that stores a task and forgets it, and gives what was stored."""

    async def store(**values) -> Task:
        task = make_task(**values)
        session.add(task)
        await session.commit()
        session.expunge_all()
        return await session.get_one(Task, task.id)

    return store


class TestSchema:
    """What the migrations make."""

    async def test_columns(self, session):
        """Seven of them, with these types and defaults."""
        assert dict((await session.execute(text(COLUMNS))).all()) == {
            "id": "uuid NOT NULL",
            "user_id": "uuid NOT NULL",
            "title": "character varying(200) NOT NULL",
            "description": "character varying(1000)",
            "status": "character varying(50) NOT NULL DEFAULT 'pending'::character varying",
            "created_at": "timestamp with time zone NOT NULL DEFAULT clock_timestamp()",
            "updated_at": "timestamp with time zone NOT NULL DEFAULT clock_timestamp()",
        }

    async def test_names(self, session):
        """Indexes and constraints are called what others rely on; no foreign key, no enum type."""
        assert (await session.scalars(text(INDEXES))).all() == [
            "ix_tasks_user_id",
            "ix_tasks_user_id_created_at_id",
            "pk_tasks",
        ]
        assert (await session.execute(text(CONSTRAINTS))).all() == [
            ("ck_tasks_title_not_empty", b"c"),
            ("pk_tasks", b"p"),
        ]
        assert await session.scalar(text(ENUMS)) == 0


class TestCrud:
    """Create, read, update and delete."""

    async def test_create_and_read(self, stored, ann):
        """What was stored is read."""
        task = await stored(description="two bottles", status=TaskStatus.COMPLETED)

        assert (task.user_id, task.title, task.description, task.status) == (
            ann, "Buy milk", "two bottles", TaskStatus.COMPLETED,
        )  # fmt: skip

    async def test_the_value_of_a_status_is_stored(self, session, stored):
        """Not the name that Python has for it."""
        await stored(status=TaskStatus.COMPLETED)

        assert await session.scalar(text("SELECT status FROM tasks")) == "completed"

    async def test_update(self, session, stored):
        """What was changed is read."""
        task = await stored()
        task.status, task.description = TaskStatus.COMPLETED, "done"
        await session.commit()
        await session.refresh(task)

        assert (task.status, task.description) == (TaskStatus.COMPLETED, "done")

    async def test_delete(self, session, stored):
        """What was deleted is gone."""
        task = await stored()
        await session.delete(task)
        await session.commit()

        assert await session.get(Task, task.id) is None

    async def test_the_longest(self, stored):
        """200 and 1,000 characters, of four bytes each."""
        task = await stored(title="🐄" * 200, description="🐄" * 1000)

        assert (len(task.title), len(task.description)) == (200, 1000)


class TestTimes:
    """Both times are aware, in UTC, and fill themselves."""

    async def test_they_come_back_as_they_were(self, stored):
        """To the microsecond, in UTC."""
        east = datetime(2026, 1, 1, 5, 30, 0, 123456, timezone(timedelta(hours=5, minutes=30)))
        task = await stored(created_at=east)

        assert task.created_at == task.updated_at == east
        assert task.created_at.utcoffset() == timedelta(0)

    async def test_by_bare_sql(self, session, ann):
        """The server fills them where only the rest is given."""
        await session.execute(INSERT, {"id": uuid.uuid4(), "user": ann, "title": "bare"})
        task = (await session.scalars(select(Task))).one()

        assert abs(datetime.now(UTC) - task.created_at) < timedelta(minutes=1)
        assert abs(task.updated_at - task.created_at) < timedelta(seconds=1)
        assert task.status is TaskStatus.PENDING

    async def test_an_update_moves_one(self, session, stored):
        """By the ORM, at once and after reading it again."""
        task = await stored()
        created = task.created_at
        task.title = "Buy oat milk"
        await session.commit()
        assert task.updated_at > created

        await session.refresh(task)
        assert task.updated_at > created == task.created_at

    @pytest.mark.parametrize("target", [Task, Task.__table__], ids=["orm", "core"])
    async def test_a_bulk_update_moves_one(self, session, stored, target):
        """By a statement for many rows."""
        task = await stored()
        created = task.created_at
        await session.execute(
            update(target).values(title="changed"), execution_options={"synchronize_session": False}
        )
        await session.refresh(task)

        assert (task.title, task.created_at) == ("changed", created)
        assert task.updated_at > created

    async def test_a_bulk_insert_fills_both(self, session, ann):
        """Rows of a Core statement have ids and times as well."""
        rows = [{"user_id": ann, "title": f"task {number}"} for number in range(3)]
        await session.execute(insert(Task.__table__), rows)
        tasks = (await session.scalars(select(Task))).all()

        assert len({task.id for task in tasks}) == 3
        assert all(task.created_at.utcoffset() == timedelta(0) for task in tasks)


@pytest.mark.parametrize("title", BLANK)
async def test_the_database_refuses_an_empty_title(session, ann, title):
    """By a constraint of this name, whoever writes."""
    with pytest.raises(IntegrityError) as error:
        await session.execute(INSERT, {"id": uuid.uuid4(), "user": ann, "title": title})

    assert error.value.orig.__cause__.constraint_name == "ck_tasks_title_not_empty"


class NewerStatus(StrEnum):
    """What a newer release may have."""

    PENDING = "pending"
    COMPLETED = "completed"
    ARCHIVED = "archived"


NEWER = Table(
    "tasks",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid),
    Column("title", String),
    Column("status", ValueEnum(NewerStatus, length=50)),
)


async def test_a_new_status_needs_no_migration(session, ann):
    """What a newer release writes is read by this one, which keeps it when it writes the rest."""
    row = {"id": uuid.uuid4(), "user_id": ann, "title": "a", "status": NewerStatus.ARCHIVED}
    await session.execute(insert(NEWER), row)
    task = (await session.scalars(select(Task))).one()
    assert task.status == "archived"

    task.title = "b"
    await session.commit()
    found = (await session.execute(select(NEWER.c.title, NEWER.c.status))).one()
    assert found == ("b", NewerStatus.ARCHIVED)


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_begins_with_nothing(session, stored, turn):
    """What another test has committed was rolled back."""
    assert (await session.scalars(select(Task))).all() == []
    await stored()
