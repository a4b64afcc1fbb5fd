"""The model on SQLite in memory, each test in a transaction that is rolled back."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
import pytest_asyncio
from pydantic import ValidationError
from sqlalchemy import insert, inspect, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

import todo.models
from holdfast import migrate
from holdfast.database import Database
from holdfast.models import BLANKS
from todo.core.start import ALEMBIC_INI
from todo.models import Task, TaskStatus

pytestmark = pytest.mark.asyncio(loop_scope="module")  # the database in memory stays

BLANK = ["", " ", "\t", "\n", " \t\r\n ", "\u00a0", "\u3000", "\u200b\ufeff", BLANKS]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connection() -> AsyncIterator[AsyncConnection]:
    """Give the one connection to a migrated database in memory."""
    async with Database("sqlite://") as db:
        await migrate.upgrade(db, ALEMBIC_INI)
        async with db.engine.connect() as connection:
            yield connection


@pytest_asyncio.fixture(loop_scope="module")
async def session(connection: AsyncConnection) -> AsyncIterator[AsyncSession]:
    """Give a session whose commits are savepoints of a transaction that is rolled back."""
    outer = await connection.begin()
    async with AsyncSession(
        connection, join_transaction_mode="create_savepoint", expire_on_commit=False
    ) as session:
        yield session
    await outer.rollback()


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


class TestModel:
    """What a task is."""

    async def test_it_is_exported(self):
        """By `todo.models`, and its table is SQLModel's."""
        assert todo.models.Task is Task
        assert todo.models.TaskStatus is TaskStatus
        assert SQLModel.metadata.tables["tasks"] is Task.__table__

    async def test_fields(self):
        """Seven of them, with these types."""
        columns = {each.name: (str(each.type), each.nullable) for each in Task.__table__.columns}

        assert columns == {
            "id": ("CHAR(32)", False),
            "user_id": ("CHAR(32)", False),
            "title": ("VARCHAR(200)", False),
            "description": ("VARCHAR(1000)", True),
            "status": ("VARCHAR(50)", False),
            "created_at": ("DATETIME", False),
            "updated_at": ("DATETIME", False),
        }
        assert [each.name for each in Task.__table__.primary_key] == ["id"]
        assert not Task.__table__.foreign_keys

    async def test_columns_of_the_database(self, connection, session):
        """The migrations make the same."""
        found = await connection.run_sync(lambda sync: inspect(sync).get_columns("tasks"))

        assert {each["name"]: (str(each["type"]), each["nullable"]) for each in found} == {
            "id": ("CHAR(32)", False),
            "user_id": ("CHAR(32)", False),
            "title": ("VARCHAR(200)", False),
            "description": ("VARCHAR(1000)", True),
            "status": ("VARCHAR(50)", False),
            "created_at": ("DATETIME", False),
            "updated_at": ("DATETIME", False),
        }

    async def test_statuses(self):
        """There are two, and no native enum of the database."""
        assert [(each.name, each.value) for each in TaskStatus] == [
            ("PENDING", "pending"),
            ("COMPLETED", "completed"),
        ]
        assert issubclass(TaskStatus, str)

    async def test_the_value_is_stored(self, session, stored):
        """Not the name that Python has for it."""
        await stored(status=TaskStatus.COMPLETED)
        await stored()

        connection = await session.connection()
        found = await connection.scalars(text("SELECT status FROM tasks ORDER BY status"))
        assert found.all() == ["completed", "pending"]

    async def test_the_index(self, connection, session):
        """A user's tasks are found by it; there is one for pages of them as well."""
        found = await connection.run_sync(lambda sync: inspect(sync).get_indexes("tasks"))

        assert {each["name"]: each["column_names"] for each in found} == {
            "ix_tasks_user_id": ["user_id"],
            "ix_tasks_user_id_created_at_id": ["user_id", "created_at", "id"],
        }

    async def test_defaults(self, ann):
        """A user and a title will do."""
        task = Task(user_id=ann, title="Buy milk")

        assert isinstance(task.id, uuid.UUID)
        assert task.id != Task(user_id=ann, title="Buy milk").id
        assert (task.description, task.status) == (None, TaskStatus.PENDING)


class TestTimes:
    """Both times are aware, in UTC, and fill themselves."""

    async def test_at_construction(self, make_task):
        """Both are now, and the same until something is changed."""
        before = datetime.now(UTC)
        task = make_task()

        assert before <= task.created_at <= datetime.now(UTC)
        assert task.updated_at == task.created_at
        assert task.created_at.utcoffset() == timedelta(0)

    async def test_they_come_back_aware(self, stored, make_task):
        """As the same instants, in UTC, although SQLite knows no zones."""
        east = datetime(2026, 1, 1, 5, 30, 0, 123456, timezone(timedelta(hours=5, minutes=30)))
        task = await stored(created_at=east, updated_at=datetime(2026, 1, 2, tzinfo=UTC))

        assert task.created_at == datetime(2026, 1, 1, 0, 0, 0, 123456, UTC)
        assert task.created_at.utcoffset() == task.updated_at.utcoffset() == timedelta(0)
        assert task.updated_at == datetime(2026, 1, 2, tzinfo=UTC)

    async def test_a_time_of_no_zone_is_refused(self, make_task):
        """Before anything is sent."""
        with pytest.raises(ValidationError, match="created_at"):
            make_task(created_at=datetime(2026, 1, 1))  # noqa: DTZ001

    async def test_by_bare_sql(self, session, ann):
        """The server fills them where only the rest is given."""
        connection = await session.connection()
        await connection.execute(
            text("INSERT INTO tasks (id, user_id, title) VALUES (:id, :user, 'bare')"),
            {"id": uuid.uuid4().hex, "user": ann.hex},
        )
        task = (await session.exec(select(Task))).one()

        assert abs(datetime.now(UTC) - task.created_at) < timedelta(minutes=1)
        assert abs(task.updated_at - task.created_at) < timedelta(seconds=1)
        assert task.created_at.utcoffset() == timedelta(0)
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
        connection = await session.connection()
        await connection.execute(update(target).values(title="changed"))
        created = task.created_at
        await session.refresh(task)

        assert (task.title, task.created_at) == ("changed", created)
        assert task.updated_at > created

    @pytest.mark.parametrize("target", [Task, Task.__table__], ids=["orm", "core"])
    async def test_a_bulk_insert_fills_both(self, session, ann, target):
        """Rows of a Core statement have ids and times as well."""
        rows = [{"user_id": ann, "title": f"task {number}"} for number in range(3)]
        connection = await session.connection()
        await connection.execute(insert(target), rows)
        tasks = (await session.exec(select(Task))).all()

        assert len({task.id for task in tasks}) == 3
        for task in tasks:
            assert abs(datetime.now(UTC) - task.created_at) < timedelta(minutes=1)
            assert task.status is TaskStatus.PENDING


