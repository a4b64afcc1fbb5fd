"""JSON Lines: what they become, what is wrong with them by line, and all or nothing."""

import io
import json
import tracemalloc

import pytest
from sqlalchemy import func, select

from moai.core.database import get_database, get_session
from moai.core.models import (
    Base,
    Discussion,
    DiscussionKind,
    DiscussionStatus,
    Message,
    Project,
    RoundKind,
)
from moai.errors import EndedError, InvalidInputError, NotFoundError
from moai.services import importing
from moai.services.consensus import write_consensus
from moai.services.discussions import complete_discussion, load_discussion
from moai.services.importing import Imported, import_lines
from moai.services.lines import LONGEST_LINE, LineError, read_lines
from moai.services.messages import add_message
from moai.services.rounds import add_round

PROJECT = {"type": "project", "name": "Caching", "models": ["claude", "gpt"]}
DISCUSSION = {"type": "discussion", "question": "Should answers be cached?", "kind": "consensus"}
ROUND = {"type": "round", "kind": "sequential"}
MESSAGE = {"type": "message", "model": "claude", "content": "Yes.\n\nFor an hour. ☃"}
DIRECT = {**MESSAGE, "model": "gpt", "is_direct": True}
CONSENSUS = {
    "type": "consensus",
    "summary": "Cache them.",
    "generated_by": "claude",
    "agreements": ["Answers are alike."],
    "disagreements": [],
}
WHOLE = [PROJECT, DISCUSSION, ROUND, MESSAGE, DIRECT, ROUND, MESSAGE, CONSENSUS]


def lines(*documents):
    """Write documents as a file of JSON Lines."""
    return io.BytesIO(b"".join(json.dumps(each).encode() + b"\n" for each in documents))


async def take(source, **place):
    """Import lines in a transaction of their own."""
    return await get_database().run(import_lines, source, **place)


async def count():
    """Count all rows there are."""
    async with get_session() as session:
        tables = Base.metadata.sorted_tables
        return sum([await session.scalar(select(func.count()).select_from(t)) for t in tables])


async def test_a_whole_discussion(opened):
    """Every field comes back as it was written, and everything is where it belongs."""
    done = await take(lines(*WHOLE))
    assert done == Imported(
        projects=1,
        discussions=1,
        rounds=2,
        messages=3,
        consensus=1,
        discussion_id=done.discussion_id,
    )

    async with get_database().read() as session:
        whole = await load_discussion(session, done.discussion_id)
    assert (whole.project.name, whole.project.models) == ("Caching", ["claude", "gpt"])
    assert whole.project.updated_at >= whole.project.created_at
    assert (whole.question, whole.kind) == (DISCUSSION["question"], DiscussionKind.CONSENSUS)
    assert (whole.status, whole.completed_at) == (DiscussionStatus.ACTIVE, None)
    assert [(each.number, each.kind) for each in whole.rounds] == [
        (1, RoundKind.SEQUENTIAL),
        (2, RoundKind.SEQUENTIAL),
    ]
    said = [(m.model, m.content, m.is_direct) for each in whole.rounds for m in each.messages]
    content = MESSAGE["content"]
    assert said == [("claude", content, False), ("gpt", content, True), ("claude", content, False)]
    assert whole.consensus.agreements == CONSENSUS["agreements"]


async def test_several_of_everything(opened):
    """A line belongs to what stands before it; what has ended may be imported."""
    ended = {**DISCUSSION, "status": "completed"}
    await take(lines(*WHOLE, ended, ROUND, MESSAGE, {**PROJECT, "name": "Other"}, DISCUSSION))

    async with get_session() as session:
        projects = (await session.scalars(select(Project).order_by(Project.created_at))).all()
        found = (await session.scalars(select(Discussion).order_by(Discussion.created_at))).all()
    assert [each.name for each in projects] == ["Caching", "Other"]
    assert [projects.index(p) for d in found for p in projects if p.id == d.project_id] == [0, 0, 1]
    assert [each.status for each in found] == ["active", "completed", "active"]
    assert [each.completed_at == each.created_at for each in found] == [False, False, False]
    assert found[1].completed_at is not None


async def test_into_a_project(project):
    """By id or name; a line of type discussion comes first."""
    done = await take(lines(DISCUSSION, ROUND), project="Caching")

    async with get_session() as session:
        assert (await session.get_one(Discussion, done.discussion_id)).project_id == project.id
    with pytest.raises(LineError, match="line 1: there is no discussion that it belongs to"):
        await take(lines(ROUND), project=project.id)


