"""Settings: defaults for development, nothing taken for granted in production, no secret shown."""

import logging
import re
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from pydantic import ValidationError

from holdfast.errors import ConfigurationError
from holdfast.redis import RedisPolicy
from holdfast.settings import load
from mantimon.config import REQUIRED_IN_PRODUCTION, Environment, Settings, get_settings
from mantimon.db.session import make_database

APP = Path(__file__).parent.parent
SECRET = "hunter2-the-secret"
PRODUCTION = {
    "ENVIRONMENT": "prod",
    "DATABASE_URL": f"postgresql://mantimon:{SECRET}@db.example.test/mantimon",
    "REDIS_URL": f"rediss://:{SECRET}@redis.example.test:6379/0",
    "SECRET_KEY": SECRET,
    "OAUTH_GOOGLE_CLIENT_ID": "google-client",
    "OAUTH_GOOGLE_CLIENT_SECRET": SECRET,
    "OAUTH_DISCORD_CLIENT_ID": "discord-client",
    "OAUTH_DISCORD_CLIENT_SECRET": SECRET,
}


@pytest.fixture
def environ(clean_environment):
    """Give a function that sets variables, in an environment without any of the application's."""

    def put(**values):
        for name, value in values.items():
            clean_environment.setenv(name, value)

    return put


def dotenv(text):
    Path(".env").write_text(text, encoding="utf-8")


def test_development_needs_nothing(environ):
    """Without any variable the settings fit docker-compose.yml."""
    settings = Settings()

    assert settings.environment is Environment.DEV
    assert ":5433/" in settings.database_url.get_secret_value()
    assert ":6380/" in settings.redis_url.get_secret_value()


def test_each_setting_is_read_from_its_variable(environ):
    """Each setting comes from the variable of its name."""
    environ(**PRODUCTION)
    settings = Settings()

    for name, value in PRODUCTION.items():
        found = getattr(settings, name.lower())
        assert getattr(found, "get_secret_value", lambda found=found: found)() == value, name


def test_arguments_win(environ):
    """A value that is given in code comes before the environment."""
    environ(SECRET_KEY="from-the-environment")

    assert Settings(secret_key="given").secret_key.get_secret_value() == "given"


def test_dotenv_is_read_in_development(environ):
    """`.env` of the current folder is read, and the environment comes before it."""
    dotenv("SECRET_KEY=from-file\nREDIS_URL=redis://file:1/0\n")
    environ(REDIS_URL="redis://environment:1/0")
    settings = Settings()

    assert settings.secret_key.get_secret_value() == "from-file"
    assert settings.redis_url.get_secret_value() == "redis://environment:1/0"


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_dotenv_is_not_read_elsewhere(environ, environment):
    """A forgotten `.env` reaches neither staging nor production."""
    dotenv("OAUTH_GOOGLE_CLIENT_ID=from-file\n")
    environ(**PRODUCTION | {"ENVIRONMENT": environment})

    assert Settings().oauth_google_client_id == "google-client"


def test_dotenv_does_not_fill_what_production_misses(environ):
    """A secret that is only in `.env` is missing in production."""
    dotenv("".join(f"{name}={value}\n" for name, value in PRODUCTION.items()))
    environ(ENVIRONMENT="prod")

    with pytest.raises(ConfigurationError, match="SECRET_KEY"):
        get_settings()


def test_dotenv_cannot_make_it_production(environ):
    """A `.env` that says production is refused: it is for development."""
    dotenv("ENVIRONMENT=prod\n")

    with pytest.raises(ConfigurationError, match=r"^ENVIRONMENT: \.env says 'prod'"):
        get_settings()


def test_production_starts_with_everything(environ):
    """Production with all secrets of its own starts."""
    environ(**PRODUCTION)

    assert get_settings().environment is Environment.PROD


@pytest.mark.parametrize("name", [name.upper() for name in REQUIRED_IN_PRODUCTION])
@pytest.mark.parametrize("value", ["missing", "empty", "blank", "default"])
def test_production_refuses_a_missing_or_default_secret(environ, monkeypatch, name, value):
    """Each missing, empty or default secret keeps production from starting, and is named."""
    environ(**PRODUCTION)
    if value == "missing":
        monkeypatch.delenv(name)
    else:
        default = REQUIRED_IN_PRODUCTION[name.lower()]
        monkeypatch.setenv(name, {"empty": "", "blank": " ", "default": default}[value])

    with pytest.raises(ConfigurationError) as error:
        get_settings()

    assert name in str(error.value)
    assert not (set(PRODUCTION) - {name, "ENVIRONMENT"}) & set(str(error.value).split())
    assert "\n" not in str(error.value)


