"""Promise 8: an object has only values that its model allows, on whatever database."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from advanced_alchemy.exceptions import RepositoryError
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from advanced_alchemy.service import SQLAlchemyAsyncRepositoryService
from proofs import stacks
from proofs.contract import Outcome, Proof, Servers, Side, main
from proofs.engines import ENGINES, Fact, Facts, all_good, describe, empty_databases
from proofs.stacks import Open, Stack
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from holdfast.models.sqlmodel import ValidatedModel

Values = Mapping[str, Any]

GOOD: Values = {"title": "lamp"}
WRONG: Mapping[str, Values] = {
    "title='', urgency=-5": {"title": "", "urgency": -5},
    "urgency='high'": {"title": "lamp", "urgency": "high"},
    "urgencey=5": {"title": "lamp", "urgencey": 5},
}
ASSIGNING = "title='' on a stored one"
REFUSED = "refused with ValidationError"
AFTER = "the title of that one, after the next commit"


class TaskBase(SQLModel):
    """What a task has."""

    id: int | None = Field(default=None, primary_key=True)
    title: str = Field(min_length=1, max_length=20)
    urgency: int = Field(default=1, ge=1)


class Task(TaskBase, table=True):
    """As SQLModel's documentation has it."""


class AssignedTask(TaskBase, table=True):
    """With pydantic's validation of assignments, which checks those at construction as well."""

    model_config = {"validate_assignment": True}


class ValidatedTask(TaskBase, ValidatedModel, table=True):
    """Ours."""


Model = type[TaskBase]
Create = Callable[[AsyncSession, Values], Awaitable[object]]
CreateOf = Callable[[Model, AsyncSession, Values], Awaitable[object]]


async def by_session(model: Model, session: AsyncSession, values: Values) -> None:
    """Make one and add it."""
    session.add(model(**values))


async def by_service(model: Model, session: AsyncSession, values: Values) -> None:
    """Have advanced-alchemy's service make one and add it."""

    class Repository(SQLAlchemyAsyncRepository[Any]):
        """Reads and writes the model."""

        model_type = model

    class Service(SQLAlchemyAsyncRepositoryService[Any]):
        """What an application calls."""

        repository_type = Repository

    await Service(session=session).create(dict(values))


async def compare(open_stack: Open, model: Model, create: CreateOf, servers: Servers) -> Outcome:
    """Try wrong values on both engines."""
    seen: dict[str, Facts] = {}
    async with empty_databases(servers) as urls:
        for engine, url in urls.items():
            async with open_stack(url) as stack:
                seen[engine] = await use(stack, model, partial(create, model))
    return Outcome(
        said=describe(seen, [*WRONG, ASSIGNING]),
        true=describe(seen, [AFTER]),
        kept=all_good(seen),
    )


async def use(stack: Stack, model: Model, create: Create) -> Facts:
    """Store a task, spoil it and commit; then create others with wrong values."""
    table = model.metadata.tables[str(model.__tablename__)]
    async with stack.engine.begin() as connection:
        await connection.run_sync(table.create)
    async with stack.begin() as session:
        await create(session, GOOD)
    async with stack.begin() as session:
        task = (await session.scalars(select(model))).one()
        assigned = assign(task)
        task.urgency = 2
    async with stack.begin() as session:
        title = await session.scalar(select(table.c.title))
    return {each: await attempt(stack, create, values) for each, values in WRONG.items()} | {
        ASSIGNING: assigned,
        AFTER: Fact(text=repr(title), good=title == GOOD["title"]),
    }


def assign(task: TaskBase) -> Fact:
    """Give a task an empty title, and go on where that is refused, as a service answers 422."""
    try:
        task.title = ""
    except ValidationError:
        return Fact(text=REFUSED, good=True)
    return Fact(text="accepted", good=False)


async def attempt(stack: Stack, create: Create, values: Values) -> Fact:
    """Create a task with wrong values."""
    try:
        async with stack.begin() as session:
            await create(session, values)
    except ValidationError:
        return Fact(text=REFUSED, good=True)
    except (DBAPIError, RepositoryError):
        return Fact(text="refused by the server", good=False)
    return Fact(text="stored", good=False)


PROOF = Proof(
    promise=8,
    title="An object has only values that its model allows",
    deed=(
        "A SQLModel class says that a title has a character at least, and that urgency is 1 or "
        "more. Tasks are made with wrong values, and with a name that is no field. A stored one "
        "is given an empty title; an error is caught; then its urgency is changed and committed."
    ),
    plain=Side(
        packages=["sqlmodel", *ENGINES],
        run=partial(compare, stacks.plain, Task, by_session),
    ),
    peers=[
        Side(
            way="validate_assignment",
            packages=["sqlmodel", *ENGINES],
            run=partial(compare, stacks.plain, AssignedTask, by_session),
        ),
        Side(
            way="a service",
            packages=["advanced-alchemy", "sqlmodel", *ENGINES],
            run=partial(compare, stacks.advanced_alchemy, Task, by_service),
        ),
    ],
    holdfast=Side(
        way="ValidatedModel",
        packages=["holdfast", "sqlmodel", *ENGINES],
        run=partial(compare, stacks.holdfast, ValidatedTask, by_session),
    ),
)

if __name__ == "__main__":
    sys.exit(main([PROOF]))
