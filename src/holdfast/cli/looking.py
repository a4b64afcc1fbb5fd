"""Look at everything that a project is configured with, each part for itself."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from holdfast import migrate, observe, redis, settings
from holdfast.cli.configuration import Configuration, Given, client_of
from holdfast.database import Database, DatabasePolicy
from holdfast.errors import ConfigurationError
from holdfast.events import Check, Events
from holdfast.settings import Project
from holdfast.urls import DatabaseUrl, parse, redact

_LOOKS_FOR = 10.0  # seconds for a part, besides those to connect
_NO_DIRECT = "no direct URL"  # what a URL by itself says, not knowing of another variable


class Looking:
    """Asks all parts, and gives what they say.

    Args:
        project: has the migrations.
        given: the URLs.
        prefix: of the variables that the application's policy is read from; None for defaults.
        processes: of the application.

    Raises:
        ConfigurationError: a variable with the prefix cannot be used.
    """

    def __init__(
        self, project: Project, given: Configuration, prefix: str | None, processes: int
    ) -> None:
        self._project = project
        self._given = given
        self._prefix = prefix
        self._policy = _policy(prefix)
        self._processes = processes

    async def look(self) -> list[Check]:
        """Give what was found, without secrets; it ends whatever hangs."""
        parts: dict[str, observe.Part] = {"project": self._settings}
        within = self._policy.connect_timeout
        try:
            url = _read(self._given.database)
        except ConfigurationError as error:
            parts["url"] = partial(_said, _unusable(error))
        else:
            parts |= self._about(url)
            within = url.connect_timeout or within
        if self._given.redis:
            parts["redis"] = partial(_redis, self._given.redis)
        found = await observe.health(within=within + _LOOKS_FOR, **parts)
        return [
            replace(each, said=redact(each.said), advice=redact(each.advice))
            for each in found.checks
        ]

    async def _settings(self) -> Sequence[Check]:
        defaults = "DatabasePolicy's defaults; --prefix reads the application's own"
        limits = f"from variables {self._prefix}…" if self._prefix else defaults
        return [
            Check(name="folder", said=f"{self._project.name} in {self._project.root}"),
            Check(name="policy", said=limits),
        ]

    def _about(self, url: DatabaseUrl) -> dict[str, observe.Part]:
        return {
            "url": partial(_said, *_explain(url, self._given.database)),
            "database": partial(self._database, url),
            "migrations": partial(self._migrations, url),
        }

    async def _database(self, url: DatabaseUrl) -> Sequence[Check]:
        try:
            async with _opened(url, self._policy) as db:
                return await db.examine(processes=self._processes)
        except ConfigurationError as error:
            return [_unusable(error)]

    async def _migrations(self, url: DatabaseUrl) -> Sequence[Check]:
        config = self._project.alembic_path
        if not config.is_file():
            return [Check(name="revision", said=f"{config} is not there: nothing is migrated")]
        try:
            way, source = _for_migrations(url, self._given)
            async with _opened(way, DatabasePolicy()) as db:
                reached = (await db.check())[0]
                if reached.ok:
                    checks = await migrate.check(db, config)
                    return [_direct(way, source), *(_for_this(each, source) for each in checks)]
        except ConfigurationError as error:
            return [_unusable(error)]
        # The cause was said already, unless it is another way.
        return [_direct(way, source), *([] if way == url else [reached])]


def _policy(prefix: str | None) -> DatabasePolicy:
    return settings.load(DatabasePolicy, prefix=prefix) if prefix else DatabasePolicy()


def _read(given: Given) -> DatabaseUrl:
    try:
        return parse(given.url)
    except ConfigurationError as error:
        raise ConfigurationError(f"{given.source}: {error}") from None


def _explain(url: DatabaseUrl, given: Given) -> Iterator[Check]:
    """Say how the URL is understood, and what follows."""
    yield Check(name="understood", said=f"{url}, from {given.source}")
    driver = url.engine.get_driver_name()
    names = {f"driver {driver}": "driver", url.provider: "provider"}
    if "driver" not in {names.get(each.what) for each in url.findings}:
        yield Check(name="driver", said=driver)
    for each in url.findings:
        if each.what != _NO_DIRECT:
            yield Check(name=names.get(each.what, "finding"), said=str(each))


def _for_migrations(url: DatabaseUrl, given: Configuration) -> tuple[DatabaseUrl, str]:
    """Give the URL that `holdfast migrate` goes by, and where it comes from."""
    chosen = next(filter(None, (given.direct, given.owner)), given.database)
    read = url if chosen is given.database else _read(chosen)
    return (
        (read.direct, f"{chosen.source}, past its pooler") if read.direct else (read, chosen.source)
    )


def _direct(way: DatabaseUrl, source: str) -> Check:
    if way.pooler != "transaction":
        return Check(name="url", said=f"{way}, from {source}")
    return Check(
        name="url",
        said=f"{way}, from {source}: no way past its pooler is known",
        state="warning",
        advice="set DIRECT_DATABASE_URL to the server's own host and port",
    )


def _for_this(check: Check, source: str) -> Check:
    """Say that the advice is about the URL given: without it `migrate` may mean another one."""
    if not check.advice or not source.startswith("--url"):
        return check
    return replace(check, advice=f"{check.advice}, with the same --url")


@asynccontextmanager
async def _opened(url: DatabaseUrl, policy: DatabasePolicy) -> AsyncIterator[Database]:
    db = Database(url, policy=policy, events=Events(lambda _event: None))
    try:
        yield db
    finally:
        await db.close()


async def _redis(given: Given) -> Sequence[Check]:
    try:
        client = client_of(given.url)
    except ConfigurationError as error:
        return [_unusable(ConfigurationError(f"{given.source}: {error}"))]
    async with client:
        checks = await redis.check(client)
    return [replace(checks[0], said=f"{checks[0].said}, from {given.source}"), *checks[1:]]


async def _said(*checks: Check) -> Sequence[Check]:
    return checks


def _unusable(error: ConfigurationError) -> Check:
    return Check(name="understood", said=str(error), state="failed", advice="correct it there")
