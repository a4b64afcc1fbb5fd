"""`holdfast doctor` in a project: what it says, what it never says, and how it ends."""

import json
import os
import pty
import re
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

COMMAND = [sys.executable, "-c", "from holdfast.cli import main; main()"]
NOWHERE = "127.0.0.1:1"  # nothing listens there


def rows(done) -> dict[str, dict[str, str]]:
    """Give the checks of `--json` by name; the last of those with the same."""
    return {each["name"]: each for each in json.loads(done.stdout)["checks"]}


def wrong(done) -> set[str]:
    """Name what failed; each says what to change."""
    failed = [each for each in rows(done).values() if each["state"] == "failed"]
    assert all(each["advice"] for each in failed)
    return {each["name"] for each in failed}


@pytest.fixture
def silent() -> Iterator[int]:
    """Give the port of a server that takes connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def test_a_project_that_is_up(shell):
    """After `up` all is well: the running servers are looked at, and the exit code is 0."""
    shell("up", "--detach")
    done = shell("doctor", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["ok"]
    assert {each["state"] for each in rows(done).values()} == {"ok"}
    told = {name: each["said"] for name, each in rows(done).items()}
    assert told["project.folder"] == f"shop in {shell.folder}"
    assert told["url.understood"].endswith("from the project's running server")
    assert told["database.role"].startswith("app, ")
    assert told["migrations.revision"] == "001, the newest"
    assert "owner@" in told["migrations.url"]
    assert told["migrations.url"].endswith("from the project's running server")
    assert told["redis.reached"].endswith("from the project's running server")


def test_behind_the_migrations(shell, project):
    """A migration that was not run is wrong: exit code 1."""
    shell("up", "--detach")
    (project / "migrations" / "versions" / "002.py").write_text(
        'revision = "002"\ndown_revision = "001"\ndef upgrade(): pass\n'
    )
    done = shell("doctor", "--json")

    assert done.returncode == 1
    assert wrong(done) == {"migrations.revision"}
    assert "at 001, 1 behind 002" in rows(done)["migrations.revision"]["said"]
    assert rows(done)["migrations.revision"]["advice"] == "holdfast migrate"


def test_behind_on_a_url_that_was_given(shell, database_url):
    """Without the URL the command may mean another database."""
    done = shell("doctor", "--url", database_url, "--json")

    assert "at nothing, 1 behind 001" in rows(done)["migrations.revision"]["said"]
    advice = rows(done)["migrations.revision"]["advice"]
    assert advice == "holdfast migrate, with the same --url"


def test_for_people(shell):
    """In a pipe each row is one line, without colours, and what is wrong has one more."""
    done = shell("doctor", "--url", f"postgresql://app:sesame@{NOWHERE}/shop")

    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    [failed] = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert failed.split()[1] == "database.reached"
    assert "refused" in failed
    assert "→ mend this first" in done.stdout
    assert done.stdout.endswith("\n1 to change\n")


def test_without_alembic_and_redis(shell, project):
    """What a project has not is said, or left out, and is not wrong."""
    (project / "alembic.ini").unlink()
    done = shell("doctor", "--json", "--url", f"postgresql://app@{NOWHERE}/shop")

    assert "is not there: nothing is migrated" in rows(done)["migrations.revision"]["said"]
    assert wrong(done) == {"database.reached"}
    assert not any(name.startswith("redis") for name in rows(done))


def test_an_embedded_database(shell):
    """On SQLite there are the rows of a file, and none of a server."""
    url = f"sqlite:///{shell.folder}/shop.db"
    before = shell("doctor", "--json", "--url", url)
    assert wrong(before) >= {"database.reached"}
    assert not (shell.folder / "shop.db").exists()
    shell("migrate", "--url", url)
    after = shell("doctor", "--json", "--url", url)

    assert (after.returncode, wrong(after)) == (0, set())
    names = {name.removeprefix("database.") for name in rows(after) if name.startswith("database")}
    assert names == {
        "reached", "server", "journal_mode", "foreign_keys", "integrity", "writes",
    }  # fmt: skip


def test_where_values_come_from(shell):
    """Each URL says which variable it is from."""
    done = shell(
        "doctor",
        "--json",
        DATABASE_URL=f"postgresql://app@{NOWHERE}/shop?pooler=transaction",
        DIRECT_DATABASE_URL=f"postgresql://app@{NOWHERE}/direct",
        REDIS_URL=f"redis://{NOWHERE}/0",
    )
    told = {name: each["said"] for name, each in rows(done).items()}

    assert wrong(done) == {"database.reached", "migrations.reached", "redis.reached"}
    assert told["url.understood"].endswith("shop, from DATABASE_URL")
    assert told["migrations.url"].endswith("direct, from DIRECT_DATABASE_URL")
    assert f"{NOWHERE}/direct" in told["migrations.reached"]
    assert told["redis.reached"].endswith("from REDIS_URL")


def test_what_was_recognised(shell):
    """Provider, driver and every finding of the URL have their row."""
    url = "postgresql+psycopg://app@/shop?host=/cloudsql/project:eu:shop&load_balance_hosts=random"
    done = shell("doctor", "--json", DATABASE_URL=url)
    told = {name: each["said"] for name, each in rows(done).items()}

    assert told["url.provider"] == "Google Cloud SQL: /cloudsql/project:eu:shop is one of its hosts"
    assert told["url.driver"] == "psycopg"
    assert told["url.finding"].startswith("load_balance_hosts=random: ")
    assert wrong(done) == {"database.reached"}


@pytest.mark.parametrize(
    ("owner", "state"),
    [(None, "warning"),
     (f"postgresql://owner@{NOWHERE}/shop", "ok"),
     (f"postgresql://owner@{NOWHERE}/shop?pooler=transaction", "warning")],
)  # fmt: skip
def test_migrations_through_a_pooler(shell, owner, state):
    """They want a way past it: its own variable, or an owner's URL that has none."""
    more = {"DATABASE_OWNER_URL": owner} if owner else {}
    url = f"postgresql://app@{NOWHERE}/shop?pooler=transaction"
    done = shell("doctor", "--json", DATABASE_URL=url, **more)

    assert rows(done)["migrations.url"]["state"] == state


