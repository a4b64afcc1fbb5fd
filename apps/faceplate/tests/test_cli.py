"""The command `faceplate`: what it prints, as text and as JSON, and how it ends."""

import asyncio
import io
import json
import os
import subprocess
import sys
import uuid

import pytest
from sqlalchemy import text

from faceplate import cli, config
from faceplate.cli.hiding import hide_secrets
from holdfast.database import Database

SECRET = "hunter2-the-secret"
DEEP = "[" * 100_000
CALLS = [{"id": "c", "function": {"name": "scan", "arguments": "{}"}}]


@pytest.fixture
def command(clean_environment, monkeypatch, capsys):
    """Give a function that runs the command and returns its exit code, output and errors."""

    def run(*arguments, stdin=""):
        monkeypatch.setattr(sys, "argv", ["faceplate", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture
def faceplate(on_clone, command):
    """Give the same on a database of the test's own."""
    return command


@pytest.fixture
def made(faceplate):
    """Give a function that runs a command with --json and returns what it printed."""

    def run(*arguments, stdin=""):
        code, out, err = faceplate(*arguments, "--json", stdin=stdin)
        assert (code, err) == (0, "")
        return json.loads(out)

    return run


@pytest.fixture
def ann(made):
    """Give a user as the command prints it."""
    return made("users", "create", "--email", "ann@example.test", "--subject", "oidc|ann")


@pytest.fixture
def chat(made, ann):
    """Give the id of a conversation of three messages."""
    conversation = made("conversations", "create", "ann@example.test", "--title", "Day 1")["id"]
    made("messages", "create", conversation, "Scan it.")
    made(
        "messages", "create", conversation, "--role", "assistant", "--tool-calls", json.dumps(CALLS)
    )
    made("messages", "create", conversation, "-", "--role", "assistant", stdin="3 ports ☃\n")
    return conversation


def test_users(faceplate, made, ann):
    """A user is made, listed, shown by id and address, and deleted."""
    assert uuid.UUID(ann["id"]).version == 7
    assert made("users", "list") == {"items": [ann], "next": None}
    assert made("users", "show", ann["id"]) == made("users", "show", "ann@example.test") == ann
    code, out, _ = faceplate("users", "list")
    assert code == 0
    assert out.splitlines()[1].split()[:3] == [ann["id"], "ann@example.test", "oidc|ann"]

    assert made("users", "delete", "ann@example.test") == {"deleted": ann["id"]}
    assert made("users", "list")["items"] == []


def test_conversations(made, ann, chat):
    """A conversation is made, listed, shown, renamed and deleted."""
    [listed] = made("conversations", "list", "ann@example.test")["items"]
    assert (listed["id"], listed["title"]) == (chat, "Day 1")
    assert made("conversations", "show", chat) == listed
    renamed = made("conversations", "rename", chat, "Day 2")
    assert renamed["title"] == "Day 2"
    assert renamed["updated_at"] > listed["updated_at"]
    assert made("conversations", "delete", chat) == {"deleted": chat}
    assert made("conversations", "list", ann["id"])["items"] == []


def test_messages(faceplate, made, chat):
    """Messages are listed in their order, from arguments and from a pipe, shown and deleted."""
    listed = made("messages", "list", chat)["items"]
    assert [(each["role"], each["content"], each["tool_calls"]) for each in listed] == [
        ("user", "Scan it.", None),
        ("assistant", None, CALLS),
        ("assistant", "3 ports ☃\n", None),
    ]
    assert made("messages", "show", listed[0]["id"]) == listed[0]
    code, out, _ = faceplate("messages", "show", listed[1]["id"])
    assert (code, "content" in out, '"name": "scan"' in out) == (0, False, True)
    assert made("messages", "delete", listed[0]["id"]) == {"deleted": listed[0]["id"]}
    assert len(made("messages", "list", chat)["items"]) == 2


def test_pages(faceplate, made, chat):
    """A page says how to go on, in words and in JSON."""
    first = made("messages", "list", chat, "--limit", 2)
    code, out, _ = faceplate("messages", "list", chat, "--limit", 2)
    assert code == 0
    assert out.splitlines()[-1] == f"more: --after {first['next']}"
    rest = made("messages", "list", chat, "--limit", 2, "--after", first["next"])
    assert [len(first["items"]), len(rest["items"]), rest["next"]] == [2, 1, None]


def test_context(faceplate, made, chat):
    """The end of a conversation is printed within either limit and in either order."""
    last = made("context", chat, "--messages", 2)
    assert [each["content"] for each in last] == [None, "3 ports ☃\n"]
    assert made("context", chat, "--messages", 2, "--newest-first") == last[::-1]
    assert [each["content"] for each in made("context", chat, "--characters", 10)] == [
        "3 ports ☃\n"
    ]
    code, out, _ = faceplate("context", chat, "--messages", 3)
    assert (code, len(out.splitlines()) >= 4) == (0, True)


CONFIG = {
    "command": "scanner",
    "args": ["--url", f"https://ann:{SECRET}@tools.test/", "--token", SECRET, f"--key={SECRET}"],
    "env": {"ANYTHING": SECRET},
    "headers": {"X": [SECRET, None]},
    "apiToken": SECRET,
    "retries": 3,
}


def test_configs(made, ann):
    """A configuration is made, listed, switched off and on, and deleted."""
    stored = made("configs", "create", "ann@example.test", "scanner", "--config", '{"a": 1}')
    assert (stored["name"], stored["config"], stored["enabled"]) == ("scanner", {"a": 1}, True)
    assert made("configs", "list", ann["id"]) == [stored]
    assert made("configs", "disable", stored["id"])["enabled"] is False
    assert made("configs", "enable", stored["id"])["enabled"] is True
    assert made("configs", "delete", stored["id"]) == {"deleted": stored["id"]}
    assert made("configs", "list", ann["id"]) == []


def test_secrets_of_configs_are_not_shown(faceplate, made, ann):
    """Tokens and passwords are hidden in every output, unless they are asked for by name."""
    given = json.dumps(CONFIG)
    stored = made(
        "configs", "create", "ann@example.test", "s", "--config", "-", "--disabled", stdin=given
    )
    for words in (["list", ann["id"]], ["show", stored["id"]], ["enable", stored["id"]]):
        for options in ([], ["--json"]):
            code, out, err = faceplate("configs", *words, *options)
            assert code == 0
            assert SECRET not in out + err
            assert "scanner" in out
    assert stored["config"]["env"] == {"ANYTHING": "***"}
    assert stored["config"]["headers"] == {"X": ["***", None]}
    assert stored["config"]["retries"] == 3
    assert made("configs", "show", stored["id"], "--show-secrets")["config"] == CONFIG


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--token", SECRET, "--verbose"], ["--token", "***", "--verbose"]),
        (["-api-key", f"-{SECRET}", "run"], ["-api-key", "***", "run"]),
        ([f"--token={SECRET}", "run"], ["--token=***", "run"]),
        (["-e", f"API_KEY={SECRET}"], ["-e", "API_KEY=***"]),
        (["--header", f"Authorization: Bearer {SECRET}"], ["--header", "Authorization: ***"]),
        ([f"--header=X-Auth:{SECRET}"], ["--header=X-Auth:***"]),
        ([f"--db=postgres://ann:{SECRET}@h/x"], ["--db=postgres://ann:***@h/x"]),
        (["--auth", "--port", "80"], ["--auth", "--port", "80"]),
        (["--secret", 4711, {"key": SECRET}], ["--secret", "***", {"key": "***"}]),
        (["token", "a=b", "https://h/x?y=z", None], ["token", "a=b", "https://h/x?y=z", None]),
    ],
)
def test_secrets_among_arguments(arguments, shown):
    """What an argument calls a secret is hidden, and the other arguments are not."""
    assert hide_secrets({"args": arguments}) == {"args": shown}


