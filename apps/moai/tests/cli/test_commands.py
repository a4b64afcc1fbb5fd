"""The command `moai` in an empty folder: what it prints, as text and as JSON, and how it ends."""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from typer.main import get_command

from holdfast.database import Database
from moai.cli.commands import app
from moai.core.database import ALEMBIC_INI

NOBODY = "019a0000-0000-7000-8000-000000000001"


@pytest.fixture
def caching(made):
    """Give a project of two models, as the command prints it."""
    return made("projects", "create", "Caching", "--model", "claude", "--model", "gpt")


@pytest.fixture
def talk(made, caching):
    """Give the id of a discussion with a round."""
    talk = made("discussions", "open", "Caching", "Should answers be cached?")["id"]
    made("rounds", "add", talk)
    return talk


def test_it_needs_no_configuration(moai, made):
    """The first command in an empty folder makes ./moai.db, at the newest revision."""
    assert list(Path().iterdir()) == []
    assert made("projects", "list") == {"items": [], "next": None}

    assert Path("moai.db").stat().st_size > 0
    alembic = [Path(sys.executable).with_name("alembic"), "-c", ALEMBIC_INI, "current"]
    done = subprocess.run(alembic, capture_output=True, text=True, check=True)
    assert "001 (head)" in done.stdout


def test_projects(moai, made, caching):
    """A project is made, listed, shown, changed and deleted."""
    assert uuid.UUID(caching["id"]).version == 7
    assert (caching["name"], caching["models"]) == ("Caching", ["claude", "gpt"])
    assert made("projects", "list") == {"items": [caching], "next": None}
    assert made("projects", "show", "Caching") == made("projects", "show", caching["id"]) == caching
    changed = made(
        "projects", "change", "Caching", "--name", "Cache", "--add", "o", "--remove", "gpt"
    )
    assert (changed["name"], changed["models"]) == ("Cache", ["claude", "o"])
    assert made("projects", "delete", "Cache") == {"deleted": caching["id"]}
    assert made("projects", "list")["items"] == []


def test_discussions(moai, made, caching):
    """One is opened, listed, ended, opened again and deleted."""
    opened = made("discussions", "open", "Caching", "-", "--kind", "consensus", stdin="Cache?\n")
    assert (opened["question"], opened["kind"], opened["status"]) == (
        "Cache?", "consensus", "active",
    )  # fmt: skip
    assert made("discussions", "list", "Caching") == {"items": [opened], "next": None}
    assert made("discussions", "complete", opened["id"])["completed_at"] is not None
    assert made("discussions", "list", "Caching", "--status", "active")["items"] == []
    assert made("discussions", "reopen", opened["id"]) == opened
    assert made("discussions", "abandon", opened["id"])["status"] == "abandoned"
    assert made("discussions", "delete", opened["id"]) == {"deleted": opened["id"]}
    assert made("discussions", "list", caching["id"])["items"] == []


def test_rounds_and_messages(moai, made, talk):
    """They are added, from arguments and from a pipe, and listed."""
    second = made("rounds", "add", talk, "--kind", "sequential")
    assert (second["number"], second["kind"]) == (2, "sequential")
    said = made("messages", "add", talk, "claude", "Yes.", "--round", 1)
    piped = made("messages", "add", talk, "gpt", "-", "--direct", stdin="No ☃.\n\n")
    assert (said["content"], said["is_direct"]) == ("Yes.", False)
    assert (piped["content"], piped["is_direct"]) == ("No ☃.\n", True)

    assert [each["number"] for each in made("rounds", "list", talk)["items"]] == [1, 2]
    assert made("messages", "list", talk)["items"] == [piped]
    assert made("messages", "list", talk, "--round", 1)["items"] == [said]
    code, out, _ = moai("messages", "list", talk)
    assert code == 0
    assert out.splitlines()[1].split()[2:6] == ["gpt", "yes", "No", "☃."]


def test_consensus(moai, made, refused, talk):
    """It is written once."""
    written = made(
        "consensus", "write", talk, "--by", "claude", "--summary", "-",
        "--agreement", "One.", "--agreement", "Two.", "--disagreement", "Three.",
        stdin="Cache them.",
    )  # fmt: skip
    assert written["agreements"] == ["One.", "Two."]
    assert written["disagreements"] == ["Three."]
    assert (written["summary"], written["generated_by"]) == ("Cache them.", "claude")
    again = refused("consensus", "write", talk, "--by", "gpt", "--summary", "No.")
    assert again == (
        1, f"discussion {talk} has a consensus already, by claude; it is written once",
    )  # fmt: skip


