"""Import discussions from JSON Lines: all of a file or nothing, whatever its size."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.models import clock_timestamp, uuid7
from moai.core.models import (
    Consensus,
    Discussion,
    DiscussionStatus,
    Message,
    Project,
    Record,
    Round,
)
from moai.errors import InvalidInputError
from moai.services.arrival import TICK
from moai.services.discussions import hold_active
from moai.services.inputs import (
    ConsensusInput,
    DiscussionInput,
    MessageInput,
    ProjectInput,
    RoundInput,
)
from moai.services.lines import Input, Line, LineError, read_lines
from moai.services.projects import find_project

# What is held in memory until it is written.
MOST_ROWS = 1_000
MOST_BYTES = 8 * 1024 * 1024

_ORDER: tuple[type[Record], ...] = (Project, Discussion, Round, Message, Consensus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """How many rows were written, and the discussion of the last ones."""

    projects: int
    discussions: int
    rounds: int
    messages: int
    consensus: int
    discussion_id: str | None


async def import_lines(
    session: AsyncSession,
    source: BinaryIO,
    *,
    project: str | None = None,
    discussion: str | None = None,
) -> Imported:
    """Import what `moai.services.lines` describes.

    Args:
        session: its owner commits, or rolls back all of it.
        source: the lines, read from where they begin.
        project: an id or a name, for what comes before a line of type project.
        discussion: an id, for what comes before a line of type discussion; it goes on from its
            newest round.

    Raises:
        LineError: a line cannot be imported; it says which, and why.
        NotFoundError: there is no such project or discussion.
        EndedError: the discussion is completed or abandoned.
        InvalidInputError: both are named, or one wrongly.
    """
    source.seek(0)  # it may have been read before: to look at it, or by work that is done again
    place = await _find_place(session, project, discussion)
    work = _Import(session, place, await _begin(session, place))
    for line in read_lines(source):
        await work.take(line)
    return await work.finish()


@dataclass(slots=True, kw_only=True)
class _Place:
    """Where the next line belongs."""

    project_id: str | None = None
    discussion_id: str | None = None
    status: DiscussionStatus = DiscussionStatus.ACTIVE
    has_consensus: bool = False
    round_id: str | None = None
    number: int = 0


class _Import:
    """Turns lines into rows and writes these in batches, parents first."""

    def __init__(self, session: AsyncSession, place: _Place, time: datetime) -> None:
        self._session = session
        self._place = place
        self._time = time
        self._rows: dict[type[Record], list[Mapping[str, object]]] = {each: [] for each in _ORDER}
        self._bytes = 0
        self._counts = dict.fromkeys(_ORDER, 0)

    async def take(self, line: Line) -> None:
        """Add what a line asks for."""
        self._add(line)
        self._bytes += line.size
        if self._bytes >= MOST_BYTES or sum(map(len, self._rows.values())) >= MOST_ROWS:
            await self._write()

    async def finish(self) -> Imported:
        """Write the rest, and tell what there was."""
        await self._write()
        counts = {model.__tablename__: count for model, count in self._counts.items()}
        return Imported(**counts, discussion_id=self._place.discussion_id)

    def _add(self, line: Line) -> None:
        match line.given:
            case ProjectInput() as given:
                self._place = _Place(project_id=self._row(Project, given))
            case DiscussionInput() as given:
                self._open(line, given)
            case RoundInput() as given:
                self._begin_round(line, given)
            case MessageInput() as given:
                round_id = self._place.round_id or _refuse(line, "round")
                self._row(Message, given, round_id=round_id)
            case ConsensusInput() as given:
                self._conclude(line, given)

    def _open(self, line: Line, given: DiscussionInput) -> None:
        project_id = self._place.project_id or _refuse(line, "project")
        ended = self._time if given.status == DiscussionStatus.COMPLETED else None
        discussion_id = self._row(Discussion, given, project_id=project_id, completed_at=ended)
        self._place = _Place(
            project_id=project_id, discussion_id=discussion_id, status=given.status
        )

    def _begin_round(self, line: Line, given: RoundInput) -> None:
        place = self._place
        discussion_id = place.discussion_id or _refuse(line, "discussion")
        place.number += 1
        place.round_id = self._row(Round, given, discussion_id=discussion_id, number=place.number)

    def _conclude(self, line: Line, given: ConsensusInput) -> None:
        place = self._place
        discussion_id = place.discussion_id or _refuse(line, "discussion")
        if place.has_consensus:
            raise LineError(line.number, "the discussion has a consensus already")
        if place.status == DiscussionStatus.ABANDONED:
            raise LineError(line.number, "the discussion is abandoned, and came to nothing")
        self._row(Consensus, given, discussion_id=discussion_id)
        place.has_consensus = True

    def _row(self, model: type[Record], given: Input, **links: object) -> str:
        row_id, self._time = str(uuid7()), self._time + TICK
        row = {"id": row_id, "created_at": self._time, **links, **given.model_dump()}
        self._rows[model].append(row)
        self._counts[model] += 1
        return row_id

    async def _write(self) -> None:
        for model, rows in self._rows.items():
            if rows:
                await self._session.execute(insert(model), rows)
                rows.clear()
        self._bytes = 0


async def _find_place(session: AsyncSession, project: str | None, discussion: str | None) -> _Place:
    if project is not None and discussion is not None:
        raise InvalidInputError("name a project or a discussion, not both: it has its project")
    if project is not None:
        return _Place(project_id=(await find_project(session, project)).id)
    if discussion is None:
        return _Place()
    found = await hold_active(session, discussion)
    newest = select(Round.id, Round.number).where(Round.discussion_id == found.id)
    newest = newest.order_by(Round.number.desc()).limit(1)
    round_id, number = (await session.execute(newest)).one_or_none() or (None, 0)
    consensus = select(Consensus.id).where(Consensus.discussion_id == found.id)
    return _Place(
        project_id=found.project_id,
        discussion_id=found.id,
        has_consensus=await session.scalar(consensus) is not None,
        round_id=round_id,
        number=number,
    )


async def _begin(session: AsyncSession, place: _Place) -> datetime:
    """Give a time after which everything is later than what was written before."""
    said = select(func.max(Message.created_at)).where(Message.round_id == place.round_id)
    begun = select(Round.created_at).where(Round.id == place.round_id)
    asked = select(clock_timestamp(), said.scalar_subquery(), begun.scalar_subquery())
    return max(filter(None, (await session.execute(asked)).one()))


def _refuse(line: Line, parent: str) -> str:
    raise LineError(
        line.number,
        f"there is no {parent} that it belongs to; put a line of type {parent} before it",
    )