def test_migrate(faceplate, made, on_clone):
    """A database at the newest revision says so."""
    assert made("migrate")["after"] == ["001"]
    code, out, _ = faceplate("migrate")
    assert (code, out.endswith(f"{on_clone.name} is at 001: nothing to migrate\n")) == (0, True)


def test_migrate_an_empty_database(faceplate, monkeypatch, empty_clone):
    """An empty one is migrated, and it is said from where to where."""
    config.get_settings.cache_clear()
    monkeypatch.setenv("DATABASE_OWNER_URL", empty_clone.owner)
    code, out, _ = faceplate("migrate")

    assert code == 0
    assert "migrated from nothing to 001 in " in out


NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["users", "show", NOBODY], 1, f"there is no user {NOBODY}"),
        (["users", "show", "bob@example.test"], 1, "there is no user bob@example.test"),
        (["users", "show", "bob"], 2, "email is 'bob'; an address looks like ann@example.com"),
        (["users", "delete", NOBODY], 1, f"there is no user {NOBODY}"),
        (["users", "create", "--email", "x", "--subject", "s"], 2, "email is 'x'; an address"),
        (["users", "list", "--limit", "0"], 2, "limit is 0; it is between 1 and 10000"),
        (["users", "list", "--after", "x"], 2, "after is 'x'; it is what the page before"),
        (["conversations", "show", NOBODY], 1, f"there is no conversation {NOBODY}"),
        (["conversations", "create", "bob@example.test"], 1, "there is no user bob@example.test"),
        (["conversations", "rename", NOBODY, ""], 2, "title is ''; it has 1 to 255 printable"),
        (["messages", "create", NOBODY, "x"], 1, f"there is no conversation {NOBODY}"),
        (["messages", "create", NOBODY, "x", "--role", "robot"], 2, "role is 'robot'; it is one"),
        (["messages", "create", NOBODY], 2, "nothing is said: give a text, --tool-calls or"),
        (["messages", "create", NOBODY, "--tool-calls", "[{}]"], 2, "tool_calls[0].id: field req"),
        (["messages", "create", NOBODY, "--tool-calls", "["], 2, "--tool-calls: it is no JSON: "),
        (["messages", "create", NOBODY, "--tool-calls", DEEP], 2, "--tool-calls: it is nested too"),
        (["messages", "show", NOBODY], 1, f"there is no message {NOBODY}"),
        (["configs", "show", NOBODY], 1, f"there is no configuration {NOBODY}"),
        (["context", NOBODY], 2, "a context needs a limit: messages, characters, or both"),
    ],
)
def test_errors_are_one_line(faceplate, arguments, code, says):
    """1 for what failed and 2 for wrong use, in one line; the same in JSON with --json."""
    ended, out, err = faceplate(*arguments)
    assert (ended, out, err.count("\n")) == (code, "", 1)
    assert err.startswith(f"error: {says}")

    ended, out, err = faceplate(*arguments, "--json")
    assert (ended, out) == (code, "")
    assert json.loads(err)["error"].startswith(says)