def test_show(moai, made, talk):
    """As Markdown for people, and as one document with all that is in it."""
    made("messages", "add", talk, "claude", "# Yes")
    code, out, err = moai("show", talk)
    assert (code, err) == (0, "")
    assert out.startswith("# Should answers be cached?\n\n- Project: Caching\n")
    assert "\n## Round 1, parallel\n\n### claude (" in out
    assert "\n> # Yes\n" in out

    tree = made("show", talk)
    assert (tree["question"], tree["project"]["name"]) == ("Should answers be cached?", "Caching")
    assert [each["content"] for each in tree["rounds"][0]["messages"]] == ["# Yes"]
    assert tree["consensus"] is None
    made("consensus", "write", talk, "--by", "claude", "--summary", "Cache them.")
    assert made("show", talk)["consensus"]["summary"] == "Cache them."


LINES = (
    '{"type": "project", "name": "Imported", "models": ["claude"]}\n'
    '{"type": "discussion", "question": "Cache?"}\n'
    '{"type": "round"}\n'
    '{"type": "message", "model": "claude", "content": "Yes."}\n'
)


@pytest.mark.parametrize("given", ["file", "stdin"])
def test_import(moai, made, given):
    """From a file and from the standard input; the answer says what there was, and where."""
    Path("talk.jsonl").write_text(LINES)
    arguments, stdin = (["talk.jsonl"], "") if given == "file" else (["-"], LINES)
    done = made("import", *arguments, stdin=stdin)
    counts = {each: done[each] for each in ("projects", "discussions", "rounds", "messages")}

    assert counts == {"projects": 1, "discussions": 1, "rounds": 1, "messages": 1}
    assert made("show", done["discussion_id"])["project"]["name"] == "Imported"


def test_import_into_what_is_there(made, talk):
    """Messages into a discussion, and discussions into a project."""
    message = '{"type": "message", "model": "gpt", "content": "No."}'
    assert made("import", "-", "--discussion", talk, stdin=message)["messages"] == 1
    more = '{"type": "discussion", "question": "More?"}'
    assert made("import", "-", "--project", "Caching", stdin=more)["discussions"] == 1
    assert len(made("discussions", "list", "Caching")["items"]) == 2


@pytest.mark.parametrize("line", range(1, 6))
def test_import_names_the_line(made, refused, line):
    """Of a file by its name, of the standard input as such; nothing is stored."""
    lines = LINES.splitlines()
    lines.insert(line - 1, '{"type": "message"}')
    Path("talk.jsonl").write_text("\n".join(lines))
    says = f"line {line}: model: it is missing; content: it is missing; nothing was imported"
    assert refused("import", "talk.jsonl") == (2, f"talk.jsonl, {says}")
    assert refused("import", "-", stdin="\n".join(lines)) == (2, f"standard input, {says}")
    assert made("projects", "list")["items"] == []


def test_import_of_what_cannot_be_read(refused, moai):
    """No file, a folder, no rights, and a closed standard input."""
    Path("folder").mkdir()
    assert refused("import", "nothing.jsonl") == (2, "nothing.jsonl: No such file or directory")
    assert refused("import", "folder") == (2, "folder: Is a directory")


def test_a_named_pipe_is_read_once(made):
    """What cannot be read twice is kept meanwhile."""
    os.mkfifo("pipe")
    with subprocess.Popen(["sh", "-c", "cat > pipe"], stdin=subprocess.PIPE, text=True) as writer:
        writer.stdin.write(LINES)
        writer.stdin.close()
        assert made("import", "pipe")["messages"] == 1


def test_pages(moai, made, caching):
    """A page says how to go on, in words and in JSON."""
    made("projects", "create", "Other")
    first = made("projects", "list", "--limit", 1)
    code, out, _ = moai("projects", "list", "--limit", 1)
    assert code == 0
    assert out.splitlines()[-1] == f"more: --after {first['next']}"
    rest = made("projects", "list", "--after", first["next"])
    assert [each["name"] for each in [*first["items"], *rest["items"]]] == ["Caching", "Other"]
    assert rest["next"] is None


