"""Settings: from the environment or `.env`, checked at once, and no secret is shown."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from faceplate.config import Settings, get_settings
from holdfast.errors import ConfigurationError

APP = Path(__file__).parent.parent
SECRET = "hunter2-the-secret"
URL = f"postgresql://faceplate:{SECRET}@db.example.test/range"
VARIABLES = ("DATABASE_URL", "DATABASE_OWNER_URL", "FACEPLATE_MIGRATE_ON_START")


def test_settings_are_read_from_their_variables(clean_environment):
    """Each setting comes from its variable; the owner is the application where none is named."""
    clean_environment.setenv("DATABASE_URL", URL)
    settings = Settings()

    assert settings.database_url.get_secret_value() == settings.owner_url == URL
    assert settings.migrate_on_start is False


def test_the_owner_has_a_url_of_its_own(clean_environment):
    """Migrations take the URL of the role that owns the tables."""
    clean_environment.setenv("DATABASE_URL", URL)
    clean_environment.setenv("DATABASE_OWNER_URL", "postgresql://owner@db/range")
    clean_environment.setenv("FACEPLATE_MIGRATE_ON_START", "true")
    settings = get_settings()

    assert settings.owner_url == "postgresql://owner@db/range"
    assert settings.migrate_on_start is True


def test_dotenv_is_read(clean_environment):
    """`.env` of the current folder is read, and the environment comes before it."""
    Path(".env").write_text(f"DATABASE_URL={URL}\nFACEPLATE_MIGRATE_ON_START=true\n")
    clean_environment.setenv("FACEPLATE_MIGRATE_ON_START", "false")
    settings = Settings()

    assert settings.database_url.get_secret_value() == URL
    assert settings.migrate_on_start is False


def test_the_example_has_every_setting(clean_environment):
    """.env.example is complete, has nothing that is not read, and works as it is."""
    text = (APP / ".env.example").read_text(encoding="utf-8")
    Path(".env").write_text(text)
    lines = [line for line in text.splitlines() if "=" in line and not line.startswith("#")]

    assert tuple(line.split("=")[0] for line in lines) == VARIABLES
    assert Settings().owner_url == "postgresql://app@localhost:5432/faceplate"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("DATABASE_URL", "", "it is not set; it is a URL such as postgresql://"),
        ("DATABASE_URL", f"mysql://ann:{SECRET}@db/range", "scheme 'mysql' is not known"),
        ("DATABASE_URL", f"sqlite:///{SECRET}.db", "Faceplate needs PostgreSQL"),
        ("DATABASE_URL", SECRET, ""),
        ("DATABASE_OWNER_URL", f"sqlite:///{SECRET}.db", "Faceplate needs PostgreSQL"),
        ("FACEPLATE_MIGRATE_ON_START", "perhaps", "valid boolean"),
    ],
)
def test_a_wrong_value_is_one_line(clean_environment, name, value, says):
    """A wrong value is told in one line, with its variable and without the value."""
    clean_environment.setenv("DATABASE_URL", URL)
    clean_environment.setenv(name, value)

    with pytest.raises(ConfigurationError) as error:
        get_settings()

    assert str(error.value).startswith(f"{name}: ")
    assert says in str(error.value)
    assert SECRET not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("where", ["environment", ".env"])
@pytest.mark.parametrize(
    "name",
    [
        "MIGRATE_ONSTART",
        "MIGRATE_ON_STRAT",
        "MIGRATE_AT_START",
        "MIGRATION_ON_START",
        "migrate_start",
    ],
)
def test_a_misspelled_name_is_refused(clean_environment, where, name):
    """A slip that would change nothing is told with the name that was meant."""
    clean_environment.setenv("DATABASE_URL", URL)
    name = f"FACEPLATE_{name}"
    if where == ".env":
        Path(".env").write_text(f"{name}=yes\n")
    else:
        clean_environment.setenv(name, "yes")

    with pytest.raises(ConfigurationError) as error:
        get_settings()

    assert str(error.value) == (
        f"{name.upper()}: there is no such setting; did you mean FACEPLATE_MIGRATE_ON_START?"
    )


def test_names_that_are_not_ours(clean_environment):
    """What Kubernetes sets for a service called faceplate, and the limits, are in nobody's way."""
    clean_environment.setenv("DATABASE_URL", URL)
    for name in ("SERVICE_HOST", "SERVICE_PORT", "PORT_80_TCP_PROTO", "DB_POOL_MAX_SIZE"):
        clean_environment.setenv(f"FACEPLATE_{name}", "1")
    clean_environment.setenv("faceplate_migrate_on_start", "true")

    assert get_settings().migrate_on_start is True


def test_all_wrong_values_are_named_at_once(clean_environment):
    """Two wrong settings are two lines."""
    clean_environment.setenv("DATABASE_OWNER_URL", "nothing")

    with pytest.raises(ConfigurationError) as error:
        get_settings()

    named = [line.split(":")[0] for line in str(error.value).splitlines()]
    assert named == ["DATABASE_URL", "DATABASE_OWNER_URL"]


def test_secrets_are_not_in_a_repr_or_a_log_line(clean_environment, caplog):
    """No way of printing the settings shows a password."""
    clean_environment.setenv("DATABASE_URL", URL)
    settings = Settings()

    logging.getLogger("test").warning("%s %r", settings, settings)

    shown = [repr(settings), str(settings), f"{settings.model_dump()}", caplog.text]
    assert not any(SECRET in text for text in [*shown, settings.model_dump_json()])


def test_the_settings_are_read_once(clean_environment):
    """Every caller gets the same object."""
    clean_environment.setenv("DATABASE_URL", URL)

    assert get_settings() is get_settings()


def test_importing_the_application_reads_no_settings(clean_environment):
    """Importing every module works in an environment that is all wrong."""
    clean_environment.setenv("DATABASE_URL", "nothing")
    clean_environment.setenv("FACEPLATE_MIGRATE_ON_START", "perhaps")
    modules = "faceplate.cli, faceplate.config, faceplate.db.start, faceplate.models"

    subprocess.run([sys.executable, "-c", f"import {modules}"], check=True)
