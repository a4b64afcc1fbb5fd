"""Rows `json.typed*`: what it costs that a document has a type, and that a change in it is found.

The limit is a plain JSON column of the same `Database`. Ours is the schema that costs most, a
pydantic model; structs and plain dictionaries stand beside it.
"""

import asyncio
import gc
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import pydantic
from benchmarks.measure import GROWTH, Contenders, RatioGoal, Row, Run, Sample
from sqlalchemy import MetaData, delete, insert, select
from sqlalchemy.orm import Mapped, mapped_column

from holdfast.database import Database
from holdfast.models import Base as HoldfastBase
from holdfast.models import json_type, typed_json
from holdfast.services import PostgresServer

TASKS = 10  # each with documents of its own
EACH, EACH_ALONE = 10, 50  # units of a task in one run; of the only one on SQLite
REPEATS = 15  # such runs are short, and so the more
CARDS = 52  # about 10 kB
STORED = max(GROWTH)  # documents of each task
Document = dict[str, Any]


class Card(msgspec.Struct):
    """A part of the document."""

    name: str
    cost: int
    weight: float
    tags: list[str]
    text: str
    rare: bool
    note: str | None


class Deck(msgspec.Struct):
    """The document as a struct."""

    title: str
    cards: list[Card]


class CardModel(pydantic.BaseModel):
    """A part of the document."""

    name: str
    cost: int
    weight: float
    tags: list[str]
    text: str
    rare: bool
    note: str | None


class DeckModel(pydantic.BaseModel):
    """The document as a pydantic model."""

    title: str
    cards: list[CardModel]


class Base(HoldfastBase):
    """A row for each document."""

    __abstract__ = True
    metadata = MetaData()

    task: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)


class Plain(Base):
    """As it comes."""

    __tablename__ = "plain"
    deck: Mapped[Document] = mapped_column(json_type())


class OfStruct(Base):
    """A struct."""

    __tablename__ = "of_struct"
    deck: Mapped[Deck] = mapped_column(typed_json(Deck))


class OfDict(Base):
    """A dictionary, looked at for changes."""

    __tablename__ = "of_dict"
    deck: Mapped[Document] = mapped_column(typed_json(Document))


class OfModel(Base):
    """A pydantic model."""

    __tablename__ = "of_model"
    deck: Mapped[DeckModel] = mapped_column(typed_json(DeckModel))