async def test_into_a_discussion(discussion):
    """It goes on with the newest round, behind what was said, and with the next number."""
    async with get_session() as session:
        await add_round(session, discussion.id)
        await add_round(session, discussion.id)
        await add_message(session, discussion.id, "claude", "before")
    contents = [{**MESSAGE, "content": f"{n}"} for n in range(3)]
    done = await take(lines(*contents, ROUND, MESSAGE, CONSENSUS), discussion=discussion.id)
    assert (done.discussions, done.discussion_id) == (0, discussion.id)
    async with get_session() as session:
        await add_message(session, discussion.id, "claude", "after", number=2)

    async with get_database().read() as session:
        whole = await load_discussion(session, discussion.id)
    assert [each.number for each in whole.rounds] == [1, 2, 3]
    assert [m.content for m in whole.rounds[1].messages] == ["before", "0", "1", "2", "after"]
    assert whole.consensus.summary == "Cache them."


@pytest.mark.parametrize(
    ("documents", "says"),
    [
        ([MESSAGE], "line 1: there is no round that it belongs to; put a line of type round bef"),
        ([CONSENSUS, CONSENSUS], "line 2: the discussion has a consensus already"),
    ],
)
async def test_what_does_not_fit_a_discussion(discussion, documents, says):
    """What is there already counts as well."""
    with pytest.raises(LineError, match=says):
        await take(lines(*documents), discussion=discussion.id)

    assert await count() == 2
    async with get_session() as session:
        await write_consensus(session, discussion.id, summary="No.", generated_by="gpt")
    with pytest.raises(LineError, match="line 2: the discussion has a consensus already"):
        await take(lines(ROUND, CONSENSUS), discussion=discussion.id)
    assert await count() == 3


async def test_into_what_is_not_there(discussion):
    """A wrong id is told before any line is read, and so is one of what has ended."""
    nobody = "019a0000-0000-7000-8000-000000000001"
    for place, error in (
        ({"project": nobody}, NotFoundError),
        ({"discussion": nobody}, NotFoundError),
        ({"discussion": "Caching"}, InvalidInputError),
        ({"project": "Caching", "discussion": discussion.id}, InvalidInputError),
    ):
        with pytest.raises(error) as caught:
            await take(lines(MESSAGE), **place)
        assert not isinstance(caught.value, LineError)

    async with get_session() as session:
        await complete_discussion(session, discussion.id)
    with pytest.raises(EndedError):
        await take(lines(ROUND), discussion=discussion.id)


WRONG = [
    (b"", r"type is missing; it is one of project, discussion, round, message, consensus"),
    (b'"type": "talk"', r"type is 'talk'; it is one of project"),
    (b'"type": ["round"]', r"type is \['round'\]; it is one of"),
    (b'"type": "message", "model": "a"', r"content: it is missing"),
    (b'"type": "message", "model": "", "content": 7, "x": 1', r"model: .*; content: .*; x: there"),
    (b'"type": "message", "model": "a", "content": "\\u0000"', r"content: it has a zero or half"),
    (b'"type": "message", "model": "a", "content": "\\ud83d"', r"content: it has a zero or half"),
    (b'"type": "message", "model": "a", "content": "b", "is_direct": 1', r"is_direct: .*boolean"),
    (b'"type": "round", "kind": "slow"', r"kind: it is 'slow', not parallel or sequential"),
    (b'"type": "round", "kind": {}', r"kind: it is \{\}, not parallel or sequential"),
    (b'"type": "discussion", "question": " "', r"question: it is empty or blank"),
    (b'"type": "discussion", "question": "?", "status": "over"', r"status: it is 'over', not"),
    (b'"type": "project", "name": "a", "models": ["b", 1]', r"models\[1\]: .*string"),
    (b'"type": "project", "name": "a\\nb"', r"name: it has 1 to 200 printable characters"),
    (b'"type": "consensus", "summary": "a", "generated_by": "b", "agreements": "c"', r"agreements"),
]


@pytest.mark.parametrize(("fields", "says"), WRONG)
async def test_what_is_wrong_with_a_line(fields, says):
    """All of it is named, with the line; lines before and after may be right."""
    source = io.BytesIO(b'{"type": "round"}\n\n{' + fields + b'}\n{"type": "round"}\n')

    with pytest.raises(LineError, match=rf"^line 3: {says}") as error:
        list(read_lines(source))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"nonsense", "it is no JSON: expecting value at column 1"),
        (b'{"type": "round",}', "it is no JSON: .* at column 1[78]"),
        (b'{"type": "round"} {}', "it is no JSON: extra data at column 19"),
        (b'{"type": "rou', "it is no JSON: unterminated string starting at column 10"),
        (b'{"type": "round\xff"}', "it is no JSON: its bytes are no UTF-8"),
        (b"[" * 100_000, "it is no JSON: it nests too deep"),
        (b"1" * 5_000, "it is no JSON: a number in it is too long"),
        (b"[1, 2]", r"it is \[1, 2\], no JSON object"),
        (b"null", "it is None, no JSON object"),
        (b'"' + b"x" * 500 + b'"', "it is 'x{79}…, no JSON object"),
    ],
)
async def test_what_is_no_json_object(line, says):
    """The place in the line is named where it is known."""
    with pytest.raises(LineError, match=f"^line 2: {says}"):
        list(read_lines(io.BytesIO(b'{"type": "round"}\n' + line + b"\n")))


