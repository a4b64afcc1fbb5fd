"""The command `todo`: what it prints, as text and as JSON, and how it ends."""

import asyncio
import getpass
import json
import os
import re
import sqlite3
import stat
import subprocess
import sys
import uuid
from datetime import datetime

import pytest
from sqlalchemy import text
from typer.main import get_command

from holdfast.database import Database
from todo.cli.commands import app
from todo.core import config

SECRET = "hunter2-the-secret"
NOBODY = "00000000-0000-4000-8000-000000000000"
COMMANDS = sorted(get_command(app).commands)


@pytest.fixture(params=["file", "on_clone"])
def anywhere(request):
    """Let the command run on either engine: with nothing set up, and on PostgreSQL."""
    request.getfixturevalue(request.param)


@pytest.mark.usefixtures("anywhere")
class TestTasks:
    """On either engine."""

    def test_the_life_of_a_task(self, todo, made):
        """Added, listed, shown, completed, reopened, edited and deleted."""
        added = made("add", "Buy milk", "--description", "two bottles")
        assert (added["title"], added["description"], added["status"]) == (
            "Buy milk", "two bottles", "pending",
        )  # fmt: skip
        assert datetime.fromisoformat(added["created_at"]).utcoffset() is not None
        short = added["id"][:8]
        assert made("list") == {"items": [added], "next": None}
        assert made("show", short) == made("show", added["id"]) == added

        completed = made("complete", short)
        assert completed == added | {
            "status": "completed", "updated_at": completed["updated_at"],
        }  # fmt: skip
        assert completed["updated_at"] > added["updated_at"]
        assert made("list", "--status", "pending")["items"] == []
        assert made("list", "--status", "completed")["items"] == [completed]
        assert made("reopen", short)["status"] == "pending"

        edited = made("edit", short, "--title", "Buy oat milk", "--description", "")
        assert (edited["title"], edited["description"]) == ("Buy oat milk", None)
        assert made("delete", short) == {"deleted": added["id"]}
        assert made("list") == {"items": [], "next": None}

    def test_what_people_see(self, todo, made):
        """A table, with ids that can be typed, and nothing of what is empty."""
        code, out, _ = todo("add", "Buy milk")
        assert code == 0
        head, line = out.splitlines()
        assert head.split() == ["id", "status", "title", "added"]
        short, status, *title, _date, _time = line.split()
        assert (status, title) == ("pending", ["Buy", "milk"])
        assert re.fullmatch(r"[0-9a-f]{8}", short)

        assert todo("complete", short[:4])[0] == 0
        assert "completed" in todo("list")[1]
        shown = todo("show", short)[1]
        assert "title        Buy milk\n" in shown
        assert "description" not in shown
        assert todo("delete", short)[1].startswith("deleted:\n")
        assert todo("list")[1] == "no tasks\n"

    def test_pages(self, todo, made):
        """A page says how to go on, in words and in JSON."""
        for number in range(3):
            made("add", f"task {number}")
        first = made("list", "--limit", 2)
        assert todo("list", "--limit", 2)[1].splitlines()[-1] == f"more: --after {first['next']}"
        rest = made("list", "--limit", 2, "--after", first["next"])

        assert [task["title"] for task in first["items"] + rest["items"]] == [
            "task 2", "task 1", "task 0",
        ]  # fmt: skip
        assert rest["next"] is None

    def test_users(self, made, todo, clean_environment):
        """Each name has tasks of its own, always the same; without one, whoever is logged in."""
        clean_environment.setattr(getpass, "getuser", lambda: "ann")
        task = made("add", "Ann's")
        made("add", "Bob's", "--user", "bob")

        assert made("list", "--user", "ann")["items"] == [task]
        assert made("list", "--user", task["user_id"])["items"] == [task]
        [bobs] = made("list", "--user", "bob")["items"]
        clean_environment.setenv("TODO_USER", "bob")
        assert made("list")["items"] == [bobs]
        for words in (["show"], ["complete"], ["reopen"], ["edit", "--title", "x"], ["delete"]):
            code, out, err = todo(*words, task["id"])
            assert (code, out, err) == (1, "", f"error: there is no task {task['id']}\n")

    def test_control_characters_are_not_obeyed(self, todo):
        """A title cannot colour, move or clear the terminal of its reader."""
        todo("add", "\x1b[2Jgone")

        assert "\x1b" not in todo("list")[1] + todo("list", "--json")[1]


