"""Discussions: opened, ended by rules, read whole, and what may be added when."""

import asyncio

import pytest

from holdfast.testing import count_statements
from moai.core.database import get_database, get_session
from moai.core.models import Discussion, DiscussionKind, DiscussionStatus
from moai.errors import ConsensusExistsError, EndedError, InvalidInputError, NotFoundError
from moai.services.consensus import write_consensus
from moai.services.discussions import (
    abandon_discussion,
    complete_discussion,
    delete_discussion,
    get_discussion,
    list_discussions,
    load_discussion,
    open_discussion,
    reopen_discussion,
)
from moai.services.messages import add_message
from moai.services.projects import create_project
from moai.services.rounds import add_round

NOBODY = "019a0000-0000-7000-8000-000000000001"
CONSENSUS = {"summary": "Cache them.", "generated_by": "claude"}

ADDING = [
    pytest.param(add_round, {}, id="round"),
    pytest.param(add_message, {"model": "claude", "content": "Yes."}, id="message"),
]
ENDING = [
    (complete_discussion, DiscussionStatus.COMPLETED),
    (abandon_discussion, DiscussionStatus.ABANDONED),
]
BY_ID = [
    *((work, {}) for work in (get_discussion, load_discussion, complete_discussion)),
    *((work, {}) for work in (abandon_discussion, reopen_discussion, delete_discussion)),
    (add_round, {}),
    (add_message, {"model": "claude", "content": "Yes."}),
    (write_consensus, CONSENSUS),
]


async def test_a_discussion_is_opened(session, project):
    """It is active, and of the kind that was asked for."""
    opened = await open_discussion(session, "Caching", "Should\nanswers be cached?")
    wanted = await open_discussion(session, project.id, "Really?", kind="consensus")

    assert (opened.project_id, opened.question) == (project.id, "Should\nanswers be cached?")
    assert (opened.kind, opened.status) == (DiscussionKind.OPEN, DiscussionStatus.ACTIVE)
    assert wanted.kind == DiscussionKind.CONSENSUS


@pytest.mark.parametrize("question", ["", " \n\t", "\u200b", "zero \0", "half \ud83d"])
async def test_a_question_that_is_none(session, project, question):
    """Nothing is written."""
    with pytest.raises(InvalidInputError, match=r"^question: it "):
        await open_discussion(session, project.id, question)


async def test_all_that_is_wrong_with_a_discussion(session, project):
    """Question and kind are named together."""
    with pytest.raises(InvalidInputError, match=r"question: .*kind: it is 'loud', not open"):
        await open_discussion(session, project.id, "", kind="loud")


@pytest.mark.parametrize(("work", "values"), BY_ID, ids=lambda each: getattr(each, "__name__", ""))
async def test_wrong_ids(session, project, work, values):
    """What is no id, and an id of nothing, are told apart."""
    with pytest.raises(InvalidInputError, match="discussion is 'seven', which is no id"):
        await work(session, "seven", **values)
    with pytest.raises(NotFoundError, match=f"there is no discussion {NOBODY}"):
        await work(session, NOBODY, **values)


@pytest.mark.parametrize(("end", "status"), ENDING)
async def test_a_discussion_ends_and_goes_on(session, discussion, end, status):
    """`completed_at` is the time while it is completed, and none otherwise."""
    ended = await end(session, discussion.id)
    assert ended.status == status
    is_completed = status == DiscussionStatus.COMPLETED
    assert (ended.completed_at is not None) == is_completed
    if is_completed:
        assert ended.completed_at >= discussion.created_at

    again = await reopen_discussion(session, discussion.id)

    assert (again.status, again.completed_at) == (DiscussionStatus.ACTIVE, None)
    assert (await reopen_discussion(session, discussion.id)).status == DiscussionStatus.ACTIVE


@pytest.mark.parametrize(("end", "status"), ENDING)
async def test_what_has_ended_does_not_end_again(session, discussion, end, status):
    """Neither in the same way nor in the other; the time stays."""
    ended = (await end(session, discussion.id)).completed_at
    for other, _ in ENDING:
        with pytest.raises(EndedError, match=f"is {status}; to go on with it: moai discussions re"):
            await other(session, discussion.id)

    assert (await get_discussion(session, discussion.id)).completed_at == ended


