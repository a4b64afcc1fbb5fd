import json
import shutil
import sys
from pathlib import Path

import pytest


def test_forward_and_back(shell, database_url):
    """`migrate` and `downgrade` move the database and say from where to where."""
    up = shell.json("migrate", "--url", database_url)
    again = shell.json("migrate", "--url", database_url)
    down = shell.json("downgrade", "base", "--url", database_url)

    assert (up["before"], up["after"]) == ([], ["001"])
    assert (again["before"], again["after"]) == (["001"], ["001"])
    assert (down["before"], down["after"]) == (["001"], [])


def test_words_for_people(shell, database_url):
    """Without --json a command prints one line."""
    first = shell("migrate", DATABASE_OWNER_URL=database_url)
    second = shell("migrate", DATABASE_URL=database_url)

    assert "migrated from nothing to 001" in first.stdout
    assert second.stdout.endswith("is at 001: nothing to migrate\n")


def test_which_url_comes_first(shell, database_url):
    """The direct one goes past a pooler, and the owner's may do what the application's may not."""
    away = "postgresql://app@127.0.0.1:1/shop"
    given = {"DIRECT_DATABASE_URL": database_url, "DATABASE_OWNER_URL": away, "DATABASE_URL": away}
    direct = shell.json("migrate", **given)
    owner = shell.json("migrate", DATABASE_OWNER_URL=database_url, DATABASE_URL=away)

    assert (direct["before"], direct["after"]) == ([], ["001"])
    assert owner["before"] == ["001"]


def test_the_url_of_the_ini_is_for_alembic_alone(shell, project):
    """`holdfast` asks the environment, as everything else of the project does."""
    ini = project / "alembic.ini"
    ini.write_text(f"{ini.read_text()}sqlalchemy.url = sqlite:///of_the_ini.db\n")

    assert "no database: set" in shell("migrate").stderr
    assert not (project / "of_the_ini.db").exists()


@pytest.mark.parametrize("name", ["DIRECT_DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_URL"])
def test_a_variable_that_holds_no_url(shell, name):
    """It is named, since nobody typed it."""
    done = shell("migrate", **{name: "postgres//ann:hunter2@db/shop"})

    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {name}: database URL: it cannot be read")
    assert "hunter2" not in done.stderr


def test_history(shell):
    """`history` lists revisions without a database."""
    listed = shell.json("history")
    printed = shell("history")

    assert [(each["revision"], each["message"]) for each in listed] == [("001", "Make items")]
    assert "001" in printed.stdout
    assert "Make items" in printed.stdout


def test_revision_writes_what_is_new(shell, project, database_url):
    """`revision` writes the difference between models and database, and nothing when equal."""
    shell.json("migrate", "--url", database_url)
    nothing = shell.json("revision", "-m", "nothing new", "--url", database_url)
    models = project / "models.py"
    models.write_text(models.read_text() + "    price: Mapped[int]\n")
    written = shell.json("revision", "-m", "add price", "--url", database_url)

    assert nothing["path"] is None
    assert "sa.Column('price', sa.Integer(), nullable=False)" in Path(written["path"]).read_text()
    moved = shell.json("migrate", "--url", database_url)
    assert moved["before"] == ["001"]
    assert moved["after"] != ["001"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["migrate", "--url", "mysql://u:hunter2@h/x"], 2, "the scheme 'mysql' is not known"),
        (["migrate", "--url", "nonsense"], 2, "it cannot be read"),
        (["migrate", "--url", "postgresql://u:hunter2@127.0.0.1:1/x"], 1, "refused"),
        (["migrate"], 2, "no database: set DATABASE_OWNER_URL or DATABASE_URL, give --url"),
        (["downgrade"], 2, "REVISION"),
        (["revision"], 2, "--message"),
        (["nonsense"], 2, "nonsense"),
        (["migrate", ""], 2, "REVISION"),
        (["downgrade", " "], 2, "REVISION"),
        (["downgrade", "nix", "--url", "sqlite://"], 1, "'nix'"),
        (["revision", "-m", " \n"], 2, "--message"),
    ],
)
def test_wrong_use(shell, arguments, code, words):
    """Wrong use ends with 2 and failure with 1, in words, without traceback or password."""
    done = shell(*arguments)

    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments", [["migrate", "nix"], ["migrate", "nix+1"], ["downgrade", "nix"]]
)
def test_an_unknown_revision(shell, project, database_url, arguments):
    """It says that no file has it, which are looked at, and how to list them."""
    done = shell(*arguments, "--url", database_url)

    assert done.returncode == 1
    assert f": there is no revision 'nix' beside {project}/alembic.ini: is it sp" in done.stderr
    assert done.stderr.endswith("List them: holdfast history\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["migrate"], ["migrate", "head"], ["downgrade", "base"], ["revision", "-m", "x"]]
)
def test_a_database_of_newer_code(shell, project, database_url, arguments):
    """A revision in the database that no file has is told apart from one that was asked for."""
    shell.json("migrate", "--url", database_url)
    first = project / "migrations" / "versions" / "001_items.py"
    first.write_text(first.read_text().replace('"001"', '"older"'))
    done = shell(*arguments, "--url", database_url)

    assert done.returncode == 1
    assert f": the database is at revision '001', and no file beside {project}/" in done.stderr
    assert "newer code, or that of another branch" in done.stderr
    assert done.stderr.endswith("holdfast history\n")
    assert done.stderr.count("\n") == 1