def test_a_name_has_the_same_id_for_ever(made, file):
    """Or everybody's tasks would be gone after an update."""
    assert made("add", "x", "--user", "ann")["user_id"] == "10f720a8-4cfb-572e-ac2a-c24c0cfabb74"


def test_the_file_is_made_at_the_first_use(made, file):
    """With its folder, which is nobody else's to look into."""
    assert made("list") == {"items": [], "next": None}

    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    with sqlite3.connect(file) as connection:
        [head] = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    connection.close()
    assert head == "7d0c5be1f2a4"


def test_another_file(made, clean_environment, tmp_path, file):
    """DATABASE_URL may name one; its folder has to be there."""
    clean_environment.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/other.db")
    made("add", "Buy milk")

    assert (tmp_path / "other.db").exists()
    assert not file.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["add", ""], 2, "title: Title cannot be empty"),
        (["add", " \t", "--description", "x" * 1001], 2,
         "title: Title cannot be empty; description: String should have at most 1000 characters"),
        (["add", "x" * 201], 2, "title: String should have at most 200 characters"),
        (["add", "a\ud800"], 2, "title: Input should be a valid string"),
        (["add", "a", "--user", " "], 2, "user is ' '; it is an id or a printable name"),
        (["add", "a", "--user", "a\nb"], 2, r"user is 'a\nb'; it is an id or a printable name"),
        (["list", "--limit", "0"], 2, "limit is 0; it is between 1 and 10000"),
        (["list", "--after", "x"], 2, "after is 'x'; it is what the page before"),
        (["show", "xyz"], 2, "id is 'xyz'; it is the first digits of an id"),
        (["show", NOBODY], 1, f"there is no task {NOBODY}"),
        (["complete", "3f2a"], 1, "there is no task 3f2a"),
        (["reopen", "3f2a"], 1, "there is no task 3f2a"),
        (["edit", "3f2a", "--title", "x"], 1, "there is no task 3f2a"),
        (["delete", "3f2a"], 1, "there is no task 3f2a"),
    ],
)  # fmt: skip
def test_errors_are_one_line(todo, file, arguments, code, says):
    """1 for what failed and 2 for wrong use, in one line; the same in JSON with --json."""
    ended, out, err = todo(*arguments)
    assert (ended, out, err.count("\n")) == (code, "", 1)
    assert err.startswith(f"error: {says}")

    ended, out, err = todo(*arguments, "--json")
    assert (ended, out) == (code, "")
    assert json.loads(err)["error"].startswith(says)


def test_an_edit_of_nothing(todo, made, file):
    """It is said what could be changed."""
    short = made("add", "Buy milk")["id"][:8]

    assert todo("edit", short) == (
        2, "", "error: nothing is to be changed: give a title, a description, or both\n",
    )  # fmt: skip


def test_two_tasks_that_begin_alike(todo, made, file):
    """More of the id has to be given."""
    for number in range(17):  # more than there are digits
        made("add", f"task {number}")
    answers = [todo("show", digit) for digit in "0123456789abcdef"]

    assert any(
        err.endswith("several tasks begin so: write more of it\n") and code == 2
        for code, _, err in answers
    )


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--bogus"],
        ["fly"],
        ["add"],
        ["show"],
        ["list", "--status", "archived"],
        ["list", "--limit", "many"],
    ],
)
def test_wrong_use(todo, file, arguments):
    """A command that does not exist, lacks something, or has no number where one belongs."""
    assert todo(*arguments)[0] == 2
    assert not file.exists()


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS)])
def test_help_has_an_example(todo, file, words):
    """Each command says how it is used, and ends with a line that can be copied."""
    code, out, _ = todo(*words, "--help")

    assert code == 0
    assert "For example: " in " ".join(out.split())
    assert not file.exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json(todo, file, name):
    """And says so."""
    assert "--json" in todo(name, "--help")[1]


def test_completion(file):
    """A shell that asks is told the commands."""
    asked = {"_TODO_COMPLETE": "complete_bash", "COMP_WORDS": "todo re", "COMP_CWORD": "1"}
    program = "import sys; sys.argv[0] = 'todo'; from todo.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | asked, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ran.stdout.split() == ["reopen"]


