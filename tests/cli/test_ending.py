"""What a command costs before it works, and how it ends, whatever happens to it."""

import json
import os
import signal
import sys

import pytest

COMMAND = "from holdfast.cli import main; main()"
HEAVY = ("sqlalchemy", "alembic", "asyncpg", "redis")
IMPORTS = f"""
import sys
from holdfast.cli import main
try:
    main()
finally:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
# Ctrl-C comes while a module is being imported.
INTERRUPTED = """
import signal, sys
module = sys.argv.pop(1)
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from holdfast.cli import main
main()
"""
TERMINATED = """
import os, sys
from holdfast.cli import main
from holdfast.services import RedisServer
number = int(sys.argv.pop())
started = RedisServer.start
async def start(server, **options):
    await started(server, **options)
    os.kill(os.getpid(), number)
RedisServer.start = start
main()
"""

# An application whose command asks the database for something, with errors of its own.
ASKING = """
import asyncio, sys
import typer
from sqlalchemy import text
from holdfast.cli import run
from holdfast.database import Database
class TooLate(Exception): pass
class Closed(Exception): pass
app = typer.Typer(pretty_exceptions_enable=False)
@app.command()
def work(sql: str, json: bool = False) -> None:
    if sql == "late":
        raise TooLate("it was yesterday")
    if sql == "closed":
        raise Closed("come tomorrow")
    async def ask():
        async with Database("sqlite://") as db, db.read() as session:
            await session.execute(text(sql))
    asyncio.run(ask())
run(app, failures=(Closed,), wrong=(TooLate,), migrate="shop migrate")
"""
# An application whose command is done again, and then fails.
WARNING = """
import logging, sys
import typer
from holdfast.cli import run
from holdfast.errors import HoldfastError
from holdfast.events import Events
from holdfast.retry import Retried
if "--logs" in sys.argv:
    sys.argv.remove("--logs")
    logging.basicConfig()
app = typer.Typer()
@app.command()
def work(json: bool = False) -> None:
    Events().emit(Retried(work="work", attempt=1, reason="lost", error="x", delay=0.0))
    raise HoldfastError("it failed")
run(app)
"""
# An application whose command prints what a terminal may not have.
PRINTING = """
import sys
import typer
from holdfast.cli import run
from holdfast.cli.rows import print_row
app = typer.Typer()
@app.command()
def work(json: bool = False) -> None:
    print_row({"name": "\\N{SNOWMAN} \\N{PILE OF POO}"}, as_json=json)
run(app)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.parametrize(("arguments", "code"), [(["history", "--json"], 0), (["nonsense"], 2)])
def test_as_a_module(shell, arguments, code):
    """`python -m holdfast` is the same command, for where its script is not on the PATH."""
    done = shell.program([sys.executable, "-m", "holdfast"], *arguments)
    same = shell(*arguments)

    assert (done.returncode, done.stdout) == (code, same.stdout)
    assert done.stderr.splitlines()[-1:] == same.stderr.splitlines()[-1:]


@pytest.mark.parametrize("arguments", [["--help"], ["up", "--help"], ["status"], ["env"], ["down"]])
def test_what_needs_no_database_imports_none_of_it(shell, arguments):
    """Commands that only look for servers start without SQLAlchemy, Alembic and drivers."""
    done = shell.program(python(IMPORTS), *arguments)

    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("module", ["typer", "holdfast.services", "pydantic"])
def test_ctrl_c_during_the_imports(shell, module):
    """It ends like Ctrl-C at any later time: quietly, with 130."""
    done = shell.program(python(INTERRUPTED), module, "status")

    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("options", [[], ["--detach"]])
def test_a_signal_before_it_stays(shell, running, options, number):
    """While `up` still starts, SIGTERM and SIGHUP end it as Ctrl-C does; nothing is left."""
    done = shell.program(python(TERMINATED), "up", *options, str(int(number)))

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    assert running() == []


@pytest.mark.parametrize("arguments", [["history"], ["history", "--json"], ["--help"]])
@pytest.mark.parametrize(
    ("output", "code", "says"), [(">/dev/full", 1, "No space left on device"), (">&-", 0, "")]
)
def test_an_output_that_cannot_be_written(shell, arguments, output, code, says):
    """A full disk is a failure in one line; output that nobody asked for is no failure."""
    done = shell.program(["sh", "-c", f'exec "$@" {output}', "sh", *python(COMMAND)], *arguments)

    assert (done.returncode, done.stderr.count("\n")) == (code, code)
    assert says in done.stderr


@pytest.mark.parametrize("arguments", [["history"], ["history", "--json"]])
def test_a_reader_that_has_gone(shell, arguments):
    """`holdfast history | head -1` ends quietly."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as output:
        done = shell.program(python(COMMAND), *arguments, stdout=output)

    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-8"])
def test_a_terminal_that_lacks_a_character(shell, encoding):
    """It is escaped; in JSON, as JSON does it, so that a program reads the character."""
    shell.environ["PYTHONIOENCODING"] = encoding
    shown, read = (shell.program(python(PRINTING), *options) for options in ([], ["--json"]))

    said = "☃ 💩" if encoding == "utf-8" else r"\u2603 \U0001f4a9"
    assert shown.stdout == f"name  {said}\n"
    assert json.loads(read.stdout) == {"name": "☃ 💩"}
    assert (shown.returncode, shown.stderr, read.returncode, read.stderr) == (0, "", 0, "")


def test_an_error_in_json_is_alone_on_its_stream(shell):
    """A program that asks for JSON gets one document, and people are told what happened before."""
    told = shell.program(python(WARNING))
    alone = shell.program(python(WARNING), "--json")
    asked_for = shell.program(python(WARNING), "--json", "--logs")

    assert told.stderr.startswith("Retried work=work attempt=1")
    assert (alone.returncode, alone.stdout) == (1, "")
    assert json.loads(alone.stderr) == {"error": "it failed"}
    assert "Retried work=work attempt=1" in asked_for.stderr


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize(
    ("sql", "code", "said"),
    [
        ("late", 2, "it was yesterday"),
        ("closed", 1, "come tomorrow"),
        ("SELECT wrong(", 1, "the database said: incomplete input"),
        ("SELECT 1", 0, None),
    ],
)
def test_what_the_database_refuses_is_one_line(shell, options, sql, code, said):
    """Without the statement; and the application's own errors end as it says."""
    done = shell.program(python(ASKING), sql, *options)

    assert done.returncode == code
    if said is None:
        assert done.stderr == ""
    else:
        assert done.stderr == (f'{{"error": "{said}"}}\n' if options else f"error: {said}\n")
