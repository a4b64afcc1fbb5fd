"""Settings: from the environment or `.env`, checked at once, and no secret is shown."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.errors import ConfigurationError
from todo.core import config
from todo.core.config import Settings, get_settings, own_url

APP = Path(__file__).parents[2]
SECRET = "hunter2-the-secret"
URL = f"postgresql://todo:{SECRET}@db.example.test/todo"
VARIABLES = ("DATABASE_URL", "DATABASE_OWNER_URL", "TEST_DATABASE_URL")
# As Neon's console prints it; what stands for the password is in every example of theirs.
NEON = (
    f"postgresql://ann:{SECRET}@ep-cool-dew-a1b2c3d4-pooler.eu-central-1.aws.neon.tech/neondb"
    "?sslmode=require&channel_binding=require"
)


def test_nothing_has_to_be_set(clean_environment, tmp_path):
    """Tasks are kept in a file of one's own then."""
    assert Settings().database_url.get_secret_value() == own_url()
    assert own_url() == f"sqlite:///{tmp_path}/share/todo/todo.db"


def test_the_own_file_without_xdg(clean_environment):
    """It is where such files are by default; a folder may have any name."""
    clean_environment.delenv("XDG_DATA_HOME")
    clean_environment.setenv("HOME", "/home/ann b%?")

    assert own_url() == "sqlite:////home/ann%20b%25%3F/.local/share/todo/todo.db"


@pytest.mark.parametrize("name", VARIABLES)
def test_settings_are_read_from_their_variables(clean_environment, name):
    """Each comes from its variable."""
    clean_environment.setenv(name, URL)

    assert getattr(Settings(), name.lower()).get_secret_value() == URL


def test_the_owner_is_the_application_where_none_is_named(clean_environment):
    """Migrations take the URL of the role that owns the tables, if there is one."""
    clean_environment.setenv("DATABASE_URL", URL)
    assert Settings().owner_url == URL

    clean_environment.setenv("DATABASE_OWNER_URL", "postgresql://owner@db/todo")
    assert Settings().owner_url == "postgresql://owner@db/todo"


@pytest.mark.parametrize("name", VARIABLES)
def test_dotenv_is_read(clean_environment, name):
    """`.env` of the current folder is read, and the environment comes before it."""
    Path(".env").write_text(f"{name}={URL}\n")
    assert getattr(Settings(), name.lower()).get_secret_value() == URL

    clean_environment.setenv(name, "postgresql://other/todo")
    assert getattr(Settings(), name.lower()).get_secret_value() == "postgresql://other/todo"


def test_the_example_has_every_setting(clean_environment):
    """.env.example is complete, has nothing that is not read, and works as it is."""
    text = (APP / ".env.example").read_text(encoding="utf-8")
    Path(".env").write_text(text)
    lines = [line for line in text.splitlines() if "=" in line and not line.startswith("#")]

    assert tuple(line.split("=")[0] for line in lines) == VARIABLES
    assert Settings().owner_url == own_url()


def test_settings_are_read_once_and_when_they_are_needed(clean_environment):
    """The module's `settings` are what `get_settings` gives."""
    clean_environment.setenv("DATABASE_URL", URL)

    assert config.settings is get_settings()
    with pytest.raises(AttributeError, match="nothing"):
        _ = config.nothing


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize(
    ("value", "says"),
    [
        (f"mysql://ann:{SECRET}@db/todo", "scheme 'mysql' is not known"),
        (SECRET, ""),
        (NEON.replace("sslmode=require", "sslmode=disable"), ""),
    ],
)
def test_a_wrong_value_is_one_line(clean_environment, name, value, says):
    """It is told with its variable and without the value."""
    clean_environment.setenv(name, value)

    with pytest.raises(ConfigurationError) as error:
        get_settings()

    assert str(error.value).startswith(f"{name}: ")
    assert says in str(error.value)
    assert SECRET not in str(error.value)
    assert "\n" not in str(error.value)


def test_all_wrong_values_are_named_at_once(clean_environment):
    """Two wrong settings are two lines."""
    clean_environment.setenv("DATABASE_URL", "nothing")
    clean_environment.setenv("TEST_DATABASE_URL", "nothing")

    with pytest.raises(ConfigurationError) as error:
        get_settings()

    named = [line.split(":")[0] for line in str(error.value).splitlines()]
    assert named == ["DATABASE_URL", "TEST_DATABASE_URL"]


@pytest.mark.parametrize(
    "query",
    ["", "?sslmode=prefer", "?sslmode=allow", "?sslmode=disable", "?ssl=false"],
)
@pytest.mark.parametrize("host", ["ep-a-b-1", "ep-a-b-1-pooler"])
def test_neon_without_tls_is_refused(clean_environment, query, host):
    """A password and all tasks would go over the internet for everybody to read."""
    clean_environment.setenv(
        "DATABASE_URL", f"postgresql://ann:{SECRET}@{host}.eu-central-1.aws.neon.tech/db{query}"
    )

    with pytest.raises(ConfigurationError, match="would be reached without TLS") as error:
        get_settings()

    assert "sslmode=require" in str(error.value)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    "query", ["?sslmode=require", "?sslmode=verify-full", "?ssl=true", NEON.partition("?")[2]]
)
def test_neon_with_tls_is_taken(clean_environment, query):
    """However it is asked for."""
    query = query.removeprefix("?")
    clean_environment.setenv("DATABASE_URL", f"{NEON.partition('?')[0]}?{query}")

    assert get_settings().database_url.get_secret_value().endswith(query)


def test_secrets_are_not_in_a_repr_or_a_log_line(clean_environment, caplog):
    """No way of printing the settings shows a password."""
    clean_environment.setenv("DATABASE_URL", URL)
    settings = Settings()
    logging.getLogger("test").warning("%s %r", settings, settings)

    shown = [repr(settings), str(settings), f"{settings.model_dump()}", caplog.text]
    assert not any(SECRET in text for text in [*shown, settings.model_dump_json()])


def test_importing_the_application_reads_no_settings(clean_environment):
    """Importing every module works in an environment that is all wrong, and opens nothing."""
    clean_environment.setenv("DATABASE_URL", "nothing")
    modules = "todo.cli, todo.core.database, todo.core.start, todo.models, todo.services.tasks"

    subprocess.run([sys.executable, "-c", f"import {modules}"], check=True)
    assert list(Path.cwd().iterdir()) == []