class TestMigrate:
    """`todo migrate`."""

    def test_it_says_what_it_did(self, todo, made, clean_environment, empty_clone):
        """From where to where; again, that there is nothing to do."""
        clean_environment.setenv("DATABASE_URL", empty_clone.app)
        clean_environment.setenv("DATABASE_OWNER_URL", empty_clone.owner)
        code, out, _ = todo("migrate")
        assert code == 0
        assert f"{empty_clone.name} migrated from nothing to 7d0c5be1f2a4 in " in out

        assert made("migrate")["before"] == made("migrate")["after"] == ["7d0c5be1f2a4"]
        assert todo("migrate")[1].endswith("is at 7d0c5be1f2a4: nothing to migrate\n")

    def test_a_file(self, todo, file):
        """One of one's own is made by it, too."""
        assert "migrated from nothing" in todo("migrate")[1]
        assert file.exists()

    @pytest.mark.parametrize("words", [["list"], ["add", "x"]])
    def test_postgresql_is_not_migrated_by_itself(
        self, todo, clean_environment, empty_clone, words
    ):
        """It may be others': what to do is said."""
        clean_environment.setenv("DATABASE_URL", empty_clone.owner)
        code, out, err = todo(*words)

        assert (code, out, err.count("\n")) == (1, "", 1)
        assert err.endswith("its tables are not those of this version: todo migrate\n")


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("words", [["list"], ["migrate"]])
def test_an_unreachable_database_is_one_line(todo, clean_environment, words, options):
    """It names host, port and database and never the password."""
    clean_environment.setenv("DATABASE_URL", f"postgresql://ann:{SECRET}@127.0.0.1:1/tasks")

    code, out, err = todo(*words, *options)

    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "127.0.0.1:1/tasks" in err
    assert SECRET not in err


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("sqlite:////no/such/folder/todo.db", 1, "/no/such/folder/todo.db"),
        ("nothing", 2, "DATABASE_URL: "),
    ],
)
def test_a_wrong_url_is_one_line(todo, clean_environment, url, code, says):
    """It says which."""
    clean_environment.setenv("DATABASE_URL", url)

    ended, out, err = todo("list")

    assert (ended, out, err.count("\n")) == (code, "", 1)
    assert says in err


def test_a_file_of_something_else_is_left_alone(todo, clean_environment, tmp_path):
    """One that is no database, and one that another program migrates."""
    broken = tmp_path / "broken.db"
    broken.write_text("no database, but a text that is long enough to be one")
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.execute("INSERT INTO alembic_version VALUES ('theirs')")
    connection.close()
    for file, says in ((broken, "not a database"), (other, "theirs")):
        before = file.read_bytes()
        clean_environment.setenv("DATABASE_URL", f"sqlite:///{file}")
        config.get_settings.cache_clear()
        code, out, err = todo("add", "x")
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert says in err
        assert file.read_bytes()[100:] == before[100:]


def test_nobody_is_logged_in(todo, file, clean_environment):
    """As in some containers: it is said how to name a user."""

    def nobody() -> str:
        raise OSError("No username set in the environment")

    clean_environment.setattr(getpass, "getuser", nobody)

    assert todo("list") == (
        2, "", "error: nobody is logged in: give --user NAME, or set TODO_USER\n",
    )  # fmt: skip
    assert todo("list", "--user", "ann")[0] == 0


async def test_a_status_of_a_newer_release(todo, made, on_clone, clone):
    """It is listed with its text, and the task can be edited."""
    task = await asyncio.to_thread(made, "add", "Buy milk")
    async with Database(clone.app) as db, db.begin() as session:
        await session.execute(text("UPDATE tasks SET status = 'archived'"))

    code, out, _ = await asyncio.to_thread(todo, "list")
    assert (code, "archived" in out) == (0, True)
    edited = await asyncio.to_thread(made, "edit", task["id"], "--title", "Buy oat milk")
    assert (edited["title"], edited["status"]) == ("Buy oat milk", "archived")


@pytest.mark.parametrize(
    ("output", "code", "says"), [(">/dev/full", 1, "No space left on device"), (">&-", 0, "")]
)
def test_an_output_that_cannot_be_written(file, output, code, says):
    """A full disk is a failure in one line; output that nobody asked for is no failure."""
    shell = ["sh", "-c", f'exec "$@" {output}', "sh", sys.executable, "-m", "todo"]
    run = subprocess.run(
        [*shell, "add", "x", "--json"],
        env=os.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (run.returncode, run.stderr.count("\n")) == (code, code)
    assert says in run.stderr


def test_user_ids_are_uuids(made, file):
    """An id that is given is taken as it is."""
    given = uuid.uuid4()

    assert made("add", "x", "--user", given)["user_id"] == str(given)