DECK: Document = {
    "title": "first",
    "cards": [
        {
            "name": f"card {number}",
            "cost": number % 7,
            "weight": number * 1.25,
            "tags": ["beast", "swift"],
            "text": "When it enters, draw a card and lose a life. " * (1 + number % 2),
            "rare": number % 5 == 0,
            "note": None,
        }
        for number in range(CARDS)
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One way to have documents.

    Attributes:
        model: its table.
        deck: a document.
        retitle: changes the one of a row: in place, where that is found.
    """

    model: type[Any]
    deck: object
    retitle: Callable[[Any, str], None]


def assign(row: Any, title: str) -> None:
    """Give the row a new document."""
    row.deck = row.deck | {"title": title}


def put(row: Any, title: str) -> None:
    """Change the dictionary of the row."""
    row.deck["title"] = title


def write(row: Any, title: str) -> None:
    """Change the object of the row."""
    row.deck.title = title


KINDS: Mapping[str, Kind] = {
    "json_type, a new value assigned": Kind(model=Plain, deck=DECK, retitle=assign),
    "typed_json of structs": Kind(model=OfStruct, deck=msgspec.convert(DECK, Deck), retitle=write),
    "typed_json of dictionaries": Kind(model=OfDict, deck=DECK, retitle=put),
    "typed_json of pydantic models": Kind(
        model=OfModel, deck=DeckModel.model_validate(DECK), retitle=write
    ),
}

numbers = itertools.count(STORED)  # of those that are inserted
titles = map(str, itertools.count())


async def read(db: Database, kind: Kind, task: int, work: int) -> None:
    """Read them."""
    async with db.read() as session:
        rows = (await session.scalars(some(kind, task, work))).all()
        assert len(rows) == work


async def change(db: Database, kind: Kind, task: int, work: int) -> None:
    """Read each, change it and commit."""
    async with db.begin() as session:
        for row in await session.scalars(some(kind, task, work)):
            kind.retitle(row, next(titles))


async def add(db: Database, kind: Kind, task: int, work: int) -> None:
    """Insert new ones and commit."""
    async with db.begin() as session:
        for _ in range(work):
            session.add(kind.model(task=task, number=next(numbers), deck=kind.deck))


def some(kind: Kind, task: int, work: int) -> Any:
    """Select so many of a task's documents."""
    return select(kind.model).where(kind.model.task == task, kind.model.number < work)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What a task does with so many documents, in one transaction.

    Attributes:
        what: in words.
        do: for a task, by its number, with so many documents.
        left: how many titles of a task are others after so many units.
    """

    what: str
    do: Callable[[Database, Kind, int, int], Awaitable[None]]
    left: Callable[[int, int], int]


CHANGE = Unit(what="read, changed in place and committed", do=change, left=lambda _, work: work)
READ = Unit(what="read", do=read, left=lambda _, __: 0)
ADD = Unit(what="inserted and committed", do=add, left=lambda units, work: units * work)


def contender(db: Database, kind: Kind, unit: Unit, tasks: int, each: int) -> Run:
    """Have each task do so many units, one after the other; more work is more documents in each."""

    async def task(number: int, work: int) -> None:
        for _ in range(each):
            await unit.do(db, kind, number, work)

    async def run(work: int) -> Sample:
        before = await look(db, kind)
        gc.collect()  # nobody's waste is the next one's work
        began = time.perf_counter()
        await asyncio.gather(*(task(number, work) for number in range(tasks)))
        seconds = (time.perf_counter() - began) / (tasks * each)
        left = await look(db, kind) - before
        assert len(left) == tasks * unit.left(each, work)
        async with db.begin() as session:
            await session.execute(delete(kind.model).where(kind.model.number >= STORED))
        return Sample(seconds=seconds)

    return run


async def look(db: Database, kind: Kind) -> set[tuple[int, int, str]]:
    """Give the titles that are stored."""
    model = kind.model
    async with db.read() as session:
        rows = await session.execute(
            select(model.task, model.number, model.deck["title"].as_string())
        )
        return {(task, number, title) for task, number, title in rows}


@asynccontextmanager
async def postgresql() -> AsyncIterator[str]:
    """Start a server."""
    async with PostgresServer() as server:
        yield server.url("owner")


@asynccontextmanager
async def sqlite() -> AsyncIterator[str]:
    """Name a file."""
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        yield f"sqlite:///{folder}/documents.db"


@asynccontextmanager
async def contenders(
    where: Callable[[], AbstractAsyncContextManager[str]],
    unit: Unit,
    tasks: int,
    each: int,
    quick: bool,  # noqa: FBT001  -- as every row is told
) -> AsyncIterator[Contenders]:
    """Store the documents of every task in every table."""
    stored = GROWTH[0] if quick else STORED
    async with where() as url, Database(url) as db:
        async with db.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        for kind in KINDS.values():
            async with db.begin() as session:
                await session.execute(
                    insert(kind.model),
                    [
                        {"task": task, "number": number, "deck": kind.deck}
                        for task in range(tasks)
                        for number in range(stored)
                    ],
                )
        runs = [
            (title, contender(db, kind, unit, tasks, 1 if quick else each))
            for title, kind in KINDS.items()
        ]
        yield Contenders(limit=runs[0], ours=runs[-1], beside=runs[1:-1])


def row(name: str, unit: Unit, *, alone: bool = False) -> Row:
    """Give the row of a unit on PostgreSQL, or on SQLite, which one task has for itself."""
    where, tasks, each = (sqlite, 1, EACH_ALONE) if alone else (postgresql, TASKS, EACH)
    on = "SQLite" if alone else f"PostgreSQL, {TASKS} tasks"
    return Row(
        name=name,
        what=f"a document of 10 kB {unit.what}: {on}",
        goals=[RatioGoal(at_most=2.0)],
        contenders=partial(contenders, where, unit, tasks, each),
        repeats=REPEATS,
    )


ROWS = (
    row("json.typed", CHANGE),
    row("json.typed.read", READ),
    row("json.typed.insert", ADD),
    row("json.typed.sqlite", CHANGE, alone=True),
    row("json.typed.sqlite.read", READ, alone=True),
    row("json.typed.sqlite.insert", ADD, alone=True),
)
