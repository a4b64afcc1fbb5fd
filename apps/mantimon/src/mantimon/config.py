"""What the application is told by its environment, checked once, at start.

In development every setting has a default that fits `docker-compose.yml`, and a file `.env` in
the current folder is read. Production takes nothing for granted.
"""

from enum import StrEnum
from functools import lru_cache
from typing import Any, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from holdfast import urls
from holdfast.errors import ConfigurationError
from holdfast.redis import SCHEMES

# The values of .env.example: they are known to everybody, so production refuses them.
DEV_DATABASE_URL = "postgresql://mantimon:mantimon@localhost:5433/mantimon"
DEV_REDIS_URL = "redis://localhost:6380/0"
DEV_SECRET_KEY = "for-development-only"  # noqa: S105  -- it says so itself
REQUIRED_IN_PRODUCTION = {
    "database_url": DEV_DATABASE_URL,
    "redis_url": DEV_REDIS_URL,
    "secret_key": DEV_SECRET_KEY,
    "oauth_google_client_id": "",
    "oauth_google_client_secret": "",
    "oauth_discord_client_id": "",
    "oauth_discord_client_secret": "",
}


class Environment(StrEnum):
    """Where the application runs."""

    DEV = "dev"
    STAGING = "staging"
    PROD = "prod"


class Settings(BaseSettings):
    """The application's settings, by the environment variable of the same name in capitals.

    URLs are secrets too, since they hold passwords: use `.get_secret_value()` where one is
    needed. No value of a secret is in the repr or in an error.

    Raises:
        pydantic.ValidationError: it names each setting that is wrong or missing.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    environment: Environment = Environment.DEV
    database_url: SecretStr = SecretStr(DEV_DATABASE_URL)
    redis_url: SecretStr = SecretStr(DEV_REDIS_URL)
    secret_key: SecretStr = Field(default=SecretStr(DEV_SECRET_KEY), min_length=1)
    oauth_google_client_id: str = ""
    oauth_google_client_secret: SecretStr = SecretStr("")
    oauth_discord_client_id: str = ""
    oauth_discord_client_secret: SecretStr = SecretStr("")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            # pydantic keeps what it was given in `error.errors()`, and the caller's traceback.
            raise _without_input(error) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  -- pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave `.env` out unless this is development: a forgotten file must not reach further.

        Raises:
            ConfigurationError: the file itself says that this is not development.
        """
        if {**env_settings(), **init_settings()}.get("environment", Environment.DEV) != "dev":
            return init_settings, env_settings
        said = dotenv_settings().get("environment", Environment.DEV)
        if said != Environment.DEV:
            raise ConfigurationError(
                f"ENVIRONMENT: .env says {said!r}, but .env is for development only; "
                "set ENVIRONMENT and the other settings in the environment itself"
            )
        return init_settings, env_settings, dotenv_settings

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr) -> SecretStr:
        if urls.parse(value.get_secret_value()).backend != "postgresql":
            raise ValueError("Mantimon needs PostgreSQL: postgresql://user:password@host/name")
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(SCHEMES):
            raise ValueError(f"it begins with one of {', '.join(SCHEMES)}")
        return value

    @model_validator(mode="after")
    def _is_fit_for_production(self) -> Self:
        if self.environment is Environment.PROD:
            wrong = [name.upper() for name in REQUIRED_IN_PRODUCTION if self._is_default(name)]
            if wrong:
                raise ValueError(
                    f"missing, or left at the default, in production: {', '.join(wrong)}"
                )
        return self

    def _is_default(self, name: str) -> bool:
        value = getattr(self, name)
        shown = value.get_secret_value() if isinstance(value, SecretStr) else value
        return shown.strip() in {"", REQUIRED_IN_PRODUCTION[name]}


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Read the settings at the first call; later calls give the same object.

    Raises:
        ConfigurationError: one line for each setting that is wrong, by its variable.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [_line(each["loc"], each["msg"]) for each in error.errors()]
        raise ConfigurationError("\n".join(lines)) from None


def _line(where: tuple[int | str, ...], message: str) -> str:
    name = str(where[0]).upper() if where else "settings"
    return f"{name}: {message}"


def _without_input(error: ValidationError) -> ValidationError:
    kept = error.errors(include_url=False, include_context=False, include_input=False)
    details = [
        InitErrorDetails(
            type=PydanticCustomError("setting", "{message}", {"message": _message(each["msg"])}),
            loc=each["loc"],
            input=None,
        )
        for each in kept
    ]
    return ValidationError.from_exception_data(error.title, details, hide_input=True)


def _message(message: str) -> str:
    return message.removeprefix("Value error, ")
