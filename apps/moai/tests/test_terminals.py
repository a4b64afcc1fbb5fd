"""Several terminals at once, imports beside writers, and what a killed process leaves: nothing."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from sqlalchemy import func, select, update

from moai.core.database import create_tables, get_database, get_session, init_db
from moai.core.models import Discussion, Message, Project, Round
from moai.services.discussions import load_discussion
from moai.services.messages import add_message
from moai.services.projects import find_project
from moai.services.rounds import add_round

LINES = "".join(
    json.dumps(each) + "\n"
    for each in (
        {"type": "project", "name": "Imported", "models": ["claude"]},
        {"type": "discussion", "question": "Cache?"},
        {"type": "round"},
        *({"type": "message", "model": "claude", "content": f"{n}"} for n in range(50)),
    )
)

# As many times as it is told, what `moai rounds add` and `moai messages add` do.
WRITER = """
import sys
from moai.cli.running import do
from moai.services.messages import add_message
from moai.services.rounds import add_round
discussion, name, times = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(times)):
    do(add_round, discussion)
    do(add_message, discussion, name, f"{name} {number}")
"""

# The command, which tells when it has sent the first rows, and waits.
STOPPING = """
import sys
from moai.services import importing
importing.MOST_ROWS = 10
write = importing._Import._write
async def stop(work):
    await write(work)
    if work._counts[importing.Message]:
        print("sent", flush=True)
        sys.stdin.readline()
        importing._Import._write = write
importing._Import._write = stop
from moai.cli import main
main()
"""


# The command, which tells when it begins what another one is in the way of.
DELETING = """
from moai.cli import projects
delete_project = projects.delete_project
async def tell(session, name):
    print("begun", flush=True)
    return await delete_project(session, name)
