import asyncio
import json
import os
import signal

import asyncpg
import pytest
from sqlalchemy import URL, make_url

from holdfast.services import PostgresServer, remove


def test_up_detached_starts_and_migrates(shell, project, running):
    """`up --detach` leaves both servers running and the database at the newest revision."""
    told = shell.json("up", "--detach")

    assert running() == ["postgres", "redis"]
    assert [each["state"] for each in told["services"]] == ["started", "started"]
    assert told["migration"]["before"] == []
    assert told["migration"]["after"] == ["001"]
    assert make_url(told["urls"]["DATABASE_URL"]).database == "shop"
    assert told["data"] == str(project / ".holdfast")


def test_a_second_up_joins(shell):
    """A second `up` joins the servers and finds nothing to migrate."""
    first = shell.json("up", "--detach")
    second = shell.json("up", "--detach")

    assert [each["state"] for each in second["services"]] == ["joined", "joined"]
    assert [each["pid"] for each in second["services"]] == [e["pid"] for e in first["services"]]
    assert second["migration"]["before"] == second["migration"]["after"] == ["001"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_up_stays_until_it_is_told_to_stop(shell, running, number):
    """Ctrl-C, SIGTERM and a closed terminal end `up` with exit code 0; nothing is left running."""
    up = shell.start("up")
    assert any("Ctrl-C stops PostgreSQL and " in line for line in up.stdout)
    assert running() == ["postgres", "redis"]
    up.send_signal(number)
    _, errors = up.communicate(timeout=30)

    assert (up.returncode, errors) == (0, "")
    assert running() == []


def test_up_under_nohup_outlives_the_terminal(shell, running):
    """Where SIGHUP is ignored it stays ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        up = shell.start("up")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert any("Ctrl-C stops PostgreSQL and " in line for line in up.stdout)
    up.send_signal(signal.SIGHUP)
    assert running() == ["postgres", "redis"]
    up.send_signal(signal.SIGTERM)
    up.communicate(timeout=30)

    assert up.returncode == 0


def test_up_ends_when_a_server_dies(shell, running):
    """When a server is killed under it, `up` says so, stops the other one and fails."""
    up = shell.start("up")
    assert any("Ctrl-C" in line for line in up.stdout)
    pid = shell.json("status")[0]["pid"]
    os.kill(pid, signal.SIGKILL)
    _, errors = up.communicate(timeout=30)

    assert up.returncode == 1
    assert errors.startswith("error: PostgreSQL")
    assert "Traceback" not in errors
    assert running() == []


def test_a_joined_up_leaves_the_servers(shell, running):
    """Ctrl-C in an `up` that joined leaves the servers to who started them."""
    shell("up", "--detach")
    up = shell.start("up")
    assert any("Ctrl-C leaves them running" in line for line in up.stdout)
    up.send_signal(signal.SIGINT)
    up.communicate(timeout=30)

    assert up.returncode == 0
    assert running() == ["postgres", "redis"]


def test_down_stops_and_may_be_repeated(shell, running):
    """`down` stops what runs; a second one has nothing to do."""
    shell("up", "--detach")

    assert shell.json("down")["stopped"] == ["postgres", "redis"]
    assert running() == []
    assert shell.json("down")["stopped"] == []


def test_data_survives_and_can_be_removed(shell, project):
    """Data outlives `down`, and goes with `down --remove-data`."""
    shell("up", "--detach")
    shell("down")
    again = shell.json("up", "--detach")
    assert again["migration"]["before"] == ["001"]

    told = shell("down", "--remove-data").stdout

    assert not (project / ".holdfast" / "postgres").exists()
    assert told.endswith(f"their data and that of tests is gone from {project / '.holdfast'}\n")


def test_what_tests_keep_is_removed_with_the_data(shell, project):
    """Their server is stopped and its data deleted, and so are the SQLite files."""
    kept = project / ".holdfast" / "testing"
    asyncio.run(PostgresServer(kept).start(detach=True))
    (kept / "templates").mkdir()
    (kept / "templates" / "1.db").touch()

    done = shell("down", "--remove-data")

    assert done.returncode == 0, done.stderr
    assert not asyncio.run(PostgresServer(kept).attach())
    assert not (project / ".holdfast").exists()


def test_status_before_and_after(shell):
    """`status` ends with 1 while a server does not run, and with 0 when all do."""
    before = shell("status", "--json")
    shell("up", "--detach")
    after = shell("status", "--json")

    assert before.returncode == 1
    assert '"stopped"' in before.stdout
    assert after.returncode == 0
    assert '"running"' in after.stdout


def test_env_is_for_a_shell(shell):
    """`env` prints lines that a shell evaluates, with a URL for each role."""
    shell("up", "--detach")
    lines = shell("env").stdout.splitlines()
    urls = shell.json("env")

    assert all(line.startswith("export ") for line in lines)
    assert list(urls) == [
        "DATABASE_URL",
        "DATABASE_OWNER_URL",
        "DATABASE_READONLY_URL",
        "REDIS_URL",
    ]
    assert [make_url(url).username for url in list(urls.values())[:3]] == [
        "app",
        "owner",
        "readonly",
    ]


def test_env_without_servers_says_what_to_do(shell):
    """`env` fails in one line when nothing runs."""
    done = shell("env")

    assert done.returncode == 1
    assert done.stderr == (
        "error: nothing is running here; start the servers: holdfast up --detach\n"
    )


def test_tcp_on_request(shell):
    """`up --tcp` listens on loopback with a password that only `env` shows."""
    told = shell.json("up", "--detach", "--tcp")

    assert make_url(told["urls"]["DATABASE_URL"]).host == "127.0.0.1"
    assert "***" in told["urls"]["DATABASE_URL"]
    assert "***" in told["urls"]["REDIS_URL"]


def test_env_gives_the_addresses_of_tcp(shell):
    """After `up --tcp`, `env` has URLs with host and password, for programs that need them."""
    shell("up", "--detach", "--tcp")
    urls = shell.json("env")

    assert [make_url(url).host for url in urls.values()] == ["127.0.0.1"] * 4
    assert all(make_url(url).password not in {None, "***"} for url in urls.values())


def test_a_failed_detached_up_leaves_nothing_running(shell, project, running):
    """`up --detach` whose migration fails stops what it had started."""
    broken = project / "migrations" / "versions" / "001_items.py"
    broken.write_text(broken.read_text().replace("op.create_table(", "op.creat_table("))

    assert shell("up", "--detach").returncode == 1
    assert running() == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "host=h password=hunter2 dbnam=x"),
        ("DATABASE_URL", "postgresql://ann:hunter2@/x?host=h&port=abc"),
        ("REDIS_URL", "bogus-hunter2"),
    ],
)
@pytest.mark.parametrize("command", ["status", "up"])
def test_a_wrong_given_url_is_refused(shell, running, command, variable, value):
    """A URL of the environment that cannot be used is an error that does not show it."""
    done = shell(command, **{variable: value})

    assert done.returncode == 2
    assert "URL" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert running() == []


@pytest.mark.parametrize("arguments", [["status"], ["env"], ["up", "--detach"]])
def test_a_postgresql_that_answers_with_an_error(shell, arguments):
    """A server that runs and cannot be used is one line with what it said."""
    shell("up", "--detach")
    owner = make_url(shell.json("env")["DATABASE_OWNER_URL"])
    as_superuser(owner, "ALTER DATABASE postgres RENAME TO gone")
    done = shell(*arguments)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: PostgreSQL runs, but does not let itself be used (")
    assert 'database "postgres" does not exist' in done.stderr
    assert done.stderr.count("\n") == 1


def as_superuser(url: URL, statement: str) -> None:
    async def execute() -> None:
        host, port = url.query["host"], int(url.query["port"])
        connection = await asyncpg.connect(
            host=host, port=port, user="postgres", database=url.database
        )
        await connection.execute(statement)
        await connection.close()

    asyncio.run(execute())


@pytest.mark.parametrize("options", [[], ["--detach"]])
@pytest.mark.parametrize("variable", ["HOLDFAST_POSTGRES_BIN", "HOLDFAST_REDIS_BIN"])
def test_one_server_that_cannot_start_ends_the_other(shell, running, variable, options):
    """Both start at once; when one fails, its error is told and nothing is left of the other."""
    done = shell("up", *options, **{variable: "/nowhere"})

    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {variable} is '/nowhere'")
    assert running() == []


def test_a_server_that_fails_when_the_other_was_detached(shell, project, running):
    """Redis, which is quicker, is stopped after all when PostgreSQL does not start."""
    shell("up", "--detach")
    shell("down")
    with (project / ".holdfast" / "postgres" / "data" / "postgresql.conf").open("a") as settings:
        settings.write("nonsense = 1\n")
    done = shell("up", "--detach")

    assert done.returncode == 1
    assert "nonsense" in done.stderr
    assert running() == []


def test_a_joined_server_outlives_a_failed_up(shell, project, running):
    """Who started it, not a later `up`, says when it ends."""
    (project / "pyproject.toml").write_text('[tool.holdfast]\nservices = ["redis"]\n')
    shell("up", "--detach")
    (project / "pyproject.toml").write_text("[tool.holdfast]\n")
    done = shell("up", "--detach", HOLDFAST_POSTGRES_BIN="/nowhere")

    assert done.returncode == 2
    assert running() == ["redis"]


@pytest.mark.parametrize("name", ["postgres", "template0", "template1"])
def test_a_name_that_postgresql_has_taken(shell, project, running, name):
    """PostgreSQL's own databases are no project's: it is said what to change."""
    (project / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n[tool.holdfast]\n')
    done = shell("up")

    assert done.returncode == 2
    assert f"'{name}' is a database of PostgreSQL's own" in done.stderr
    assert "`name` in [tool.holdfast]" in done.stderr
    assert running() == []


@pytest.mark.parametrize("name", ["x" * 64, "template1"])
def test_down_whatever_the_project_is_called(shell, project, running, name):
    """A name that no database can have is in nobody's way when servers are to be stopped."""
    shell("up", "--detach")
    (project / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n[tool.holdfast]\n')

    assert shell.json("down", "--remove-data")["stopped"] == ["postgres", "redis"]
    assert not (project / ".holdfast").exists()


@pytest.mark.parametrize("arguments", [["status"], ["down"], ["down", "--remove-data"], ["up"]])
def test_a_file_in_place_of_the_data(shell, project, arguments):
    """The error names the file, not what would be below it."""
    (project / ".holdfast").write_text("")
    done = shell(*arguments)
    (project / ".holdfast").unlink()

    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {project}/.holdfast is not a folder: remove it")


@pytest.mark.parametrize("arguments", [["status"], ["down"], ["down", "--remove-data"], ["up"]])
def test_a_link_to_itself_in_place_of_the_data(shell, project, arguments):
    """It is one error that names the link."""
    (project / ".holdfast").symlink_to(".holdfast")
    done = shell(*arguments)
    (project / ".holdfast").unlink()

    assert done.returncode == 2
    assert f"{project}/.holdfast" in done.stderr
    assert "is a link that cannot be followed: remove it" in done.stderr


def test_a_folder_in_place_of_the_lock(shell, project):
    """It is one error that names the lock."""
    lock = project / ".holdfast" / "postgres" / "lock"
    lock.mkdir(parents=True)
    done = shell("up")
    lock.rmdir()

    assert done.returncode == 2
    assert f"{lock} is a folder where a file belongs: remove it" in done.stderr


def test_given_urls_are_used(shell, running, database_url, redis_url):
    """With DATABASE_URL and REDIS_URL set, nothing is started and that database is migrated."""
    told = shell.json("up", DATABASE_URL=database_url, REDIS_URL=redis_url)

    assert told["services"] == []
    assert told["migration"]["after"] == ["001"]
    assert running() == []
    given = shell.json("status", DATABASE_URL=database_url, REDIS_URL=redis_url)
    assert [each["state"] for each in given] == ["given", "given"]
    words = shell("up", DATABASE_URL=database_url, REDIS_URL=redis_url)
    assert words.stdout.strip().endswith("is at 001: nothing to migrate")


def test_why_nothing_is_started(shell, project, database_url, redis_url):
    """A shell that has the URLs of another project, or of servers that are gone, is told so."""
    (project / "alembic.ini").unlink()
    urls = {"DATABASE_URL": database_url, "DATABASE_OWNER_URL": database_url}
    up = shell("up", "--detach", REDIS_URL=redis_url, **urls)
    env = shell("env", REDIS_URL=redis_url, **urls)

    assert (up.returncode, env.returncode) == (0, 1)
    for said in (up.stdout, env.stderr):
        assert ", as DATABASE_URL says; for one of the project's own: unset DATABASE_URL" in said
        assert "unset DATABASE_URL DATABASE_OWNER_URL" in said
        assert "unset REDIS_URL" in said
    assert env.stderr.startswith(
        "error: nothing is running here; postgres is postgresql+asyncpg://"
    )


def test_only_the_services_that_are_listed(shell, project, running):
    """`services` of [tool.holdfast] says which servers a project has."""
    (project / "pyproject.toml").write_text('[tool.holdfast]\nservices = ["redis"]\n')
    told = shell.json("up", "--detach")

    assert [each["service"] for each in told["services"]] == ["redis"]
    assert told["migration"] is None
    assert running() == ["redis"]


def test_up_in_a_subfolder_means_the_same_project(shell, project, running):
    """The nearest pyproject.toml upward says where the project is."""
    shell.folder = project / "migrations"
    shell("up", "--detach")

    assert running() == ["postgres", "redis"]


def test_a_failed_migration_leaves_nothing_running(shell, project, running):
    """`up` fails with the migration's error, and stops what it had started."""
    broken = project / "migrations" / "versions" / "001_items.py"
    broken.write_text(broken.read_text().replace("op.create_table(", "op.creat_table("))
    done = shell("up")

    assert done.returncode == 1
    assert "creat_table" in done.stderr
    assert "Traceback" not in done.stderr
    assert running() == []


@pytest.fixture(params=["socket", "TCP"])
def neighbour(shell, tmp_path_factory, request):
    """Give the URLs of another project's servers, which run, as a shell of it has them."""
    here, shell.folder = shell.folder, tmp_path_factory.mktemp("neighbour")
    (shell.folder / "pyproject.toml").write_text(
        '[project]\nname = "next-door"\n[tool.holdfast]\nservices = ["postgres"]\n'
    )
    shell("up", "--detach", *(["--tcp"] if request.param == "TCP" else []))
    urls = shell.json("env")
    data = shell.folder / ".holdfast"
    shell.folder = here
    yield urls
    asyncio.run(PostgresServer(data).down())
    asyncio.run(remove(data))


@pytest.mark.parametrize(
    "arguments", [["up", "--detach"], ["migrate"], ["downgrade", "base"], ["revision", "-m", "new"]]
)
def test_the_shell_of_another_project(shell, neighbour, arguments):
    """Its database is left alone: the server says whose it is, and the error what to do."""
    done = shell(*arguments, **neighbour)

    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: DATABASE_OWNER_URL leads to the server that `holdfast up` runs for another "
        "project, 'next-door' ("
    )
    assert "unset DATABASE_OWNER_URL DATABASE_URL;" in done.stderr
    assert (make_url(neighbour["DATABASE_OWNER_URL"]).password or "***:") not in done.stderr
    assert tables_of(neighbour["DATABASE_OWNER_URL"]) == []


def test_another_project_that_is_meant(shell, neighbour):
    """Asked for by name it is migrated, as is a server that nobody's `up` has started."""
    url = neighbour["DATABASE_OWNER_URL"]

    assert shell.json("migrate", "--url", url, **neighbour)["after"] == ["001"]


def test_the_shell_of_the_project_itself(shell):
    """The URLs that `env` gave lead to the project's own server."""
    shell("up", "--detach")
    urls = shell.json("env")

    assert shell.json("up", "--detach", **urls)["migration"]["after"] == ["001"]
    assert shell.json("migrate", **urls)["after"] == ["001"]


@pytest.mark.parametrize("options", [[], ["--tcp"]], ids=["socket", "TCP"])
def test_a_shell_in_which_the_servers_were_stopped(shell, running, options):
    """The URLs that it has still are nobody else's: the servers are started again."""
    shell("up", "--detach", *options)
    urls = shell.json("env")
    shell("down", **urls)

    assert [each["state"] for each in json.loads(shell("status", "--json", **urls).stdout)] == [
        "stopped",
        "stopped",
    ]
    said = shell("env", **urls).stderr
    assert said.endswith("nothing is running here; start the servers: holdfast up --detach\n")
    told = shell.json("up", "--detach", *options, **urls)
    assert [each["state"] for each in told["services"]] == ["started", "started"]
    assert told["migration"]["after"] == ["001"]
    assert running() == ["postgres", "redis"]
    assert [*shell.json("env", **urls)] == [*urls]


def test_one_given_url_beside_those_of_the_project_itself(shell, running, database_url):
    """Somebody else's is used, and named; the others are as if they were not set."""
    shell("up", "--detach")
    urls = shell.json("env")
    shell("down")
    done = shell("up", "--detach", **{**urls, "DATABASE_OWNER_URL": database_url})

    said = ", as DATABASE_OWNER_URL says; for one of the project's own: unset DATABASE_OWNER_URL\n"
    assert said in done.stdout
    assert running() == ["redis"]


def test_what_is_migrated_is_said_before(shell, project, database_url, redis_url):
    """Where a variable says which database, it is told although the migration fails."""
    broken = project / "migrations" / "versions" / "001_items.py"
    broken.write_text(broken.read_text().replace("op.create_table(", "op.creat_table("))
    done = shell("up", DATABASE_OWNER_URL=database_url, REDIS_URL=redis_url)

    assert done.returncode == 1
    said = done.stdout.splitlines()[-1]
    assert said.startswith("what is migrated is postgresql+asyncpg://")
    assert said.endswith(", as DATABASE_OWNER_URL says")


def test_a_direct_url_alone(shell, database_url):
    """With servers of its own `up` migrates these, whatever a direct URL is left in the shell."""
    told = shell.json("up", "--detach", DIRECT_DATABASE_URL=database_url)

    assert [each["service"] for each in told["services"]] == ["postgres", "redis"]
    assert told["migration"]["before"] == []
    assert tables_of(database_url) == []


def tables_of(url: str) -> list[str]:
    async def read() -> list[str]:
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        rows = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        )
        await connection.close()
        return [row["tablename"] for row in rows]

    return asyncio.run(read())