def test_the_beginning_of_several_revisions(shell, project, database_url):
    """It is no unknown one."""
    versions = project / "migrations" / "versions"
    text = (versions / "001_items.py").read_text()
    for number in (1, 2):
        (versions / f"{number}.py").write_text(text.replace('"001"', f'"abcd{number}"'))
    done = shell("migrate", "abcd", "--url", database_url)

    assert done.returncode == 1
    assert "'abcd' is the beginning of several revisions; list them" in done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[tool.holdfast\n", "it cannot be read"),
        ("[tool.holdfast]\nservises = []\n", "did you mean services?"),
        ('[tool.holdfast]\nservices = ["mysql"]\n', "services"),
        ("[tool.holdfast]\nalembic = 3\n", "alembic"),
        ("[tool]\nholdfast = 3\n", "is a table"),
    ],
)
def test_a_broken_section(shell, project, content, words):
    """A broken [tool.holdfast] is one error that names file and key."""
    (project / "pyproject.toml").write_text(content)
    done = shell("status")

    assert done.returncode == 2
    assert str(project / "pyproject.toml") in done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ("", "has to call migrate.run_env"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        ("import nothing_of_this_name\n", "nothing_of_this_name"),
    ],
)
def test_a_wrong_env_is_one_line(shell, project, database_url, env, words):
    """An env.py that forgets to migrate, ends the program or fails is a failure that says so."""
    (project / "migrations" / "env.py").write_text(env)
    done = shell("migrate", "--url", database_url)

    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_as_json(shell):
    """With --json an error is an object too, on the error stream."""
    done = shell("migrate", "--json")

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith('{"error": "no database')


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "nonsense"),
        (["status", "--nonsense"], "--nonsense"),
        (["downgrade"], "REVISION"),
        (["migrate", ""], "it is empty"),
        (["migrate", "a", "b"], "unexpected extra argument"),
    ],
)
def test_wrong_use_as_json(shell, arguments, says):
    """With --json wrong use is an object on the error stream as well."""
    done = shell(*arguments, "--json")

    assert (done.returncode, done.stdout) == (2, "")
    assert says in json.loads(done.stderr)["error"]


@pytest.mark.parametrize(
    "file", ["models.py", "migrations/env.py", "migrations/versions/001_items.py"]
)
def test_what_a_project_prints_stays_out_of_the_json(shell, project, database_url, file):
    """Whatever of the project's code prints, standard output is the one document."""
    path = project / file
    path.write_text(path.read_text() + "\nprint('noise')\n")
    calls = [["migrate"], ["revision", "-m", "more"], ["history"], ["downgrade", "base"]]
    calls = [[*call, "--json", *options(call, database_url)] for call in calls]
    done = [shell(*call) for call in calls]
    up = shell("up", "--json", DATABASE_URL=database_url, REDIS_URL="redis://localhost")

    assert [each.returncode for each in [*done, up]] == [0] * 5
    assert all(json.loads(each.stdout) for each in [*done, up])
    assert "noise" in up.stderr


def options(call: list[str], url: str) -> list[str]:
    return [] if call == ["history"] else ["--url", url]


@pytest.mark.parametrize("slug", ["abc", ""])
def test_a_wrong_value_in_alembic_ini(shell, project, slug):
    """It is an error that names the file."""
    with (project / "alembic.ini").open("a") as ini:
        ini.write(f"truncate_slug_length = {slug}\n")
    done = shell("history")

    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {project}/alembic.ini: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("module", "says"), [(None, "No module named 'shopware'"), ("raise SystemExit", "SystemExit")]
)
def test_a_package_of_migrations_that_cannot_be_imported(shell, project, module, says):
    """It is an error that names the file and what the import said."""
    ini = (project / "alembic.ini").read_text()
    (project / "alembic.ini").write_text(ini.replace("%(here)s/migrations", "shopware:migrations"))
    if module:
        (project / "shopware.py").write_text(module)
    done = shell("history")

    assert done.returncode == 2
    assert done.stderr == f"error: {project}/alembic.ini: {says}\n"


@pytest.mark.parametrize(
    ("raised", "kind"), [("Odd('why')", "Odd"), ("SystemExit('why')", "SystemExit")]
)
def test_a_migration_that_raises_what_nobody_catches(shell, project, database_url, raised, kind):
    """Its BaseException is a failure in one line as well."""
    script = project / "migrations" / "versions" / "001_items.py"
    script.write_text(script.read_text() + f"\nclass Odd(BaseException): pass\nraise {raised}\n")
    done = [shell("migrate", "--url", database_url), shell("history")]

    assert [each.returncode for each in done] == [1, 1]
    assert f"{kind}: why" in done[0].stderr
    assert "the migrations cannot be read: why" in done[1].stderr


def test_a_missing_alembic_ini_touches_no_database(shell, project):
    """Without its alembic.ini a command fails before SQLite makes a file."""
    (project / "alembic.ini").unlink()
    done = shell("migrate", "--url", "sqlite:///new.db")

    assert done.returncode == 2
    assert "alembic.ini: there is no such file" in done.stderr
    assert done.stderr.endswith("make one: alembic init migrations\n")
    assert not (project / "new.db").exists()


def test_a_folder_that_alembic_has_made(shell, project, database_url):
    """The guide's way to begin: `alembic init`, three lines of env.py, no URL in the file."""
    env = (project / "migrations" / "env.py").read_text()
    shutil.rmtree(project / "migrations")
    (project / "alembic.ini").unlink()
    done = shell.program([sys.executable, "-m", "alembic"], "init", "migrations")
    ini = (project / "alembic.ini").read_text()
    (project / "alembic.ini").write_text(ini.replace("\nsqlalchemy.url = ", "\n# "))
    (project / "migrations" / "env.py").write_text(env)
    written = shell.json("revision", "-m", "first tables", "--url", database_url)
    moved = shell.json("migrate", "--url", database_url)

    assert done.returncode == 0
    assert "op.create_table('items'" in Path(written["path"]).read_text()
    assert len(moved["after"]) == 1