class TestValidation:
    """What makes no sense is refused before any SQL."""

    @pytest.mark.parametrize("title", BLANK)
    async def test_an_empty_title(self, make_task, title):
        """At construction, by `model_validate` and at assignment, which leaves the old one."""
        user = uuid.uuid4()
        for make in (
            lambda: Task(user_id=user, title=title),
            lambda: Task.model_validate({"user_id": user, "title": title}),
        ):
            with pytest.raises(ValidationError, match="Title cannot be empty"):
                make()
        task = make_task()
        with pytest.raises(ValidationError, match="Title cannot be empty"):
            task.title = title

        assert task.title == "Buy milk"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("title", "x" * 201),
            ("title", None),
            ("title", "a\0b"),
            ("title", "half \ud800"),
            ("description", "x" * 1001),
            ("description", "\0"),
            ("status", "archived"),
            ("status", "PENDING"),
            ("user_id", "ann"),
            ("id", None),
        ],
    )
    async def test_a_wrong_value(self, make_task, field, value):
        """The error names the field, at construction and at assignment."""
        with pytest.raises(ValidationError, match=field):
            make_task(**{field: value})
        task = make_task()
        before = getattr(task, field)
        with pytest.raises(ValidationError, match=field):
            setattr(task, field, value)

        assert getattr(task, field) == before

    async def test_what_is_just_right(self, stored):
        """The longest title and description, of characters that take four bytes each."""
        task = await stored(title="🐄" * 200, description="🐄" * 1000)

        assert (task.title, task.description) == ("🐄" * 200, "🐄" * 1000)

    async def test_a_title_is_stored_as_it_is(self, stored):
        """Spaces around it are the user's."""
        assert (await stored(title=" milk ")).title == " milk "

    async def test_missing_and_unknown_fields(self):
        """All of them are named at once."""
        with pytest.raises(ValidationError) as error:
            Task(titel="Buy milk", status="archived")

        assert {each["loc"][0] for each in error.value.errors()} == {
            "user_id", "title", "titel", "status",
        }  # fmt: skip

    async def test_a_rejected_assignment_is_not_written(self, session, stored):
        """A COMMIT after it changes nothing, not even the time."""
        task = await stored()
        before = task.updated_at
        with pytest.raises(ValidationError):
            task.title = ""
        await session.commit()
        await session.refresh(task)

        assert (task.title, task.updated_at) == ("Buy milk", before)

    @pytest.mark.parametrize("title", BLANK)
    async def test_the_database_refuses_it_too(self, session, ann, title):
        """By a constraint of this name, whoever writes."""
        connection = await session.connection()
        with pytest.raises(IntegrityError, match="ck_tasks_title_not_empty"):
            await connection.execute(
                text("INSERT INTO tasks (id, user_id, title) VALUES (:id, :user, :title)"),
                {"id": uuid.uuid4().hex, "user": ann.hex, "title": title},
            )


class TestNewerReleases:
    """A status that this release does not know."""

    async def test_it_can_be_read_and_kept(self, session, stored):
        """The row is read; a change of something else leaves it, and it can be set."""
        task = await stored()
        connection = await session.connection()
        await connection.execute(text("UPDATE tasks SET status = 'archived'"))
        session.expunge_all()
        task = await session.get_one(Task, task.id)
        assert task.status == "archived"
        task.title = "changed"
        await session.commit()
        assert await session.scalar(text("SELECT status FROM tasks")) == "archived"

        task.status = TaskStatus.COMPLETED
        await session.commit()
        assert await session.scalar(text("SELECT status FROM tasks")) == "completed"


class TestCrud:
    """Create, read, update and delete."""

    async def test_create_and_read(self, stored, ann):
        """What was stored is read."""
        task = await stored(description="two bottles")

        assert (task.user_id, task.title, task.description, task.status) == (
            ann, "Buy milk", "two bottles", TaskStatus.PENDING,
        )  # fmt: skip

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


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_begins_with_nothing(session, stored, turn):
    """What another test has committed was rolled back."""
    assert (await session.exec(select(Task))).all() == []
    await stored()


async def test_tasks_at_once_are_their_own(make_task):
    """Two coroutines that make tasks do not get each other's values."""

    async def make(title: str) -> Task:
        task = make_task(title=title)
        await asyncio.sleep(0)
        with pytest.raises(ValidationError):
            task.title = ""
        return task

    tasks = await asyncio.gather(*(make(f"task {number}") for number in range(20)))
    assert [task.title for task in tasks] == [f"task {number}" for number in range(20)]
