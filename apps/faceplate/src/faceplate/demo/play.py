"""Users chat by many tasks at once while connections are cut, and everything is read back."""

import asyncio
import random
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from sqlalchemy import Select, delete, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from faceplate.demo.ledger import Ledger
from faceplate.demo.trouble import Trouble
from faceplate.models import Conversation, Message, User
from faceplate.services.conversations import create_conversation
from faceplate.services.messages import add_message
from faceplate.services.users import ensure_user
from holdfast.database import Database, DatabasePolicy
from holdfast.errors import CommitUnknownError, UnavailableError
from holdfast.events import Event, Events
from holdfast.pool import PoolPolicy
from holdfast.retry import Retried

USERS = 200
CONVERSATIONS = 2_000
TASKS = 50
CONNECTIONS = 20
WINDOWS = 2  # in which every fourth conversation is open at once
SAID = 2  # messages in each window
PAUSE = 0.5  # seconds between two connections that are cut, on average
SEED = 5
CALLS = [{"id": "call_1", "type": "function", "function": {"name": "scan", "arguments": "{}"}}]

T = TypeVar("T")


class Progress(Protocol):
    """Told how far a step has come."""

    def begin(self, step: str, total: int) -> None:
        """Begin a step of so many parts."""

    def advance(self) -> None:
        """One part more is done."""


@dataclass(slots=True, kw_only=True)
class Played:
    """What was done, and whether each check holds."""

    users: int
    conversations: int
    messages: int
    messages_per_second: float
    cut: int
    run_again: int
    connections: int
    checks: dict[str, bool] = field(default_factory=dict)


class Demo:
    """One run, with users of its own.

    Args:
        url: the database, as the application.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._run = uuid.uuid4().hex[:12]
        self._name = f"faceplate demo {self._run}"
        self._ledger = Ledger()
        self._conversations: list[uuid.UUID] = []
        self._run_again = 0

    async def play(self, progress: Progress) -> Played:
        """Do everything, then read everything back."""
        policy = DatabasePolicy(
            application_name=self._name,
            pool=PoolPolicy(min_size=min(5, CONNECTIONS), max_size=CONNECTIONS),
        )
        async with Database(self._url, policy=policy, events=Events(self._count)) as db:
            progress.begin("users", USERS)
            await _at_once(range(USERS), lambda number: self._welcome(db, number), progress)
            windows = [
                each
                for number, each in enumerate(self._conversations)
                for _ in range(1 if number % 4 else WINDOWS)
            ]
            progress.begin("chats", len(windows))
            began = time.perf_counter()
            trouble = await self._chat(db, windows, progress)
            speed = self._ledger.total / (time.perf_counter() - began)
        return await self._look(trouble, speed)

    async def clean_up(self) -> None:
        """Remove the users of this run and all that is theirs."""
        async with Database(self._url) as db, db.begin() as session:
            await session.execute(delete(User).where(User.subject_id.startswith(self._run)))

    def _count(self, event: Event) -> None:
        self._run_again += isinstance(event, Retried)

    async def _welcome(self, db: Database, number: int) -> None:
        # Shared out as evenly as they go.
        first, last = (CONVERSATIONS * each // USERS for each in (number, number + 1))
        self._conversations += await db.run(self._register, number, last - first)

    async def _register(self, session: AsyncSession, number: int, count: int) -> list[uuid.UUID]:
        name = f"{self._run}-{number}"
        user = await ensure_user(session, email=f"{name}@example.com", subject_id=name)
        made = [await create_conversation(session, user.id) for _ in range(count)]
        return [conversation.id for conversation in made]

    async def _chat(self, db: Database, windows: list[uuid.UUID], progress: Progress) -> Trouble:
        policy = replace(DatabasePolicy(), pool=PoolPolicy(max_size=1))
        async with Database(self._url, policy=policy) as other:
            rng = random.Random(SEED)  # noqa: S311  -- when to cut a connection is no secret
            trouble = Trouble(other, self._name, pause=PAUSE, rng=rng)
            making = asyncio.create_task(trouble.make())
            try:
                await _at_once(windows, lambda each: self._talk(db, each), progress)
            finally:
                making.cancel()
                with suppress(asyncio.CancelledError):
                    await making
        return trouble

    async def _talk(self, db: Database, conversation: uuid.UUID) -> None:
        """Say something, and let the model answer by calling a tool, until both are stored."""
        for number in range(SAID):
            role = "user" if number % 2 == 0 else "assistant"
            while not await self._say(db, conversation, role):
                pass

    async def _say(self, db: Database, conversation: uuid.UUID, role: str) -> bool:
        message = self._ledger.send(f"{self._run} {uuid.uuid4().hex}")
        calls = CALLS if role == "assistant" else None
        try:
            await db.run(add_message, conversation, role, content=message.content, tool_calls=calls)
        except CommitUnknownError:
            self._ledger.unknown.add(message.content)
            return False
        except (DBAPIError, UnavailableError):  # lost twice: nothing of it is stored
            self._ledger.failed.add(message.content)
            return False
        self._ledger.acknowledge(conversation, message)
        return True

    async def _look(self, trouble: Trouble, speed: float) -> Played:
        async with Database(self._url) as db:
            stored = await self._stored(db)
            moved = await self._moved(db)
        return Played(
            users=USERS,
            conversations=len(self._conversations),
            messages=self._ledger.total,
            messages_per_second=speed,
            cut=trouble.cut,
            run_again=self._run_again,
            connections=trouble.most,
            checks=self._ledger.check(stored)
            | {
                f"updated_at of {moved:,} conversations is the time of the newest message": (
                    moved == len(self._conversations)
                ),
                f"there were never more than {CONNECTIONS} connections": (
                    0 < trouble.most <= CONNECTIONS
                ),
                # Without this one, the others would say nothing.
                f"{trouble.cut:,} back ends were terminated meanwhile": trouble.cut > 0,
            },
        )

    async def _stored(self, db: Database) -> dict[uuid.UUID, list[str]]:
        statement = (
            select(Message.conversation_id, Message.content)
            .where(Message.conversation_id.in_(self._mine()))
            .order_by(Message.conversation_id, Message.created_at, Message.id)
        )
        stored: dict[uuid.UUID, list[str]] = defaultdict(list)
        async with db.read() as session:
            for conversation, content in await session.execute(statement):
                stored[conversation].append(content or "")
        return stored

    async def _moved(self, db: Database) -> int:
        newest = (
            select(func.max(Message.created_at))
            .where(Message.conversation_id == Conversation.id)
            .scalar_subquery()
        )
        statement = select(func.count()).where(
            Conversation.id.in_(self._mine()), Conversation.updated_at == newest
        )
        async with db.read() as session:
            return await session.scalar(statement) or 0

    def _mine(self) -> Select[uuid.UUID]:
        return select(Conversation.id).join(User).where(User.subject_id.startswith(self._run))


async def _at_once(
    items: Iterable[T], work: Callable[[T], Awaitable[None]], progress: Progress
) -> None:
    """Call `work` with each item, in so many tasks that share them."""
    waiting = iter(list(items))

    async def take() -> None:
        for item in waiting:
            await work(item)
            progress.advance()

    async with asyncio.TaskGroup() as group:
        for _ in range(TASKS):
            group.create_task(take())