@pytest.mark.parametrize("end", [complete_discussion, abandon_discussion])
@pytest.mark.parametrize(("add", "values"), ADDING)
async def test_nothing_is_added_to_what_has_ended(session, discussion, end, add, values):
    """And again when it goes on."""
    await add_round(session, discussion.id)
    status = (await end(session, discussion.id)).status
    with pytest.raises(EndedError, match=f"is {status}"):
        await add(session, discussion.id, **values)

    await reopen_discussion(session, discussion.id)
    await add(session, discussion.id, **values)


async def test_a_consensus_is_for_what_was_not_abandoned(session, discussion):
    """It is written when the discussion is completed, too, and not when it came to nothing."""
    await abandon_discussion(session, discussion.id)
    with pytest.raises(EndedError, match="is abandoned, and came to nothing"):
        await write_consensus(session, discussion.id, **CONSENSUS)
    await reopen_discussion(session, discussion.id)
    await complete_discussion(session, discussion.id)

    written = await write_consensus(session, discussion.id, **CONSENSUS)

    assert (written.discussion_id, written.agreements) == (discussion.id, [])


async def test_a_consensus_is_written_once(discussion):
    """Of those who do it at once, one succeeds, and the others are told who was first."""

    async def write(number):
        author = {**CONSENSUS, "generated_by": f"model {number}"}
        return await get_database().run(write_consensus, discussion.id, **author)

    done = await asyncio.gather(*map(write, range(6)), return_exceptions=True)

    [first] = [each for each in done if not isinstance(each, Exception)]
    said = f"discussion {discussion.id} has a consensus already, by {first.generated_by};"
    others = [each for each in done if each is not first]
    assert {type(each) for each in others} == {ConsensusExistsError}
    assert all(str(each).startswith(said) for each in others)


async def test_all_that_is_wrong_with_a_consensus(session, discussion):
    """Each text, by its place."""
    with pytest.raises(InvalidInputError) as error:
        await write_consensus(
            session, discussion.id, summary="", generated_by=" ", agreements=["a", ""]
        )

    for field in ("summary: ", "generated_by: ", "agreements[1]: "):
        assert field in str(error.value)


async def test_discussions_are_listed(session, project):
    """Those of one project, of one status, by pages."""
    other = await create_project(session, "Other")
    await open_discussion(session, other.id, "Other?")
    made = [await open_discussion(session, project.id, f"Number {n}?") for n in range(5)]
    await complete_discussion(session, made[1].id)
    await session.commit()

    first = await list_discussions(session, project.id, limit=3)
    rest = await list_discussions(session, "Caching", after=first.next, limit=3)
    completed = await list_discussions(session, project.id, status="completed")

    assert [each.id for each in [*first.items, *rest.items]] == [each.id for each in made]
    assert rest.next is None
    assert [each.id for each in completed.items] == [made[1].id]
    with pytest.raises(InvalidInputError, match="status: it is 'over', not active or completed"):
        await list_discussions(session, project.id, status="over")


async def test_a_whole_discussion_in_few_statements(discussion):
    """However many rounds and messages it has."""
    async with get_session() as session:
        for _ in range(3):
            await add_round(session, discussion.id)
            for model in ("claude", "gpt"):
                await add_message(session, discussion.id, model, "Yes.")
        await write_consensus(session, discussion.id, **CONSENSUS)

    async with get_database().read() as session:
        with count_statements(get_database(), at_most=3):
            whole = await load_discussion(session, discussion.id)

    assert [each.number for each in whole.rounds] == [1, 2, 3]
    assert [said.model for each in whole.rounds for said in each.messages] == ["claude", "gpt"] * 3
    assert (whole.project.name, whole.consensus.summary) == ("Caching", "Cache them.")


async def test_a_discussion_is_deleted(session, discussion):
    """With all that is in it, once."""
    await add_round(session, discussion.id)
    assert await delete_discussion(session, discussion.id) == discussion.id
    session.expunge_all()

    assert await session.get(Discussion, discussion.id) is None