def test_text_for_people(moai, caching):
    """A line for each column, and a table with a head."""
    code, out, _ = moai("projects", "show", "Caching")
    assert code == 0
    assert out.splitlines()[:3] == [
        f"id          {caching['id']}", "name        Caching", "models      claude, gpt",
    ]  # fmt: skip
    _, out, _ = moai("projects", "list")
    head, row = out.splitlines()
    assert head.split() == ["id", "name", "models", "created_at"]
    assert row.split()[:4] == [caching["id"], "Caching", "claude,", "gpt"]


WRONG = [
    (["discussions", "open", "Caching", ""], "question: it is empty or blank; give it a text tha"),
    (["discussions", "open", "Caching", " \n"], "question: it is empty or blank"),
    (["discussions", "open", "Nothing", "?"], "there is no project 'Nothing'; see: moai projects"),
    (["discussions", "open", "Caching", "?", "--kind", "x"], "kind: it is 'x', not open or conse"),
    (["discussions", "list", NOBODY], f"there is no project '{NOBODY}'"),
    (["discussions", "list", "Caching", "--status", "x"], "status: it is 'x', not active or comp"),
    (["discussions", "complete", "x"], "discussion is 'x', which is no id; one has 36 character"),
    (["discussions", "complete", NOBODY], f"there is no discussion {NOBODY}; see: moai discussi"),
    (["rounds", "add", NOBODY], f"there is no discussion {NOBODY}"),
    (["rounds", "add", "x"], "discussion is 'x', which is no id"),
    (["messages", "add", NOBODY, "claude", "Yes."], f"there is no discussion {NOBODY}"),
    (["messages", "add", NOBODY, "", ""], "model: it is empty or blank; give it a text that can"),
    (["consensus", "write", "x", "--by", "", "--summary", ""], "summary: it is empty or blank; g"),
    (["show", "x"], "discussion is 'x', which is no id"),
    (["show", NOBODY], f"there is no discussion {NOBODY}"),
    (["projects", "create", "a\nb"], "name: it has 1 to 200 printable characters, in one line"),
    (["projects", "show", "\udcff"], r"there is no project '\udcff'"),
    (["projects", "list", "--limit", "0"], "limit is 0; it is between 1 and 10000"),
    (["projects", "list", "--after", "x"], "after is 'x'; it is what the page before has given"),
    (["import", "-", "--project", "Caching", "--discussion", NOBODY], "name a project or a discu"),
]


@pytest.mark.parametrize(("arguments", "says"), WRONG)
def test_wrong_use_is_one_line(refused, caching, arguments, says):
    """With exit code 2, and with --json as one document on the error stream."""
    code, line = refused(*arguments)

    assert code == 2
    assert line.startswith(says)


def test_what_has_ended_is_a_failure(refused, made, talk):
    """With exit code 1: the command was right, and the discussion is not."""
    made("discussions", "complete", talk)
    for arguments in (
        ["rounds", "add", talk],
        ["messages", "add", talk, "claude", "Yes."],
        ["discussions", "abandon", talk],
        ["import", "-", "--discussion", talk],
    ):
        assert refused(*arguments) == (
            1, f"discussion {talk} is completed; to go on with it: moai discussions reopen {talk}",
        )  # fmt: skip


def test_a_round_that_is_not_there(refused, talk):
    """It is told like a wrong id."""
    code, line = refused("messages", "add", talk, "claude", "Yes.", "--round", 7)

    assert code == 2
    assert line == f"discussion {talk} has no round 7; begin one: moai rounds add {talk}"


def test_a_standard_input_that_is_no_text(refused, talk):
    """Bytes of something else, and one that is closed."""
    arguments = ("messages", "add", talk, "claude", "-")
    assert refused(*arguments, stdin=b"\xff") == (2, "the standard input is no UTF-8 text")
    closed = run('exec "$@" <&-', *arguments)
    assert closed == (2, "", "error: the standard input is closed, and - reads it\n")


