"""The services, on SQLite and PostgreSQL: what a user does with tasks, and cannot with others'."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from holdfast.errors import ConfigurationError
from holdfast.paging import write_place
from todo.core.database import async_session_factory, get_database
from todo.errors import InvalidInputError, NotFoundError
from todo.models import Task, TaskStatus
from todo.services.tasks import (
    add_task,
    complete_task,
    delete_task,
    edit_task,
    find_task,
    get_task,
    list_tasks,
    reopen_task,
    select_tasks,
)

NOBODY = uuid.UUID(int=1)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


async def read(db, work, *args, **options):
    async with db.read() as session:
        return await work(session, *args, **options)


async def titles(db, user, **options) -> list[str]:
    return [task.title for task in (await read(db, list_tasks, user, **options)).items]


class TestAdd:
    """A new task."""

    async def test_it_is_stored(self, either, ann):
        """It is pending, and is read as it was given back."""
        task = await either.run(add_task, ann, "Buy milk", description="two bottles")
        stored = await read(either, get_task, ann, task.id)

        assert stored.model_dump() == task.model_dump()
        assert (stored.user_id, stored.title, stored.description, stored.status) == (
            ann, "Buy milk", "two bottles", TaskStatus.PENDING,
        )  # fmt: skip

    async def test_everything_wrong_is_told_in_one_line(self, either, ann):
        """And nothing is stored."""
        with pytest.raises(InvalidInputError) as error:
            await either.run(add_task, ann, " \t", description="x" * 1001)

        assert str(error.value) == (
            "title: Title cannot be empty; description: String should have at most 1000 characters"
        )
        assert await titles(either, ann) == []

    async def test_an_empty_description_is_none(self, either, ann):
        """As it is when a task is edited."""
        assert (await either.run(add_task, ann, "Buy milk", description="")).description is None


class TestList:
    """Pages of a user's tasks."""

    @pytest.fixture
    async def twenty(self, either, ann, bob):
        """Store twenty tasks of Ann's, four at each moment, and some of Bob's in between."""
        async with either.begin() as session:
            for number in range(20):
                at = BEGAN + timedelta(minutes=number // 4)
                status = TaskStatus.COMPLETED if number % 2 else TaskStatus.PENDING
                one = {"title": f"task {number}", "status": status, "created_at": at}
                session.add_all([Task(user_id=ann, **one), Task(user_id=bob, **one)])
        return sorted(
            (await read(either, list_tasks, ann)).items,
            key=lambda task: (task.created_at, task.id),
            reverse=True,
        )

    async def test_the_newest_is_first(self, either, ann, twenty):
        """In one order, also where times are equal."""
        page = await read(either, list_tasks, ann)

        assert [task.id for task in page.items] == [task.id for task in twenty]
        assert page.next is None
        assert page.items[0].created_at > page.items[-1].created_at

    @pytest.mark.parametrize("limit", [1, 3, 20])
    @pytest.mark.parametrize("status", [None, *TaskStatus])
    async def test_pages_have_every_task_once(self, *, either, ann, twenty, limit, status):
        """Although there are new ones meanwhile."""
        found, after = [], None
        while True:
            page = await read(either, list_tasks, ann, status=status, after=after, limit=limit)
            found += page.items
            if (after := page.next) is None:
                break
            await either.run(add_task, ann, "new")

        wanted = [task for task in twenty if status in {None, task.status}]
        assert [task.id for task in found] == [task.id for task in wanted]

    @pytest.mark.parametrize("limit", [0, -1, 10_001])
    async def test_a_wrong_limit(self, either, ann, limit):
        """It is refused."""
        with pytest.raises(InvalidInputError, match=f"limit is {limit}; it is between 1 and 10000"):
            await read(either, list_tasks, ann, limit=limit)

    async def test_a_wrong_place(self, either, ann):
        """It is refused."""
        with pytest.raises(ConfigurationError, match="after is 'x'"):
            await read(either, list_tasks, ann, after="x")

    async def test_a_status_that_is_not_known_yet(self, either, ann):
        """The row is listed, and can be completed."""
        task = await either.run(add_task, ann, "Buy milk")
        async with either.begin() as session:
            await session.execute(text("UPDATE tasks SET status = 'archived'"))

        assert [each.status for each in (await read(either, list_tasks, ann)).items] == ["archived"]
        assert (await either.run(complete_task, ann, task.id)).status is TaskStatus.COMPLETED


def test_the_order_is_the_querys_own(ann):
    """Where times are equal, too: not that of the index that happens to answer it."""
    asked = str(select_tasks(ann, 10, status=None, after=None))

    assert "ORDER BY tasks.created_at DESC, tasks.id DESC" in asked


class TestChanges:
    """Completed, reopened, edited and deleted."""

    async def test_complete_and_reopen(self, either, ann):
        """Each time the time moves; again, it stays so."""
        task = await either.run(add_task, ann, "Buy milk")
        before = task.updated_at
        for work, status in (
            (complete_task, TaskStatus.COMPLETED),
            (complete_task, TaskStatus.COMPLETED),
            (reopen_task, TaskStatus.PENDING),
        ):
            changed = await either.run(work, ann, task.id)
            stored = await read(either, get_task, ann, task.id)
            assert changed.model_dump() == stored.model_dump()
            assert (stored.status, stored.created_at) == (status, task.created_at)
            assert stored.updated_at > before
            before = stored.updated_at

    async def test_edit(self, either, ann):
        """What is not given is kept, and an empty description is none."""
        task = await either.run(add_task, ann, "Buy milk", description="two bottles")
        changed = await either.run(edit_task, ann, task.id, title="Buy oat milk")
        assert (changed.title, changed.description) == ("Buy oat milk", "two bottles")
        assert changed.updated_at > task.updated_at

        changed = await either.run(edit_task, ann, task.id, description="")
        stored = await read(either, get_task, ann, task.id)
        assert (stored.title, stored.description) == ("Buy oat milk", None)
        assert stored.model_dump() == changed.model_dump()

    async def test_a_wrong_edit_changes_nothing(self, either, ann):
        """All that is wrong is told, and what was right is not written either."""
        task = await either.run(add_task, ann, "Buy milk")
        with pytest.raises(InvalidInputError) as error:
            await either.run(edit_task, ann, task.id, title="", description="x" * 1001)
        assert str(error.value) == (
            "title: Title cannot be empty; description: String should have at most 1000 characters"
        )
        with pytest.raises(InvalidInputError, match="title"):
            await either.run(edit_task, ann, task.id, title="", description="right")
        with pytest.raises(InvalidInputError, match="nothing is to be changed"):
            await either.run(edit_task, ann, task.id)

        assert (await read(either, get_task, ann, task.id)).model_dump() == task.model_dump()

    async def test_delete(self, either, ann):
        """It is gone; another one stays."""
        task = await either.run(add_task, ann, "Buy milk")
        await either.run(add_task, ann, "Buy bread")
        await either.run(delete_task, ann, task.id)

        assert await titles(either, ann) == ["Buy bread"]
        with pytest.raises(NotFoundError):
            await either.run(delete_task, ann, task.id)


USES = {
    "get": (get_task, {}),
    "complete": (complete_task, {}),
    "reopen": (reopen_task, {}),
    "edit": (edit_task, {"title": "mine"}),
    "delete": (delete_task, {}),
}


class TestUsers:
    """Nobody gets at another's tasks."""

    @pytest.mark.parametrize("use", USES)
    async def test_another_one_s_task_is_not_there(self, either, ann, bob, use):
        """It is told in the words for one that nobody has, and nothing is changed."""
        work, options = USES[use]
        task = await either.run(add_task, ann, "Ann's")
        with pytest.raises(NotFoundError) as theirs:
            await either.run(work, bob, task.id, **options)
        with pytest.raises(NotFoundError) as nobodys:
            await either.run(work, bob, NOBODY, **options)

        assert str(theirs.value) == f"there is no task {task.id}"
        assert str(nobodys.value) == f"there is no task {NOBODY}"
        assert (await read(either, get_task, ann, task.id)).model_dump() == task.model_dump()

    async def test_lists_and_searches_have_ones_own(self, either, ann, bob):
        """By status, by pages, and by the beginning of an id."""
        task = await either.run(add_task, ann, "Ann's")
        await either.run(add_task, bob, "Bob's")

        assert await titles(either, bob) == ["Bob's"]
        assert await titles(either, bob, status=TaskStatus.PENDING) == ["Bob's"]
        assert await titles(either, uuid.uuid4()) == []
        for named in (str(task.id), task.id.hex[:12]):
            with pytest.raises(NotFoundError, match=f"there is no task {named}"):
                await read(either, find_task, bob, named)


class TestFind:
    """Ids as people write them."""

    @pytest.fixture
    async def two(self, either, ann):
        """Store two tasks whose ids begin alike."""
        ids = [uuid.UUID(f"3f2a0{digit}00-0000-4000-8000-000000000000") for digit in "1f"]
        async with either.begin() as session:
            session.add_all(Task(id=each, user_id=ann, title=each.hex[5]) for each in ids)

    @pytest.mark.parametrize(
        "named", ["3f2a01", "3F2A01", "3f2a0100-", "3f2a0100-0000-4000-8000-000000000000"]
    )
    async def test_the_beginning_of_one(self, either, ann, two, named):
        """Any case, with hyphens or without, or all of it."""
        assert (await read(either, find_task, ann, named)).title == "1"

    @pytest.mark.parametrize("named", ["3", "3f2a0", "3f2a-0"])
    async def test_the_beginning_of_several(self, either, ann, two, named):
        """More of it has to be given."""
        with pytest.raises(InvalidInputError, match=f"id is {named!r}; several tasks begin so"):
            await read(either, find_task, ann, named)

    @pytest.mark.parametrize("named", ["", "-", "xyz", "3f2a%", "3" * 33, "3f2a0100 "])
    async def test_the_beginning_of_none(self, either, ann, two, named):
        """It is said what an id is."""
        with pytest.raises(InvalidInputError, match="it is the first digits of an id"):
            await read(either, find_task, ann, named)

    @pytest.mark.parametrize("named", ["0", "4", "3f2a02", "f" * 32])
    async def test_the_beginning_of_what_is_not_there(self, either, ann, two, named):
        """It is not found."""
        with pytest.raises(NotFoundError, match=f"there is no task {named}"):
            await read(either, find_task, ann, named)


class TestAtOnce:
    """Several do something to the same task."""

    async def test_twenty_complete_it(self, either, ann):
        """All of them are told that it is."""
        task = await either.run(add_task, ann, "Buy milk")
        done = await asyncio.gather(*(either.run(complete_task, ann, task.id) for _ in range(20)))

        assert {each.status for each in done} == {TaskStatus.COMPLETED}

    async def test_two_edit_different_fields(self, either, ann):
        """Neither loses what it wrote."""
        task = await either.run(add_task, ann, "Buy milk")
        await asyncio.gather(
            *(
                either.run(edit_task, ann, task.id, **change)
                for change in ({"title": "new"}, {"description": "new"}) * 5
            )
        )

        stored = await read(either, get_task, ann, task.id)
        assert (stored.title, stored.description) == ("new", "new")

    async def test_one_deletes_what_others_edit(self, either, ann):
        """Each of them does so before, or is told that it is gone."""
        task = await either.run(add_task, ann, "Buy milk")
        ended = await asyncio.gather(
            *(either.run(edit_task, ann, task.id, title=f"{number}") for number in range(5)),
            either.run(delete_task, ann, task.id),
            *(either.run(edit_task, ann, task.id, title=f"{number}") for number in range(5)),
            return_exceptions=True,
        )

        assert ended[5] is None
        assert {type(each) for each in ended} <= {Task, NotFoundError, type(None)}
        assert await titles(either, ann) == []


@pytest.mark.holdfast(isolation="database")
async def test_what_is_added_over_a_lost_connection_is_added_once(faults, db, ann):
    """The connection is cut at the INSERT; the work is done again, on another one."""
    faults.drop_connection(at="INSERT INTO tasks")

    await db.run(add_task, ann, "Buy milk")

    assert await titles(db, ann) == ["Buy milk"]


@pytest.mark.parametrize("name", ["on_clone", "file_url"])
async def test_they_take_sqlmodel_s_session_as_well(request, clean_environment, name, ann):
    """The one of `get_async_session`; the caller commits."""
    given = request.getfixturevalue(name)
    if name == "file_url":
        clean_environment.setenv("DATABASE_URL", given)
    async with async_session_factory.begin() as session:
        task = await add_task(session, ann, "Buy milk")
        await complete_task(session, ann, task.id)
        await edit_task(session, ann, task.id, title="Buy oat milk")
        assert (await find_task(session, ann, task.id.hex[:8])).title == "Buy oat milk"
        other = await add_task(session, ann, "Buy bread")
        await delete_task(session, ann, other.id)

    assert await titles(get_database(), ann, status=TaskStatus.COMPLETED) == ["Buy oat milk"]


FILL = text(
    "INSERT INTO tasks (id, user_id, title, created_at) "
    "SELECT gen_random_uuid(), :user, 'task', timestamptz '2026-01-01 00:00Z' + n * interval '1 s' "
    "FROM generate_series(1, 20000) n"
)


@pytest.mark.holdfast(role="owner")  # who may have it looked through
@pytest.mark.parametrize("status", [None, TaskStatus.PENDING])
@pytest.mark.parametrize("after", [None, write_place(BEGAN + timedelta(hours=3), NOBODY)])
async def test_a_page_costs_what_a_page_costs(session, ann, status, after):
    """However many tasks there are: the index gives them in order, and nothing is sorted."""
    await session.execute(FILL, {"user": ann})
    await session.execute(text("ANALYZE tasks"))
    query = select_tasks(ann, 50, status=status, after=after)
    compiled = query.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    plan = "\n".join(await session.scalars(text(f"EXPLAIN {compiled}".replace(":", r"\:"))))

    assert "Index Scan Backward using ix_tasks_user_id_created_at_id" in plan, plan
    assert "Sort" not in plan, plan
