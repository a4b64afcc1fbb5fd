"""Promise 4: what a provider printed works as it was pasted."""

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from proofs import stacks
from proofs.contract import Outcome, Proof, Servers, Side, main
from proofs.encrypted import encrypted
from proofs.stacks import Open
from sqlalchemy import make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from holdfast.errors import ConfigurationError, UnavailableError
from holdfast.testing.faults import TlsFront
from holdfast.urls import parse

TLS = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
NAME = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
LIMIT = 2  # seconds to connect; libpq takes no less
TOO_LONG = LIMIT + 2.0  # seconds, on a busy machine
FAILURES = (TypeError, ArgumentError, DBAPIError, OSError, ConfigurationError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pasted:
    """The end of a URL, and what the server says when it is in force."""

    query: str
    sql: str
    answer: str


SHOWN: Mapping[str, Pasted] = {
    "sslmode": Pasted(query="sslmode=require", sql=TLS, answer="true"),
    "channel_binding": Pasted(query="channel_binding=prefer", sql=TLS, answer="true"),
    "application_name": Pasted(query="application_name=shop", sql=NAME, answer="shop"),
    "options": Pasted(query="options=-c%20work_mem%3D7MB", sql="SHOW work_mem", answer="7MB"),
}
WHOLE = "sslmode=require&channel_binding=require"  # as Neon prints it
UNBOUND = "sslmode=disable&channel_binding=require"  # no TLS, so nothing to bind to


async def compare(open_stack: Open, driver: str, servers: Servers) -> Outcome:
    """Paste each key into a URL of one stack, and ask the server whether it is in force."""
    server = (await servers.once(encrypted)).server
    url = make_url(server.url("owner")).set(drivername=driver, host="localhost")
    base = url.render_as_string(hide_password=False)
    pasted = {**SHOWN, "the whole URL": Pasted(query=WHOLE, sql=TLS, answer="true")}
    checks = [show(open_stack, f"{base}?{each.query}", each) for each in pasted.values()]
    checks += [give_up(open_stack, base), believe_one(open_stack, driver, servers)]
    found = await asyncio.gather(*checks)
    fates = dict(zip([*pasted, "connect_timeout", "sslrootcert"], found, strict=True))
    whole = fates.pop("the whole URL")
    works = [key for key, fate in fates.items() if not fate]
    return Outcome(
        said=f"{describe(fates)}; {WHOLE}: {whole or 'connects'}",
        true=f"{len(works)} of {len(fates)} keys are in force",
        kept=len(works) == len(fates) and not whole,
    )


async def show(open_stack: Open, url: str, pasted: Pasted) -> str:
    """Give what is wrong; empty when the server says that the key is in force."""
    try:
        async with open_stack(url) as stack, stack.begin() as session:
            answer = await session.scalar(text(pasted.sql))
    except FAILURES as error:
        return type(error).__name__
    return "" if answer == pasted.answer else f"not in force ({answer})"


async def believe_one(open_stack: Open, driver: str, servers: Servers) -> str:
    """Give what is wrong; empty when `verify-full` lets in the server that is meant, and no other.

    What speaks TLS here stands in front of a server that has none.
    """
    behind = servers.postgres.url("owner")
    with TlsFront(behind) as meant, TlsFront(behind, names=["db.example.com"]) as other:
        refused = {
            "another authority's": await verified(open_stack, driver, meant, meant.stranger),
            "another host's": await verified(open_stack, driver, other, other.authority),
        }
        if failed := await verified(open_stack, driver, meant, meant.authority):
            return failed
    taken = [whose for whose, why in refused.items() if not why]
    return f"takes {' and '.join(taken)} certificate" if taken else ""


async def verified(open_stack: Open, driver: str, front: TlsFront, authority: Path) -> str:
    """Connect with `verify-full`; give why it failed, empty where it did not."""
    url = make_url(front.url).set(drivername=driver)
    keys = {"sslmode": "verify-full", "sslrootcert": str(authority)}
    try:
        address = url.update_query_dict(keys).render_as_string(hide_password=False)
        async with open_stack(address) as stack, stack.begin() as session:
            await session.execute(text("SELECT 1"))
    except (*FAILURES, UnavailableError) as error:
        return type(error).__name__
    return ""


async def give_up(open_stack: Open, base: str) -> str:
    """Give what is wrong; empty when a server that says nothing is given up in time."""
    async with silent_port() as port:
        url = make_url(base).set(port=port).render_as_string(hide_password=False)
        began = time.monotonic()
        try:
            async with (
                asyncio.timeout(TOO_LONG),
                open_stack(f"{url}?connect_timeout={LIMIT}") as stack,
                stack.begin() as session,
            ):
                await session.execute(text("SELECT 1"))
        except TypeError as error:
            return type(error).__name__
        except (OSError, DBAPIError):
            took = time.monotonic() - began
            return "" if LIMIT * 0.9 < took < TOO_LONG else f"not in force ({took:.1f} s)"
    return "not in force"


@asynccontextmanager
async def silent_port() -> AsyncIterator[int]:
    """Listen, and never answer."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()


def describe(fates: Mapping[str, str]) -> str:
    """List the keys by what became of them."""
    by_fate: defaultdict[str, list[str]] = defaultdict(list)
    for key, fate in fates.items():
        by_fate[fate or "in force"].append(key)
    return "; ".join(f"{fate}: {', '.join(keys)}" for fate, keys in by_fate.items())


async def holdfast(servers: Servers) -> Outcome:
    """Paste for both drivers; on the one that can, channel binding is insisted on."""
    await servers.once(encrypted)
    sides = (compare(stacks.holdfast, f"postgresql+{each}", servers) for each in stacks.DRIVERS)
    outcomes = await asyncio.gather(*sides)
    outcome = stacks.together(dict(zip(stacks.DRIVERS, outcomes, strict=True)))
    reported = any("channel_binding" in each.what for each in parse(f"{ANY}?{WHOLE}").findings)
    insists = await refuses_unbound(servers)
    return Outcome(
        said=f"{outcome.said}; that asyncpg does not bind the channel is "
        f"{'reported' if reported else 'NOT reported'}",
        true=f"{outcome.true}; psycopg {'refuses' if insists else 'TAKES'} {UNBOUND}",
        kept=outcome.kept and reported and insists,
    )


async def refuses_unbound(servers: Servers) -> bool:
    """Tell whether a connection without channel binding is refused where it is required."""
    server = (await servers.once(encrypted)).server
    url = make_url(server.url("owner")).set(drivername="postgresql+psycopg")
    try:
        async with stacks.holdfast(f"{url.render_as_string(hide_password=False)}?{UNBOUND}"):
            return False
    except UnavailableError as error:
        return "channel binding" in str(error)


ANY = "postgresql://ann@localhost/shop"
ASYNCPG, PSYCOPG = "postgresql+asyncpg", "postgresql+psycopg"

PROOF = Proof(
    promise=4,
    title="A URL works as the provider printed it",
    deed=(
        "sslmode, channel_binding, application_name, options and connect_timeout, each at the end "
        "of a URL, then a whole one as Neon prints it. A server with TLS says what is in force; "
        f"a port that never answers must be given up after {LIMIT} s. With sslmode=verify-full and "
        "sslrootcert, a certificate of another authority and one for another host are refused."
    ),
    plain=Side(packages=["sqlalchemy", "asyncpg"], run=partial(compare, stacks.plain, ASYNCPG)),
    peers=[
        Side(packages=["sqlalchemy", "psycopg"], run=partial(compare, stacks.plain, PSYCOPG)),
        Side(
            packages=["advanced-alchemy", "asyncpg"],
            run=partial(compare, stacks.advanced_alchemy, ASYNCPG),
        ),
    ],
    holdfast=Side(packages=["holdfast", "asyncpg", "psycopg"], run=holdfast),
)

if __name__ == "__main__":
    sys.exit(main([PROOF]))
