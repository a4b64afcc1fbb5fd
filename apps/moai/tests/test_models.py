"""The models on SQLite in memory and on PostgreSQL: as written, linked, and deleted whole."""

import uuid
from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload, selectinload

from holdfast.errors import InvalidValueError
from holdfast.testing import count_statements
from moai.core.database import get_database, get_session
from moai.core.models import (
    Base,
    Consensus,
    Discussion,
    DiscussionKind,
    DiscussionStatus,
    Message,
    Project,
    Round,
    RoundKind,
)

TABLES = ("projects", "discussions", "rounds", "messages", "consensus")


@pytest.fixture(params=["sqlite in memory", "postgresql"])
def url(request):
    """Give the URL of a database, of each engine in turn."""
    if request.param == "postgresql":
        return request.getfixturevalue("clone").app
    return "sqlite+aiosqlite:///:memory:"


def make_chain():
    """Build one of everything, linked by relationships; give the project."""
    project = Project(name="Test Project", models=["claude", "gpt"])
    discussion = Discussion(project=project, question="Should answers be cached?")
    asked = Round(discussion=discussion, number=1, kind=RoundKind.SEQUENTIAL)
    Message(round=asked, model="claude", content="Yes.")
    Message(round=asked, model="gpt", content="For an hour.", is_direct=True)
    Consensus(
        discussion=discussion,
        agreements=["Cache them."],
        disagreements=["For how long."],
        summary="Cache them for a while.",
        generated_by="claude",
    )
    return project


async def store(*objects):
    """Store objects in a session of their own."""
    async with get_session() as session:
        session.add_all(objects)


async def count():
    """Count the rows of each table, in the order of TABLES."""
    async with get_session() as session:
        return [
            await session.scalar(select(func.count()).select_from(Base.metadata.tables[table]))
            for table in TABLES
        ]


async def test_create_project(session):
    """A project has an id, a UUID of version 7 as text, and comes back as it was written."""
    project = Project(name="Test Project", models=["claude", "gpt"])
    session.add(project)
    await session.commit()

    assert uuid.UUID(project.id).version == 7
    assert (type(project.id), len(project.id)) == (str, 36)
    session.expunge_all()
    found = await session.get_one(Project, project.id)
    assert (found.name, found.models) == ("Test Project", ["claude", "gpt"])
    assert found.created_at == project.created_at
    assert found.updated_at.utcoffset().total_seconds() == 0


async def test_create_discussion_with_project(session):
    """The two find each other, at once by relationship, and after a refresh by key alone."""
    project = Project(name="Test Project", models=["claude"])
    session.add(project)
    await session.commit()
    linked = Discussion(project=project, question="Linked?")
    assert linked in project.discussions
    session.add(linked)
    await session.commit()
    assert linked.project_id == project.id

    by_key = Discussion(project_id=project.id, question="By key?")
    session.add(by_key)
    await session.commit()
    await session.refresh(project, ["discussions"])

    assert project.discussions == [linked, by_key]
    assert by_key.project_id == project.id
    assert (by_key.kind, by_key.status) == (DiscussionKind.OPEN, DiscussionStatus.ACTIVE)
    assert by_key.completed_at is None


async def test_create_full_discussion_chain(session):
    """From a project to its messages and back, as it was made and as it is loaded."""
    project = make_chain()
    session.add(project)
    await session.commit()
    for _ in range(2):
        [discussion] = project.discussions
        [asked] = discussion.rounds
        assert [message.model for message in asked.messages] == ["claude", "gpt"]
        assert [message.is_direct for message in asked.messages] == [False, True]
        assert {message.round.discussion.project for message in asked.messages} == {project}
        assert (asked.number, asked.kind) == (1, RoundKind.SEQUENTIAL)

        session.expunge_all()
        down = selectinload(Project.discussions).selectinload(Discussion.rounds)
        wanted = select(Project).options(down.selectinload(Round.messages))
        project = (await session.scalars(wanted)).one()


async def test_the_chain_is_walked_up_from_a_message(session):
    """What a message belongs to is loaded with it, by one query."""
    session.add(make_chain())
    await session.commit()
    session.expunge_all()

    up = joinedload(Message.round).joinedload(Round.discussion).joinedload(Discussion.project)
    messages = (await session.scalars(select(Message).options(up))).all()

    assert [each.round.discussion.project.name for each in messages] == ["Test Project"] * 2


