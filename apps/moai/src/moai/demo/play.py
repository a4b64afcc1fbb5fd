"""Discussions of several models, all at once, and whether everything is as it was written."""

import asyncio
import itertools
from dataclasses import dataclass

from moai.core.database import close_db, create_tables, get_database, init_db
from moai.core.models import Discussion, DiscussionStatus, RoundKind
from moai.demo import script
from moai.errors import ConsensusExistsError, EndedError
from moai.markdown import write_markdown
from moai.services.consensus import write_consensus
from moai.services.discussions import complete_discussion, load_discussion, open_discussion
from moai.services.messages import add_message, list_messages
from moai.services.projects import create_project
from moai.services.rounds import add_round

DISCUSSIONS = 12


@dataclass(slots=True, kw_only=True)
class Sent:
    """A message: the moments at which it was sent and acknowledged, in one order for all."""

    content: str
    sent: int
    acknowledged: int


@dataclass(slots=True, kw_only=True)
class Played:
    """What was said, one discussion as Markdown, and whether each check holds.

    Attributes:
        shown: the key of the discussion that is written as Markdown.
    """

    rounds: int
    messages: int
    shown: str
    markdown: str
    checks: dict[str, bool]


class Demo:
    """One run on a database that it has for itself.

    Args:
        url: the database.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._moments = itertools.count()
        self._sent: dict[str, list[Sent]] = {}

    async def play(self) -> Played:
        """Discuss, then open the database anew and read everything back."""
        init_db(self._url)
        try:
            await create_tables()
            project = await get_database().run(create_project, "Caching", script.MODELS)
            ids = await asyncio.gather(*(self._discuss(project.id) for _ in range(DISCUSSIONS)))
            written = [write_markdown(await self._load(each)) for each in ids]
            refused = await _is_refused(ids[0])
            await close_db()
            init_db(self._url)
            return await self._look(ids, written, refused=refused)
        finally:
            await close_db()

    async def _discuss(self, project: str) -> str:
        """Let the models answer at once, then in turn, then one alone; give the discussion."""
        db = get_database()
        opened = await db.run(open_discussion, project, script.QUESTION, kind="consensus")
        self._sent[opened.id] = []
        await db.run(add_round, opened.id)
        await asyncio.gather(
            *(self._say(opened.id, model, script.OPINIONS[model]) for model in script.MODELS)
        )
        await db.run(add_round, opened.id, kind=RoundKind.SEQUENTIAL)
        for model in script.MODELS:
            heard = [said.model for said in (await db.run(list_messages, opened.id)).items]
            await self._say(opened.id, model, script.reply(model, heard))
        await db.run(add_round, opened.id)
        await self._say(opened.id, script.DIRECT, script.concede(script.DIRECT), is_direct=True)
        await _conclude(opened.id)
        await db.run(complete_discussion, opened.id)
        return opened.id

    async def _say(
        self, discussion: str, model: str, content: str, *, is_direct: bool = False
    ) -> None:
        sent = next(self._moments)
        await get_database().run(add_message, discussion, model, content, is_direct=is_direct)
        said = Sent(content=content, sent=sent, acknowledged=next(self._moments))
        self._sent[discussion].append(said)

    async def _load(self, discussion: str) -> Discussion:
        async with get_database().read() as session:
            return await load_discussion(session, discussion)

    async def _look(self, ids: list[str], written: list[str], *, refused: bool) -> Played:
        found = [await self._load(each) for each in ids]
        stored = {
            each.id: [said.content for asked in each.rounds for said in asked.messages]
            for each in found
        }
        total = sum(map(len, self._sent.values()))
        return Played(
            rounds=sum(len(each.rounds) for each in found),
            messages=sum(map(len, stored.values())),
            shown=ids[0],
            markdown=write_markdown(found[0]),
            checks={
                f"each of {total} acknowledged messages is there, once": all(
                    sorted(stored[key]) == sorted(said.content for said in sent)
                    for key, sent in self._sent.items()
                ),
                "they are in the order in which they arrived": all(
                    in_order(sent, stored[key]) for key, sent in self._sent.items()
                ),
                "rounds are 1, 2 and 3 in each discussion": all(
                    [asked.number for asked in each.rounds] == [1, 2, 3] for each in found
                ),
                "who spoke in turn had heard all who spoke before": all(
                    _had_heard(each) for each in found
                ),
                "all are completed, with a consensus": all(
                    each.status == DiscussionStatus.COMPLETED
                    and each.consensus is not None
                    and each.completed_at is not None
                    for each in found
                ),
                "a round after the end and a second consensus are refused": refused,
                "opened again, all of it reads as before": (
                    [write_markdown(each) for each in found] == written
                ),
            },
        )


def in_order(sent: list[Sent], stored: list[str]) -> bool:
    """Tell whether of two messages the one comes first that was acknowledged before the other."""
    by_content = {said.content: said for said in sent}
    latest = -1  # the moment at which the youngest message so far was sent
    for said in filter(None, map(by_content.get, stored)):
        if said.acknowledged < latest:
            return False
        latest = max(latest, said.sent)
    return True


def _had_heard(discussion: Discussion) -> bool:
    in_turn = [said for each in discussion.rounds[1:2] for said in each.messages]
    return len(in_turn) == len(script.MODELS) and all(
        said.content == script.reply(said.model, [each.model for each in in_turn[:place]])
        for place, said in enumerate(in_turn)
    )


async def _is_refused(discussion: str) -> bool:
    """Tell whether what has ended takes no round, and no second consensus."""
    refusals = await asyncio.gather(
        get_database().run(add_round, discussion),
        _conclude(discussion),
        return_exceptions=True,
    )
    return [type(each) for each in refusals] == [EndedError, ConsensusExistsError]


async def _conclude(discussion: str) -> None:
    await get_database().run(
        write_consensus,
        discussion,
        summary=script.SUMMARY,
        generated_by=script.MODELS[0],
        agreements=script.AGREEMENTS,
        disagreements=script.DISAGREEMENTS,
    )