async def test_forms_that_a_line_may_have():
    """A mark at the beginning, ends of lines of other systems, empty lines, no end at all."""
    source = io.BytesIO(b'\xef\xbb\xbf{"type": "round"}\r\n \r\n\n{"type": "round"}')

    assert [each.number for each in read_lines(source)] == [1, 4]


async def test_a_line_that_does_not_end(monkeypatch):
    """A file of one line is not read into memory."""
    monkeypatch.setattr("moai.services.lines.LONGEST_LINE", 1024**2)
    source = io.BytesIO(b'{"type": "round"}\n' + b"x" * (1024**2 + 1))

    with pytest.raises(LineError, match="line 2: it is longer than 1 MB"):
        list(read_lines(source))
    assert LONGEST_LINE == 16 * 1024**2


@pytest.mark.parametrize("place", range(len(WHOLE)))
async def test_all_or_nothing(opened, monkeypatch, place):
    """Wherever the line is that is wrong, nothing of the others is stored."""
    monkeypatch.setattr(importing, "MOST_ROWS", 2)  # so that some of them have been sent
    wrong = [*WHOLE[:place], {"type": "nothing"}, *WHOLE[place:]]

    with pytest.raises(LineError, match=f"^line {place + 1}: type is 'nothing'"):
        await take(lines(*wrong))

    assert await count() == 0


@pytest.mark.parametrize(
    ("documents", "says"),
    [
        ([DISCUSSION], "line 1: there is no project that it belongs to; put a line of type proj"),
        ([PROJECT, ROUND], "line 2: there is no discussion that it belongs to"),
        ([PROJECT, DISCUSSION, MESSAGE], "line 3: there is no round that it belongs to"),
        ([PROJECT, CONSENSUS], "line 2: there is no discussion that it belongs to"),
        ([*WHOLE, DISCUSSION, MESSAGE], "line 10: there is no round that it belongs to"),
        ([*WHOLE, PROJECT, ROUND], "line 10: there is no discussion that it belongs to"),
        ([*WHOLE, CONSENSUS], "line 9: the discussion has a consensus already"),
        (
            [PROJECT, {**DISCUSSION, "status": "abandoned"}, CONSENSUS],
            "line 3: the discussion is abandoned",
        ),
    ],
)
async def test_what_belongs_to_nothing(opened, documents, says):
    """It is named with its line, and nothing is stored."""
    with pytest.raises(LineError, match=says):
        await take(lines(*documents))

    assert await count() == 0


async def test_nothing_to_import(opened):
    """A file without lines is none the worse for it."""
    assert (await take(io.BytesIO())).discussion_id is None


async def test_work_that_is_done_again_reads_again(opened):
    """After a lost connection, which the second attempt does not know of."""
    source = lines(*WHOLE)
    attempts = []

    async def twice(session):
        await import_lines(session, source)
        attempts.append(await session.scalar(select(func.count()).select_from(Message)))
        await session.execute(Base.metadata.tables["projects"].delete())
        await import_lines(session, source)

    await get_database().run(twice)

    assert attempts == [3]
    assert await count() == len(WHOLE)


async def test_the_order_of_lines_is_the_order_of_messages(opened, monkeypatch):
    """Over many batches."""
    monkeypatch.setattr(importing, "MOST_ROWS", 7)
    said = [{**MESSAGE, "content": f"{n}"} for n in range(100)]
    done = await take(lines(PROJECT, DISCUSSION, ROUND, *said))

    async with get_database().read() as session:
        [asked] = (await load_discussion(session, done.discussion_id)).rounds
    assert [each.content for each in asked.messages] == [each["content"] for each in said]


async def test_a_large_file_needs_no_more_memory(opened, tmp_path, monkeypatch):
    """Twenty times as many lines are imported in what a batch needs."""
    monkeypatch.setattr(importing, "MOST_BYTES", 256 * 1024)
    said = json.dumps({**MESSAGE, "content": "x" * 10_000}).encode() + b"\n"
    peaks = []
    for number in (100, 2_000):
        file = tmp_path / f"{number}.jsonl"
        file.write_bytes(lines(PROJECT, DISCUSSION, ROUND).read() + said * number)
        tracemalloc.start()
        with file.open("rb") as source:
            assert (await take(source)).messages == number
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < 2 * peaks[0] + 4 * 1024**2 < 2_000 * 10_000
