"""Ann adds, lists, completes, edits and deletes tasks; Bob tries; all of it is read back."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.database import Database
from todo.errors import NotFoundError
from todo.models import Task, TaskStatus
from todo.services.tasks import (
    add_task,
    complete_task,
    delete_task,
    edit_task,
    get_task,
    list_tasks,
    reopen_task,
)

TITLES = (
    "Buy milk", "Call the plumber", "Water the plants", "Pay the rent", "Book a train",
    "Return the books", "Write to Ada", "Mend the bicycle", "Bake bread", "Plan the garden",
    "Clean the windows", "Learn a poem",
)  # fmt: skip
PAGE = 5
_BARE = text("UPDATE tasks SET title = :blank WHERE user_id = :user")

Checks = dict[str, bool]
Work = Callable[[AsyncSession, uuid.UUID, uuid.UUID], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """Ann's tasks as they are at the end, the newest one first, and whether each check holds."""

    tasks: list[Task]
    checks: Checks


class Demo:
    """One run on one database, with users of its own.

    Args:
        db: migrated; it is opened by the caller.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._ann = uuid.uuid4()
        self._bob = uuid.uuid4()

    async def play(self) -> Played:
        """Do everything, then read everything back."""
        added = await asyncio.gather(
            *(self._db.run(add_task, self._ann, title) for title in TITLES)
        )
        await self._db.run(add_task, self._bob, "Bob's own")
        checks = await self._look_at_pages(added)
        checks |= await self._change({task.title: task for task in added})
        checks |= await self._refuse(added[0])
        checks |= await self._let_bob_try(added[0])
        return Played(tasks=await self._all(self._ann), checks=checks)

    async def clean_up(self) -> None:
        """Remove the tasks of this run."""
        for user in (self._ann, self._bob):
            for task in await self._all(user):
                await self._db.run(delete_task, user, task.id)

    async def _look_at_pages(self, added: list[Task]) -> Checks:
        found: list[Task] = []
        after: str | None = None
        while True:
            async with self._db.read() as session:
                page = await list_tasks(session, self._ann, after=after, limit=PAGE)
            found += page.items
            if (after := page.next) is None:
                break
        newest_first = sorted(added, key=lambda task: (task.created_at, task.id), reverse=True)
        return {
            f"{len(added)} tasks that were added at once are there, in pages of {PAGE}, newest "
            "first": [task.id for task in found] == [task.id for task in newest_first]
        }

    async def _change(self, added: dict[str, Task]) -> Checks:
        milk, rent, poem = (added[title] for title in ("Buy milk", "Pay the rent", "Learn a poem"))
        for task in (milk, rent):
            await self._db.run(complete_task, self._ann, task.id)
        await self._db.run(reopen_task, self._ann, rent.id)
        await self._db.run(edit_task, self._ann, rent.id, description="before Friday")
        await self._db.run(delete_task, self._ann, poem.id)
        async with self._db.read() as session:
            done = await list_tasks(session, self._ann, status=TaskStatus.COMPLETED)
            open_ = await list_tasks(session, self._ann, status=TaskStatus.PENDING)
            bought = await get_task(session, self._ann, milk.id)
            paid = await get_task(session, self._ann, rent.id)
        return {
            "of two that were completed one was reopened, and one was deleted": (
                [task.id for task in done.items] == [milk.id]
                and len(open_.items) == len(added) - 2
                and paid.description == "before Friday"
            ),
            "every change moved updated_at, and no change moved created_at": (
                bought.updated_at > milk.updated_at
                and bought.created_at == milk.created_at
                and paid.updated_at > rent.updated_at
                and paid.created_at == rent.created_at
            ),
        }

    async def _refuse(self, task: Task) -> Checks:
        before = task.title
        try:
            task.title = " \t"
        except ValidationError:
            said = task.title == before
        else:
            said = False
        return {
            "a blank title is refused by Python, and the old one stays": said,
            "the database refuses one too, from whoever writes": await self._is_refused(),
        }

    async def _is_refused(self) -> bool:
        async with self._db.session() as session:
            user = self._ann.hex if self._db.url.backend == "sqlite" else self._ann
            try:
                await session.execute(_BARE, {"blank": " \t\u200b", "user": user})
            except IntegrityError as error:
                return "ck_tasks_title_not_empty" in str(error)
        return False

    async def _let_bob_try(self, task: Task) -> Checks:
        answers = {await self._ask_as_bob(work, task) for work in (get_task, complete_task)}
        answers |= {await self._ask_as_bob(delete_task, task)}
        return {
            "Bob sees his own tasks alone, and Ann's are not there for him": (
                answers == {f"there is no task {task.id}"} and len(await self._all(self._bob)) == 1
            )
        }

    async def _ask_as_bob(self, work: Work, task: Task) -> str:
        try:
            await self._db.run(work, self._bob, task.id)
        except NotFoundError as error:
            return str(error)
        return "it was done"

    async def _all(self, user: uuid.UUID) -> list[Task]:
        async with self._db.read() as session:
            return (await list_tasks(session, user)).items
