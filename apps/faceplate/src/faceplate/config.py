"""What Faceplate is told by its environment, or in development by a file `.env`, checked once."""

from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    SettingsConfigDict,
)

from holdfast import urls
from holdfast.errors import ConfigurationError

_MISSING = (
    "it is not set; it is a URL such as postgresql://user:password@host/name, "
    'or with `holdfast up`: eval "$(holdfast env)"'
)
_PREFIX = "FACEPLATE_"
_MIGRATE_ON_START = "FACEPLATE_MIGRATE_ON_START"
_NEARLY = 0.8  # as difflib counts letters after the prefix: a slip of the pen, not another name


class Settings(BaseSettings):
    """The application's settings, each by the environment variable that it is named after.

    URLs are secrets, since they hold passwords: use `.get_secret_value()` where one is needed.

    Attributes:
        database_url: `DATABASE_URL`, as the role that the application runs as.
        database_owner_url: `DATABASE_OWNER_URL`, the same database as the role that owns the
            tables, for migrations; where it is not set, `DATABASE_URL` is that role too.
        migrate_on_start: `FACEPLATE_MIGRATE_ON_START`, whether a process migrates as it starts.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    database_url: SecretStr
    database_owner_url: SecretStr | None = None
    migrate_on_start: bool = Field(default=False, validation_alias=_MIGRATE_ON_START)

    @property
    def owner_url(self) -> str:
        """The URL that migrations take."""
        return (self.database_owner_url or self.database_url).get_secret_value()

    @field_validator("database_url", "database_owner_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value and urls.parse(value.get_secret_value()).backend != "postgresql":
            raise ValueError("Faceplate needs PostgreSQL: postgresql://user:password@host/name")
        return value


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Read the settings at the first call; later calls give the same object.

    Raises:
        ConfigurationError: one line for each setting that is wrong or misspelled, by its variable.
    """
    if misspelled := [*_find_misspelled()]:
        raise ConfigurationError("\n".join(misspelled))
    try:
        return Settings()  # type: ignore[call-arg]  # the environment has the rest
    except ValidationError as error:
        # pydantic keeps what it was given, URLs included, in the error itself.
        lines = [_line(str(each["loc"][0]), each["type"], each["msg"]) for each in error.errors()]
        raise ConfigurationError("\n".join(lines)) from None


def _find_misspelled() -> Iterator[str]:
    """Name what is nearly a setting, which pydantic would leave out without a word.

    Other names are not ours: Kubernetes sets FACEPLATE_SERVICE_HOST where a service is so called.
    """
    known = _MIGRATE_ON_START.removeprefix(_PREFIX)
    for source in (EnvSettingsSource(Settings), DotEnvSettingsSource(Settings)):
        for name in map(str.upper, source.env_vars):
            if name == _MIGRATE_ON_START or not name.startswith(_PREFIX):
                continue
            if get_close_matches(name.removeprefix(_PREFIX), [known], cutoff=_NEARLY):
                yield f"{name}: there is no such setting; did you mean {_MIGRATE_ON_START}?"


def _line(field: str, kind: str, message: str) -> str:
    said = _MISSING if kind == "missing" else message.removeprefix("Value error, ")
    return f"{field.upper()}: {said}"