def test_production_names_all_that_is_missing_at_once(environ):
    """One start tells everything that is missing."""
    environ(ENVIRONMENT="prod")

    with pytest.raises(ConfigurationError) as error:
        get_settings()

    assert all(name.upper() in str(error.value) for name in REQUIRED_IN_PRODUCTION)


def test_production_refuses_the_example(environ):
    """Copying .env.example into production's environment is not enough."""
    lines = (APP / ".env.example").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    environ(**given | {"ENVIRONMENT": "prod"})

    with pytest.raises(ConfigurationError) as error:
        get_settings()

    assert all(name.upper() in str(error.value) for name in REQUIRED_IN_PRODUCTION)


def test_the_example_has_every_setting(environ):
    """.env.example is complete, and has nothing that is not read."""
    lines = (APP / ".env.example").read_text(encoding="utf-8").splitlines()
    names = [line.split("=")[0] for line in lines if "=" in line and not line.startswith("#")]

    assert names == [name.upper() for name in Settings.model_fields]


def test_the_limits_of_the_example_are_read(clean_environment):
    """Each limit that .env.example shows can be set as it is there."""
    text = (APP / ".env.example").read_text(encoding="utf-8")
    limits = dict(re.findall(r"(?m)^# (MANTIMON_(?:DB|REDIS)_\w+)=(.+)$", text))
    for name, value in limits.items():
        clean_environment.setenv(name, value)

    assert len(limits) == 3
    assert make_database("postgresql://app@db.example/app").policy.pool.max_size == 20
    assert load(RedisPolicy, prefix="MANTIMON_REDIS_").timeout == 0.5


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ENVIRONMENT", "production", "Input should be 'dev', 'staging' or 'prod'"),
        ("DATABASE_URL", f"mysql://mantimon:{SECRET}@db/mantimon", "scheme 'mysql' is not known"),
        ("DATABASE_URL", f"sqlite:///{SECRET}.db", "Mantimon needs PostgreSQL"),
        ("DATABASE_URL", SECRET, "cannot be read"),
        ("REDIS_URL", f"http://:{SECRET}@redis", "begins with one of redis://"),
    ],
)
def test_a_wrong_value_is_one_line(environ, name, value, says):
    """A wrong value is told in one line, with its variable and without the value."""
    environ(**{name: value})

    with pytest.raises(ConfigurationError) as error:
        get_settings()

    assert str(error.value).startswith(f"{name}: ")
    assert says in str(error.value)
    assert SECRET not in str(error.value)
    assert "\n" not in str(error.value)


def test_all_wrong_values_are_named_at_once(environ):
    """Two wrong settings are two lines."""
    environ(DATABASE_URL="nothing", REDIS_URL="nothing")

    with pytest.raises(ConfigurationError) as error:
        get_settings()

    assert [line.split(":")[0] for line in str(error.value).splitlines()] == [
        "DATABASE_URL",
        "REDIS_URL",
    ]


def test_secrets_are_not_in_a_repr_or_a_log_line(environ, caplog):
    """No way of printing the settings shows a secret."""
    environ(**PRODUCTION)
    settings = Settings()

    logging.getLogger("test").warning("%s %r", settings, settings)

    shown = [repr(settings), str(settings), f"{settings.model_dump()}", caplog.text]
    assert "google-client" in caplog.text
    assert not any(SECRET in text for text in [*shown, settings.model_dump_json()])


@pytest.mark.parametrize(
    "wrong",
    [
        {"REDIS_URL": f"http://:{SECRET}@redis"},
        {"SECRET_KEY": "", "DATABASE_URL": f"postgresql://mantimon:{SECRET}@db/mantimon"},
        {"ENVIRONMENT": SECRET},
    ],
)
def test_secrets_are_not_in_an_error(environ, wrong):
    """Neither the error, nor what pydantic keeps in it, nor its traceback has a secret."""
    environ(**PRODUCTION | wrong)

    with pytest.raises(ValidationError) as error:
        Settings()

    assert SECRET not in "".join(traceback.format_exception(error.value))
    assert SECRET not in repr(error.value.errors())
    assert SECRET not in error.value.json()


def test_the_settings_are_read_once(environ):
    """Every caller gets the same object."""
    assert get_settings() is get_settings()


def test_settings_do_not_change(environ):
    """Nobody changes a setting while the application runs."""
    with pytest.raises(ValidationError, match="frozen"):
        get_settings().environment = Environment.PROD


def test_importing_the_application_reads_no_settings(environ):
    """Importing every module of the data layer works in an environment that is all wrong."""
    environ(DATABASE_URL="nothing", REDIS_URL="nothing", ENVIRONMENT="nowhere")
    modules = "mantimon.config, mantimon.db.session, mantimon.db.redis, mantimon.db.models"

    subprocess.run([sys.executable, "-c", f"import {modules}"], check=True)