def test_what_is_taken_is_one_line(faceplate, ann):
    """A user or configuration that is there already is a failure, without a traceback."""
    again = ("users", "create", "--email", "ann@example.test", "--subject", "other")
    assert faceplate(*again) == (
        1,
        "",
        "error: e-mail 'ann@example.test' belongs to another user\n",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bogus"],
        ["users"],
        ["users", "fly"],
        ["users", "create", "--email", "ann@example.test"],
        ["conversations", "show", "not-an-id"],
        ["context", NOBODY, "--messages", "many"],
        [],
    ],
)
def test_wrong_use(command, arguments):
    """A command that does not exist, lacks something, or has no id where one belongs."""
    assert command(*arguments)[0] == 2


EVERY = ["users", "conversations", "messages", "configs"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["migrate"],
        ["context"],
        *([group] for group in EVERY),
        *([group, each] for group in EVERY for each in ("create", "list", "show", "delete")),
    ],
)
def test_help_has_an_example(command, words):
    """Each command says how it is used, and ends with a line that can be copied."""
    code, out, _ = command(*words, "--help")

    assert code == 0
    assert words in [[], ["users"], ["conversations"], ["messages"], ["configs"]] or (
        "For example: " in " ".join(out.split())
    )


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("words", [["users", "list"], ["migrate"]])
def test_an_unreachable_database_is_one_line(*, command, monkeypatch, words, options):
    """It names host, port and database and never the password."""
    config.get_settings.cache_clear()
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL"):
        monkeypatch.setenv(name, f"postgresql://ann:{SECRET}@127.0.0.1:1/range")

    code, out, err = command(*words, *options)

    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "127.0.0.1:1/range" in err
    assert SECRET not in err


