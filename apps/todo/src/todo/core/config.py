"""What Todo is told by its environment, or by a file `.env`, checked once."""

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from holdfast import urls
from holdfast.errors import ConfigurationError

if TYPE_CHECKING:
    settings: "Settings"

# In the clear, a password and all tasks would go over the internet.
_ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})


def own_url() -> str:
    """Give the URL of the file that tasks are kept in where no database is named: one per person.

    It is `todo/todo.db` in `XDG_DATA_HOME`, which is `~/.local/share` where that is not set.
    """
    shares = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return f"sqlite:///{quote(str(Path(shares) / 'todo' / 'todo.db'))}"


class Settings(BaseSettings):
    """The application's settings, each by the environment variable of its name in capitals.

    URLs are secrets, since they hold passwords: use `.get_secret_value()` where one is needed.

    Attributes:
        database_url: `DATABASE_URL`, PostgreSQL or SQLite in any form that is printed by anybody;
            a file of one's own by default.
        database_owner_url: `DATABASE_OWNER_URL`, the same database as the role that owns the
            tables, for migrations; where it is not set, `DATABASE_URL` is that role too.
        test_database_url: `TEST_DATABASE_URL`, which tests run on; without it they start a server.

    Raises:
        pydantic.ValidationError: it names each setting that is wrong.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    database_url: SecretStr = Field(default_factory=lambda: SecretStr(own_url()))
    database_owner_url: SecretStr | None = None
    test_database_url: SecretStr | None = None

    @property
    def owner_url(self) -> str:
        """The URL that migrations take."""
        return (self.database_owner_url or self.database_url).get_secret_value()

    @field_validator("database_url", "database_owner_url", "test_database_url")
    @classmethod
    def _can_be_used(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        url = urls.parse(value.get_secret_value())
        if url.provider == "Neon" and url.tls.mode not in _ENCRYPTED:
            raise ValueError(
                f"{url.place} is Neon's and would be reached without TLS; write sslmode=require, "
                "as its console prints it, or sslmode=verify-full"
            )
        return value


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Read the settings at the first call; later calls give the same object.

    Raises:
        ConfigurationError: one line for each setting that is wrong, by its variable.
    """
    try:
        return Settings()
    except ValidationError as error:
        # pydantic keeps what it was given, URLs included, in the error itself.
        lines = [_line(str(each["loc"][0]), each["msg"]) for each in error.errors()]
        raise ConfigurationError("\n".join(lines)) from None


def __getattr__(name: str) -> Settings:
    """Give `settings` when somebody asks for it: importing this reads nothing."""
    if name == "settings":
        return get_settings()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _line(field: str, message: str) -> str:
    return f"{field.upper()}: {message.removeprefix('Value error, ')}"