def test_the_policy_of_the_application(shell):
    """`--prefix` reads the limits and the pool as the application does."""
    shell("up", "--detach")
    limits = {"SHOP_DB_STATEMENT_TIMEOUT": "0", "SHOP_DB_POOL_MAX_SIZE": "60"}
    done = shell("doctor", "--json", "--prefix", "SHOP_DB_", **limits, WEB_CONCURRENCY="2")

    assert wrong(done) == {"database.statement_timeout", "database.pool"}
    assert (
        "connections: at most 120 (max_size 60 x 2 processes)"
        in rows(done)["database.pool"]["said"]
    )
    one = shell("doctor", "--json", "--prefix", "SHOP_DB_", "--processes", "1", **limits)
    assert wrong(one) == {"database.statement_timeout"}


@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [(["--url", "mysql://db/shop"], {}, "scheme"),
     (["--url", ""], {}, "empty"),
     (["--processes", "0"], {}, "processes"),
     (["--nonsense"], {}, "nonsense"),
     ([], {}, "holdfast up"),
     ([], {"DATABASE_URL": "sqlite://", "WEB_CONCURRENCY": "many"}, "WEB_CONCURRENCY"),
     (["--prefix", "SHOP_"], {"DATABASE_URL": "sqlite://", "SHOP_POOL": "3"}, "SHOP_POOL")],
)  # fmt: skip
def test_used_wrongly(shell, arguments, environ, said):
    """An option or variable that cannot be used is exit code 2, and one line."""
    done = shell("doctor", *arguments, **environ)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_variable_that_cannot_be_read(shell):
    """A URL of the environment is what it is to explain: a row, and the others are looked at."""
    done = shell("doctor", "--json", DATABASE_URL="mysql://db/shop", REDIS_URL="http://cache")

    assert done.returncode == 1
    assert wrong(done) == {"url.understood", "redis.understood"}
    assert rows(done)["url.understood"]["said"].startswith("DATABASE_URL: database URL: the scheme")
    assert rows(done)["redis.understood"]["said"].startswith("REDIS_URL: Redis URL: ")


@pytest.mark.parametrize("url", [f"redis+cluster://{NOWHERE}/1", "redis+clusters://a:1"])
def test_a_cluster_that_cannot_be_read(shell, url):
    """It is said how the URL of a cluster looks, not that of anything else."""
    done = shell("doctor", "--json", DATABASE_URL="sqlite://", REDIS_URL=url)

    said = rows(done)["redis.understood"]["said"]
    assert "a cluster has no databases" in said or "one of redis+cluster://" in said


@pytest.mark.parametrize("variable", ["DATABASE_OWNER_URL", "DIRECT_DATABASE_URL"])
def test_another_variable_that_cannot_be_read(shell, variable):
    """It is named, and the database is looked at all the same."""
    url = f"postgresql://app@{NOWHERE}/shop"
    done = shell("doctor", "--json", **{"DATABASE_URL": url, variable: "mysql://db/shop"})

    assert wrong(done) == {"database.reached", "migrations.understood"}
    assert rows(done)["migrations.understood"]["said"].startswith(f"{variable}: ")


