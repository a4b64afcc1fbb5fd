"""The same work on PostgreSQL and SQLite side by side, and what was seen on each."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from proofs.contract import Servers
from proofs.folders import open_folder
from proofs.fresh import fresh_database

ENGINES = ("asyncpg", "aiosqlite")  # their drivers here


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """How one thing went, and whether that is as it should be."""

    text: str
    good: bool


Facts = Mapping[str, Fact]  # by what was done


@asynccontextmanager
async def empty_databases(servers: Servers) -> AsyncIterator[Mapping[str, str]]:
    """Give the URL of an empty database on each engine."""
    with open_folder() as folder:
        async with fresh_database(servers.postgres) as fresh:
            yield {
                "PostgreSQL": fresh.url(),
                "SQLite": f"sqlite+aiosqlite:///{folder}/proof.db",
            }


def describe(seen: Mapping[str, Facts], what: Iterable[str]) -> str:
    """Say how things went, once where it is the same on each engine."""
    return "; ".join(
        f"{each}: {_agree({engine: facts[each].text for engine, facts in seen.items()})}"
        for each in what
    )


def all_good(seen: Mapping[str, Facts]) -> bool:
    """Tell whether everything is as it should be on each engine."""
    return all(fact.good for facts in seen.values() for fact in facts.values())


def _agree(texts: Mapping[str, str]) -> str:
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return ", ".join(f"{text} on {engine}" for engine, text in texts.items())