OTHER = "; its tables are not those of this version: faceplate migrate"
NO_TABLE = f'relation "faceplate.users" does not exist{OTHER}'
NO_COLUMN = f"column users.subject_id does not exist{OTHER}"
RENAME = "ALTER TABLE faceplate.users RENAME subject_id TO subject"
REVOKE = "REVOKE INSERT ON faceplate.users FROM app"
CREATE = ["users", "create", "--email", "bob@example.test", "--subject", "bob"]


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize(
    ("change", "words", "says"),
    [
        ("DROP TABLE faceplate.users CASCADE", ["users", "list"], NO_TABLE),
        ("DROP TABLE faceplate.users CASCADE", CREATE, NO_TABLE),
        ("DROP SCHEMA faceplate CASCADE", ["users", "list"], NO_TABLE),
        (RENAME, ["users", "list"], NO_COLUMN),
        (REVOKE, CREATE, "permission denied for table users"),
    ],
)
async def test_what_the_database_refuses_is_one_line(
    *, faceplate, clone, change, words, says, options
):
    """It has what the server said, without a traceback; of other tables, how to get them."""
    async with Database(clone.owner) as owner, owner.begin() as session:
        await session.execute(text(change))

    code, out, err = await asyncio.to_thread(faceplate, *words, *options)

    assert (code, out, err.count("\n")) == (1, "", 1)
    assert says in (json.loads(err)["error"] if options else err)


async def test_a_connection_that_is_lost_is_one_line(command, clean_environment, faults):
    """A command that reads is not run again; what happened is said, without a traceback."""
    clean_environment.setenv("DATABASE_URL", faults.url)
    faults.drop_connection(at="SELECT faceplate")

    code, out, err = await asyncio.to_thread(command, "users", "list")

    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("error: the database said: connection was closed")


def test_control_characters_are_not_obeyed(faceplate, made, chat):
    """A message cannot colour, move or clear the terminal of its reader."""
    message = made("messages", "create", chat, "\x1b[2Jgone\x07 [red]\nline\x9b2")["id"]

    for words in (["list", chat], ["show", message]):
        _, out, _ = faceplate("messages", *words)
        assert r"\u001b[2Jgone\u0007 [red] line\u009b2" in " ".join(out.split())


@pytest.mark.parametrize(
    ("given", "says"),
    [("<&-", "the standard input is closed, and - reads it"), ("", "the standard input is no utf")],
)
def test_an_input_that_cannot_be_read(on_clone, given, says):
    """A closed standard input, or one that is no text, is wrong use in one line."""
    shell = ["sh", "-c", f'exec "$@" {given}', "sh", sys.executable, "-m", "faceplate"]
    run = subprocess.run(
        [*shell, "messages", "create", NOBODY, "-"],
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        input=b"\xff",
        capture_output=True,
        check=False,
    )

    assert (run.returncode, run.stderr.decode().count("\n")) == (2, 1)
    assert says in run.stderr.decode()


def test_without_a_database_it_says_what_to_set(command):
    """No DATABASE_URL is wrong use, in one line with what to do."""
    code, out, err = command("users", "list")

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: DATABASE_URL: it is not set; it is a URL such as ")


@pytest.mark.parametrize(
    ("output", "code", "says"), [(">/dev/full", 1, "No space left on device"), (">&-", 0, "")]
)
def test_an_output_that_cannot_be_written(on_clone, output, code, says):
    """A full disk is a failure in one line; output that nobody asked for is no failure."""
    shell = ["sh", "-c", f'exec "$@" {output}', "sh", sys.executable, "-m", "faceplate"]
    run = subprocess.run(
        [*shell, "users", "list", "--json"],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.returncode, run.stderr.count("\n")) == (code, code)
    assert says in run.stderr