async def test_the_order_of_what_is_under_something(session):
    """Rounds come by number, messages and discussions as they arrived, whatever their ids are."""
    early, late = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2))
    project = Project(name="Test Project")
    first, second = (
        Discussion(project=project, question="Why?", created_at=at) for at in (late, early)
    )
    rounds = [
        Round(discussion=first, number=2, created_at=early),
        Round(discussion=first, number=1),
    ]
    said = [
        Message(round=rounds[0], model="m", content="Yes.", created_at=at) for at in (late, early)
    ]
    session.add(project)
    await session.commit()
    ids = [each.id for each in (second, first, *reversed(rounds), *reversed(said))]

    session.expunge_all()
    load = selectinload(Project.discussions).selectinload(Discussion.rounds)
    options = [load.selectinload(Round.messages)]
    project = await session.get_one(Project, project.id, options=options)
    rounds = project.discussions[1].rounds
    assert ids == [each.id for each in (*project.discussions, *rounds, *rounds[1].messages)]


async def test_create_consensus(session):
    """A discussion and its consensus link to each other, as made and as loaded."""
    project = make_chain()
    session.add(project)
    await session.commit()
    [discussion] = project.discussions
    consensus = discussion.consensus
    assert consensus.discussion is discussion

    session.expunge_all()
    found = await session.get_one(
        Consensus, consensus.id, options=[joinedload(Consensus.discussion)]
    )
    await session.refresh(found.discussion, ["consensus"])
    assert found.discussion.consensus is found
    assert (found.agreements, found.disagreements) == (["Cache them."], ["For how long."])
    assert (found.summary, found.generated_by) == ("Cache them for a while.", "claude")


async def by_key(session, discussion_id):
    session.add(Consensus(discussion_id=discussion_id, summary="Two.", generated_by="gpt"))


async def by_relationship(session, discussion_id):
    discussion = await session.get_one(Discussion, discussion_id)
    session.add(Consensus(discussion=discussion, summary="Two.", generated_by="gpt"))


async def in_place_of_the_first(session, discussion_id):
    discussion = await session.get_one(Discussion, discussion_id)
    await session.refresh(discussion, ["consensus"])
    discussion.consensus = Consensus(summary="Two.", generated_by="gpt")


@pytest.mark.parametrize("link", [by_key, by_relationship, in_place_of_the_first])
async def test_a_second_consensus_is_refused(opened, link):
    """However it is linked, the database names the column, and the first one stays."""
    project = make_chain()
    await store(project)
    [discussion] = project.discussions

    async def add():
        async with get_session() as session:
            await link(session, discussion.id)

    with pytest.raises(IntegrityError, match=r"consensus[._]discussion_id"):
        await add()

    async with get_session() as session:
        summaries = (await session.scalars(select(Consensus.summary))).all()
    assert summaries == ["Cache them for a while."]


async def test_project_cascade_delete(opened):
    """Deleted through a session, a project takes everything with it, and nothing of another."""
    project, other = make_chain(), make_chain()
    await store(project, other)

    async with get_session() as session:
        await session.delete(await session.get_one(Project, project.id))

    assert await count() == [1, 1, 1, 2, 1]
    async with get_session() as session:
        assert (await session.scalars(select(Discussion.project_id))).all() == [other.id]


async def test_project_cascade_delete_of_what_is_loaded(session):
    """What was just made, and what was added by key meanwhile, goes as well."""
    project = make_chain()
    session.add(project)
    await session.commit()
    session.add(Discussion(project_id=project.id, question="By key?"))
    await session.flush()

    await session.delete(project)
    await session.commit()

    assert await session.scalar(select(func.count()).select_from(Discussion)) == 0


@pytest.mark.parametrize(
    ("table", "left"),
    [
        ("projects", [0, 0, 0, 0, 0]),
        ("discussions", [1, 0, 0, 0, 0]),
        ("rounds", [1, 1, 0, 0, 1]),
        ("messages", [1, 1, 1, 0, 1]),
        ("consensus", [1, 1, 1, 2, 0]),
    ],
)
async def test_cascade_by_bare_sql(opened, table, left):
    """A bare DELETE takes what is under a row, and nothing above it: the database does it."""
    await store(make_chain())

    async with get_session() as session:
        await session.execute(text(f"DELETE FROM {table}"))

    assert await count() == left


async def test_deleting_loads_nothing(session):
    """What is under a project is deleted by the database, not row by row."""
    project = make_chain()
    session.add(project)
    await session.commit()
    session.expunge_all()
    found = await session.get_one(Project, project.id)

    with count_statements(get_database(), at_most=1):
        await session.delete(found)
        await session.flush()


