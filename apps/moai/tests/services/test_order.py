"""Numbers of rounds and the order of messages, with many who write at once."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from moai.core.database import get_database, get_session
from moai.core.models import Message, Round
from moai.errors import InvalidInputError, NotFoundError
from moai.services.arrival import TICK
from moai.services.discussions import load_discussion, open_discussion
from moai.services.messages import add_message, list_messages
from moai.services.rounds import add_round, list_rounds

WRITERS = 8


async def test_rounds_are_numbered_from_one(session, project):
    """In each discussion by itself."""
    for question in ("One?", "Two?"):
        opened = await open_discussion(session, project.id, question)
        begun = [await add_round(session, opened.id, kind="sequential") for _ in range(3)]
        assert [each.number for each in begun] == [1, 2, 3]


async def test_rounds_that_begin_at_once(discussion):
    """Each gets a number of its own, and none is left out."""
    begun = await asyncio.gather(
        *(get_database().run(add_round, discussion.id) for _ in range(WRITERS))
    )

    assert sorted(each.number for each in begun) == list(range(1, WRITERS + 1))
    async with get_database().read() as session:
        listed = (await list_rounds(session, discussion.id)).items
    assert [each.number for each in listed] == list(range(1, WRITERS + 1))


async def test_a_round_that_fails_leaves_no_gap(discussion):
    """Its number is the next one's."""

    async def begin_and_fail(session):
        await add_round(session, discussion.id)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await get_database().run(begin_and_fail)

    assert (await get_database().run(add_round, discussion.id)).number == 1


async def test_messages_that_arrive_at_once(discussion):
    """One that was acknowledged before another was sent stands before it, whoever wrote them."""
    await get_database().run(add_round, discussion.id)
    moments = itertools.count()
    sent, acknowledged = {}, {}

    async def talk(writer):
        for number in range(5):
            content = f"{writer}-{number}"
            sent[content] = next(moments)
            await get_database().run(add_message, discussion.id, f"model {writer}", content)
            acknowledged[content] = next(moments)

    await asyncio.gather(*map(talk, range(WRITERS)))

    async with get_database().read() as session:
        stored = [each.content for each in (await list_messages(session, discussion.id)).items]
        [asked] = (await load_discussion(session, discussion.id)).rounds
    assert sorted(stored) == sorted(sent)
    assert [each.content for each in asked.messages] == stored
    for place, content in enumerate(stored):
        assert not [late for late in stored[:place] if acknowledged[content] < sent[late]]
    assert len({each.created_at for each in asked.messages}) == len(stored)


async def test_a_clock_that_was_set_back(discussion):
    """What comes later has a later time all the same, by a microsecond."""
    ahead = datetime.now(UTC) + timedelta(hours=1)
    async with get_session() as session:
        await add_round(session, discussion.id)
        await add_message(session, discussion.id, "claude", "0")
        await session.execute(update(Message).values(created_at=ahead))
        await session.execute(update(Round).values(created_at=ahead))

    async with get_session() as session:
        late = [await add_message(session, discussion.id, "gpt", f"{n}") for n in (1, 2, 3)]
        begun = await add_round(session, discussion.id)

    assert [each.created_at - ahead for each in late] == [TICK, 2 * TICK, 3 * TICK]
    assert begun.created_at == ahead + TICK


async def test_a_message_joins_the_newest_round_or_the_one_that_is_named(session, discussion):
    """Also an answer that comes late, to a round before."""
    for _ in range(2):
        await add_round(session, discussion.id)
    newest = await add_message(session, discussion.id, "claude", "Two.")
    late = await add_message(session, discussion.id, "gpt", "One.", number=1, is_direct=True)

    assert [each.id for each in (await list_messages(session, discussion.id)).items] == [newest.id]
    [first] = (await list_messages(session, discussion.id, number=1)).items
    assert (first.id, first.is_direct, newest.is_direct) == (late.id, True, False)


async def test_a_round_that_is_not_there(session, discussion):
    """The error says how to begin one."""
    for number, says in ((None, "no round yet"), (7, "no round 7")):
        with pytest.raises(NotFoundError, match=f"{says}; begin one: moai rounds add"):
            await add_message(session, discussion.id, "claude", "Yes.", number=number)
        with pytest.raises(NotFoundError, match=says):
            await list_messages(session, discussion.id, number=number)


async def test_all_that_is_wrong_with_a_message(session, discussion):
    """Who and what."""
    await add_round(session, discussion.id)
    with pytest.raises(InvalidInputError, match=r"model: .*; content: "):
        await add_message(session, discussion.id, "", "\n")
    with pytest.raises(InvalidInputError, match=r"kind: it is 'slow', not parallel or sequential"):
        await add_round(session, discussion.id, kind="slow")


async def test_messages_are_listed_by_pages(session, discussion):
    """Each once, as they arrived, while others arrive."""
    await add_round(session, discussion.id)
    for number in range(5):
        await add_message(session, discussion.id, "claude", f"{number}")
    found, after = [], None
    while True:
        page = await list_messages(session, discussion.id, after=after, limit=2)
        found += [each.content for each in page.items]
        if (after := page.next) is None:
            break
        if len(found) == 2:
            await add_message(session, discussion.id, "gpt", "late")

    assert found == ["0", "1", "2", "3", "4", "late"]