projects.delete_project = tell
from moai.cli import main
main()
"""


@contextmanager
def program(*command, url):
    """Run a program until the end of the block, which waits for it."""
    with subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, "MOAI_DATABASE_URL": url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def finish(process, said=""):
    """Let a program go on, and require that it ends well; give what it printed."""
    out, err = process.communicate(said)
    assert (process.returncode, err) == (0, "")
    return out


async def begun(writing):
    """Wait until work of this process has a connection, or is done with it."""
    while not get_database().holders() and not writing.done():  # noqa: ASYNC110  -- no event
        await asyncio.sleep(0)


async def count(model):
    async with get_session() as session:
        return await session.scalar(select(func.count()).select_from(model))


@pytest.fixture
def lines(tmp_path):
    """Give a file to import."""
    file = tmp_path / "talk.jsonl"
    file.write_text(LINES)
    return file


async def test_terminals_that_begin_at_once(clean_environment, empty_url):
    """The first commands there are, all at the same moment: each makes what it was told to."""
    commands = [["-m", "moai", "projects", "create", f"Project {n}"] for n in range(4)]
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            env={**os.environ, "MOAI_DATABASE_URL": empty_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for command in commands
    ]
    ended = await asyncio.gather(*(each.communicate() for each in started))

    assert [(each.returncode, err) for each, (_, err) in zip(started, ended, strict=True)] == [
        (0, b"")
    ] * 4
    init_db(empty_url)
    assert await count(Project) == 4


async def test_terminals_that_write_to_one_discussion(opened, discussion):
    """No round has the number of another, none is left out, and every message is there."""
    command = ["-c", WRITER, discussion.id]
    with (
        program(*command, "claude", "5", url=opened) as one,
        program(*command, "gpt", "5", url=opened) as two,
    ):
        for each in (one, two):
            assert each.stdout.readline() == "ready\n"
        for each in (one, two):
            each.stdin.write("go\n")
            each.stdin.flush()
        for each in (one, two):
            finish(each)

    async with get_database().read() as session:
        whole = await load_discussion(session, discussion.id)
    assert [each.number for each in whole.rounds] == list(range(1, 11))
    said = [message.content for each in whole.rounds for message in each.messages]
    for name in ("claude", "gpt"):
        own = [each for each in said if each.startswith(name)]
        assert own == [f"{name} {number}" for number in range(5)]


async def test_an_import_waits_for_its_input_without_holding_anything(opened, discussion):
    """While its lines still come through a pipe, others write."""
    head, tail = LINES[:200], LINES[200:]
    with program("-m", "moai", "import", "-", url=opened) as importing:
        importing.stdin.write(head)
        importing.stdin.flush()
        await get_database().run(add_round, discussion.id)
        finish(importing, tail)

    assert (await count(Discussion), await count(Round), await count(Message)) == (2, 2, 50)


async def test_a_writer_beside_an_import(opened, discussion, lines):
    """It waits where it has to, and succeeds; nothing of either is lost."""
    with program("-c", STOPPING, "import", str(lines), url=opened) as importing:
        assert importing.stdout.readline() == "sent\n"
        writing = asyncio.create_task(get_database().run(add_round, discussion.id))
        await begun(writing)
        finish(importing, "go\n")
        assert (await writing).number == 1

    assert (await count(Discussion), await count(Round), await count(Message)) == (2, 2, 50)


async def test_a_reader_beside_an_import(opened, discussion, lines):
    """It does not wait, and sees nothing of what is not complete."""
    with program("-c", STOPPING, "import", str(lines), url=opened) as importing:
        assert importing.stdout.readline() == "sent\n"
        with program("-m", "moai", "projects", "list", "--json", url=opened) as reading:
            listed = json.loads(finish(reading))["items"]
        finish(importing, "go\n")

    assert [each["name"] for each in listed] == ["Caching"]
    assert await count(Project) == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
async def test_an_import_that_is_ended_leaves_nothing(opened, discussion, lines, number, code):
    """Killed or interrupted when rows were sent: none is there, and others go on at once."""
    with program("-c", STOPPING, "import", str(lines), url=opened) as importing:
        assert importing.stdout.readline() == "sent\n"
        importing.send_signal(number)
        out, err = importing.communicate("go\n")
        assert (importing.returncode, out, err) == (code, "", "")

    assert (await get_database().run(add_round, discussion.id)).number == 1
    assert (await count(Project), await count(Message)) == (1, 0)
    with program("-m", "moai", "import", str(lines), url=opened) as again:
        finish(again)
    assert await count(Message) == 50


async def test_ctrl_c_ends_a_command_that_waits(opened, project):
    """At once, not when whoever it waits for is done; nothing was changed."""
    async with get_session() as session:
        await session.execute(update(Project).values(name="Changed"))
        with program("-c", DELETING, "projects", "delete", project.id, url=opened) as deleting:
            assert deleting.stdout.readline() == "begun\n"
            deleting.send_signal(signal.SIGINT)
            # A minute would pass until the lock is given up.
            assert (*deleting.communicate(timeout=30), deleting.returncode) == ("", "", 130)

    assert await count(Project) == 1


async def test_an_import_into_a_discussion_that_is_written_to(opened, discussion, lines):
    """What is written beside it comes before or behind all of it."""
    await get_database().run(add_round, discussion.id)
    lines.write_text("".join(LINES.splitlines(keepends=True)[3:]))
    command = ["-c", STOPPING, "import", str(lines), "--discussion", discussion.id]
    with program(*command, url=opened) as importing:
        assert importing.stdout.readline() == "sent\n"
        writing = asyncio.create_task(
            get_database().run(add_message, discussion.id, "gpt", "beside")
        )
        await begun(writing)
        finish(importing, "go\n")
        await writing

    async with get_database().read() as session:
        [asked] = (await load_discussion(session, discussion.id)).rounds
    assert [each.content for each in asked.messages] == [*map(str, range(50)), "beside"]


async def test_a_process_that_is_killed_while_it_makes_the_tables(clean_environment, empty_url):
    """The next one makes them."""
    killed = (
        "import os, signal\n"
        "from moai.core.models import Base\n"
        "Base.metadata.create_all = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from moai.cli import main\n"
        "main()\n"
    )
    with program("-c", killed, "projects", "list", url=empty_url) as process:
        process.communicate()
        assert process.returncode == -signal.SIGKILL

    init_db(empty_url)
    await create_tables()
    async with get_session() as session:
        session.add(Project(name="Caching"))
    async with get_database().read() as session:
        assert (await find_project(session, "Caching")).models == []