async def test_what_is_taken_out_of_a_list_is_deleted(session):
    """A discussion cannot be without its project."""
    project = make_chain()
    session.add(project)
    await session.commit()

    project.discussions.clear()
    await session.commit()

    assert await session.scalar(select(func.count()).select_from(Message)) == 0


async def test_a_list_is_edited_in_place(opened):
    """What is appended, replaced or removed inside of a list is saved by the commit."""
    project = make_chain()
    await store(project)
    consensus = project.discussions[0].consensus

    async with get_session() as session:
        found = await session.get_one(Project, project.id)
        before = found.updated_at
        found.models.append("gemini")
        found.models[0] = "claude 5"
        (await session.get_one(Consensus, consensus.id)).disagreements.clear()

    async with get_session() as session:
        found = await session.get_one(Project, project.id)
        assert found.models == ["claude 5", "gpt", "gemini"]
        assert found.updated_at > before
        assert (await session.get_one(Consensus, consensus.id)).disagreements == []


async def test_a_list_is_edited_right_after_it_was_stored(session):
    """The object need not have been loaded."""
    project = Project(name="Test Project", models=["claude"])
    session.add(project)
    await session.commit()
    project.models.append("gemini")
    await session.commit()

    await session.refresh(project)
    assert project.models == ["claude", "gemini"]


@pytest.mark.parametrize("value", [["claude", 4], "claude", ("claude",), [None], ["\0"]])
def test_what_is_no_list_of_texts_is_refused(value):
    """Where it is assigned, by the name of the field."""
    with pytest.raises(InvalidValueError, match=r"Project\.models"):
        Project(name="Test Project", models=value)


BLANK = "\u200b \n\t\u3000"


@pytest.mark.parametrize("value", ["", " ", BLANK])
@pytest.mark.parametrize(
    ("model", "column"),
    [
        (Project, "name"),
        (Discussion, "question"),
        (Message, "model"),
        (Message, "content"),
        (Consensus, "summary"),
        (Consensus, "generated_by"),
    ],
)
def test_a_blank_text_is_refused(model, column, value):
    """Where it is assigned, by the name of the field."""
    with pytest.raises(InvalidValueError, match=f"{model.__name__}.{column} is empty or blank"):
        model(**{column: value})


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("UPDATE projects SET name = ''", "ck_projects_name_not_blank"),
        ("UPDATE discussions SET question = ' '", "ck_discussions_question_not_blank"),
        ("UPDATE discussions SET completed_at = created_at", "ck_discussions_completed_at"),
        ("UPDATE rounds SET number = 0", "ck_rounds_number_positive"),
        ("UPDATE messages SET content = ''", "ck_messages_content_not_blank"),
        ("UPDATE messages SET model = ''", "ck_messages_model_not_blank"),
        ("UPDATE consensus SET summary = ''", "ck_consensus_summary_not_blank"),
        ("UPDATE consensus SET generated_by = ''", "ck_consensus_generated_by_not_blank"),
        ("INSERT INTO rounds (id, discussion_id, number) SELECT 'x', discussion_id, 1 FROM rounds",
         r"rounds(_|\.)discussion_id"),
        ("UPDATE discussions SET project_id = 'x'", "(?i)foreign key"),
    ],
)  # fmt: skip
async def test_the_database_keeps_the_rules(opened, change, constraint):
    """What is wrong is refused whoever writes it, by the same name on both engines."""
    await store(make_chain())

    async def write():
        async with get_session() as session:
            await session.execute(text(change))

    with pytest.raises(IntegrityError, match=constraint):
        await write()


async def test_ids_rise_with_time(session):
    """Whatever the table, an object that is stored later has the higher id."""
    stored = []
    for number in range(100):
        each = Project(name=f"Project {number}")
        session.add(each)
        await session.flush()
        stored.append(each)

    assert [each.id for each in stored] == sorted(each.id for each in stored)
    assert stored[0].models == []


async def test_times_and_ids_can_be_given(session):
    """What comes from elsewhere keeps its own."""
    given = str(uuid.uuid4())
    session.add(Project(id=given, name="Test Project"))
    await session.commit()

    assert (await session.get_one(Project, given)).name == "Test Project"


async def test_nothing_is_loaded_behind_an_attribute(session):
    """A relationship that was not asked for is an error that says so, not a hidden query."""
    project = make_chain()
    session.add(project)
    await session.commit()
    session.expunge_all()
    found = await session.get_one(Project, project.id)

    with pytest.raises(Exception, match="raise_on_sql"):
        assert found.discussions
    await session.execute(delete(Project))