def test_a_driver_that_is_not_installed(shell, monkeypatch):
    """It is a row with the command that installs it."""
    monkeypatch.delitem(sys.modules, "holdfast.database.psycopg", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    url = f"postgresql+psycopg://app@{NOWHERE}/shop"
    done = shell("doctor", "--json", DATABASE_URL=url)

    assert wrong(done) == {"database.understood", "migrations.understood"}
    assert "holdfast[psycopg]" in rows(done)["database.understood"]["said"]


def test_a_server_that_is_silent(shell, silent):
    """It ends, with the rows that can be known, and why the others cannot."""
    url = f"postgresql://app@127.0.0.1:{silent}/shop?connect_timeout=1"
    done = shell("doctor", "--json", DATABASE_URL=url, REDIS_URL=f"redis://127.0.0.1:{silent}")

    assert done.returncode == 1
    assert wrong(done) == {"database.reached", "redis.reached"}
    assert "no answer within 1 s" in rows(done)["database.reached"]["said"]
    assert rows(done)["url.understood"]["state"] == "ok"


@pytest.mark.parametrize("colours", [True, False])
def test_on_a_narrow_terminal(shell, colours):
    """Rows are wrapped to its width; colours are off where NO_COLOR says so."""
    environ = {name: value for name, value in shell.environ.items() if name != "COLUMNS"}
    if colours:
        del environ["NO_COLOR"]
    command = [*COMMAND, "doctor", "--url", f"postgresql://app@{NOWHERE}/shop"]
    shown = on_terminal(command, 50, shell.folder, environ | {"TERM": "xterm-256color"})

    assert ("\x1b[1;31mFAILED" in shown) == colours
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in shown.splitlines()]
    assert max(map(len, lines)) <= 50
    assert "1 to change" in lines


def on_terminal(command: list[str], width: int, folder: Path, environ: dict[str, str]) -> str:
    """Run a program on a terminal of so many columns, and give what it showed."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, width))
    with subprocess.Popen(command, cwd=folder, env=environ, stdout=its, stderr=its):
        os.close(its)
        shown = b""
        with suppress(OSError):  # Linux says so at the end
            while some := os.read(ours, 65536):
                shown += some
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def test_help_has_an_example(shell):
    """Whoever asks for help sees how it is called."""
    assert "Example: holdfast doctor" in shell("doctor", "--help").stdout


SECRET = "zQx7Kw9Vt"
ODD = st.text(st.sampled_from("a:/?#@%&=+'\"\\ $[]*-.,;é\t"), max_size=3)
FORMS = (
    "postgresql://app:{quoted}@127.0.0.1:1/shop",
    "postgresql://app:{plain}@127.0.0.1:1/shop",
    "postgresql+psycopg://app:{quoted}@127.0.0.1:1/shop?sslpassword={quoted}",
    "postgresql://127.0.0.1:1/shop?user=app&password={quoted}",
    "postgresql://127.0.0.1:1/shop?user=app&password={plain}",
    "postgresql://app:{quoted}@127.0.0.1:1,127.0.0.1:2/shop?nonsense={quoted}",
    "host=127.0.0.1 port=1 dbname=shop password='{escaped}'",
    "host=127.0.0.1 port=1 dbname=shop password={plain}",
    "export DATABASE_URL='postgres://app:{quoted}@127.0.0.1:1/shop'",
    "psql postgres://app:{plain}@127.0.0.1:1/shop",
    "redis://:{plain}@127.0.0.1:1/0",
    "redis://app:{quoted}@127.0.0.1:1/{plain}",
    "app:{plain}@127.0.0.1:1/shop",
    "mysql://app:{plain}@127.0.0.1/shop",
    "{plain}",
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=ODD,
    after=ODD,
    form=st.sampled_from(FORMS),
    variable=st.sampled_from(
        ["DATABASE_URL", "DATABASE_OWNER_URL", "DIRECT_DATABASE_URL", "REDIS_URL", "--url"]
    ),
    as_json=st.booleans(),
)
@example(before="a@", after="/b", form=FORMS[1], variable="DATABASE_URL", as_json=True)
@example(before="", after="=:", form=FORMS[14], variable="DATABASE_URL", as_json=False)
@example(before="#", after="?", form=FORMS[10], variable="REDIS_URL", as_json=True)
def test_no_secret_comes_out(shell, *, before, after, form, variable, as_json):
    """Whatever the password looks like, and wherever it stands, nothing of it is printed."""
    plain = f"{before}{SECRET}{after}"
    escaped = plain.replace("\\", "\\\\").replace("'", "\\'")
    url = form.format(quoted=quote(plain, safe=""), plain=plain, escaped=escaped)
    arguments = ["doctor", *(["--json"] if as_json else [])]
    environ = {"DATABASE_URL": "postgresql://app@127.0.0.1:1/shop?connect_timeout=1"}
    if variable == "--url":
        arguments += ["--url", url]
    else:
        environ[variable] = url
    done = shell(*arguments, **environ)

    assert done.returncode in {1, 2}
    assert SECRET not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not as_json or json.loads(done.stdout or done.stderr)