def run(script, *arguments, **environ):
    """Run the command in a process of its own, as a shell does; give how it ended."""
    command = [sys.executable, "-m", "moai", *arguments]
    done = subprocess.run(
        ["sh", "-c", script, "sh", *command],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_an_output_that_cannot_be_written(moai, talk):
    """A full disk is a failure in one line."""
    code, _, err = run('exec "$@" > /dev/full', "show", talk)

    assert code == 1
    assert err.startswith("error: OSError: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("mysql://ann:hunter2@db/moai", 2, "error: MOAI_DATABASE_URL: database URL: the scheme"),
        ("postgresql://ann:hunter2@127.0.0.1:1/moai", 1, "error: PostgreSQL at 127.0.0.1:1/moai:"),
        ("sqlite:///no/such/folder/moai.db", 1, "error: SQLite at no/such/folder/moai.db:"),
    ],
)
def test_a_database_that_cannot_be_had(clean_environment, moai, url, code, says):
    """One line, without the password."""
    clean_environment.setenv("MOAI_DATABASE_URL", url)
    ended, out, err = moai("projects", "list")

    assert (ended, out, err.count("\n")) == (code, "", 1)
    assert err.startswith(says)
    assert "hunter2" not in err


def test_a_file_that_is_no_database(moai):
    """It is told, and stays as it is."""
    Path("moai.db").write_text("These are my notes. " * 100)
    code, out, err = moai("projects", "list")

    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "file is not a database" in err
    assert Path("moai.db").read_text().startswith("These are my notes.")


def test_a_database_of_a_newer_version(moai, made):
    """The command does not guess what its tables mean."""
    made("projects", "list")

    async def move_on():
        async with Database("sqlite:///moai.db") as db, db.engine.begin() as connection:
            await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '999'")

    asyncio.run(move_on())
    code, out, err = moai("projects", "list")

    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "the database is at revision '999'" in err


def test_nothing_in_a_text_is_obeyed(moai, made, caching):
    """What a model wrote does not move the cursor of whoever reads it."""
    nasty = "\x1b[2J\x9b\u202e\r\x07"
    talk = made("discussions", "open", "Caching", f"Why {nasty}?")["id"]
    made("rounds", "add", talk)
    made("messages", "add", talk, "claude", f"So {nasty}\n# not a heading")
    for arguments in (["show", talk], ["messages", "list", talk], ["show", talk, "--json"]):
        code, out, err = moai(*arguments)
        assert (code, err) == (0, "")
        assert not set("\x1b\x9b\u202e\r\x07") & set(out)
        assert "\\u001b[2J" in out


def commands():
    """Give every command by its words."""
    root = get_command(app)
    for name, group in root.commands.items():
        for each, command in getattr(group, "commands", {"": group}).items():
            yield " ".join(filter(None, [name, each])), command


@pytest.mark.parametrize(("words", "command"), [*commands()], ids=lambda each: str(each)[:30])
def test_every_command_has_help_with_an_example(moai, words, command):
    """What it does, what each argument is, and how it is called; and --json."""
    code, out, _ = moai(*words.split(), "--help")

    assert code == 0
    assert command.help
    assert f"moai {words}" in " ".join(out.split())
    assert command.epilog.startswith("For example: ")
    assert f"moai {words.split()[0]}" in command.epilog
    assert "--json" in out
    assert [each.name for each in command.params if not getattr(each, "help", "x")] == []


def test_help_without_a_command(moai):
    """It says what there is, and where everything is kept."""
    _, out, _ = moai("--help")

    said = " ".join(out.split())
    assert "./moai.db" in said
    assert "MOAI_DATABASE_URL" in said
    assert "--install-completion" in said
    assert all(name in said for name in ("projects", "discussions", "show", "import"))


def test_completion_is_there(clean_environment):
    """A shell that asks is told the commands, as Typer does it."""
    asked = {"_MOAI_COMPLETE": "complete_bash", "COMP_WORDS": "moai pro", "COMP_CWORD": "1"}
    done = subprocess.run(
        [Path(sys.executable).with_name("moai")],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["projects"]


def test_json_is_readable_by_programs(moai, caching):
    """Names as they are stored, and times as ISO 8601 with their zone."""
    _, out, _ = moai("projects", "show", "Caching", "--json")

    shown = json.loads(out)
    assert list(shown) == ["id", "name", "models", "created_at", "updated_at"]
    assert shown["created_at"].endswith("+00:00")
