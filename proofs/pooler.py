"""Promise 4: a pasted URL that leads to a pooler gives each transaction its own results."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from proofs.contract import Outcome, Proof, Servers, Side, main
from proofs.fresh import fresh_database
from proofs.pgbouncer import SERVER_CONNECTIONS, pgbouncer
from proofs.stacks import together
from sqlalchemy import make_url

PROCESSES = 2
TRANSACTIONS, TRANSACTIONS_QUICK = 300, 30  # of each process
HANGS = 60  # seconds

Clients = Sequence[asyncio.subprocess.Process]


@asynccontextmanager
async def clients() -> AsyncIterator[Clients]:
    """Start the processes of a service: names of prepared statements collide between processes."""
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "proofs.pooler_client", str(number)),
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]
    try:
        yield started
    finally:
        for client in started:
            if client.returncode is None:
                client.kill()  # it has said all, or hangs
            await client.communicate()


async def compare(stack: str, driver: str, servers: Servers) -> Outcome:
    """Let the processes work through the pooler at once, and count how transactions ended."""
    transactions = TRANSACTIONS_QUICK if servers.quick else TRANSACTIONS
    async with (
        fresh_database(servers.postgres) as database,
        pgbouncer(database.near) as pooled,
    ):
        url = make_url(pooled).set(drivername=f"postgresql+{driver}").render_as_string()
        order = json.dumps({"stack": stack, "url": url, "transactions": transactions})
        working = (ask(client, order) for client in await servers.once(clients))
        ended = sum(await asyncio.gather(*working), Counter[str]())
        prepared = await database.connections()
    wanted = PROCESSES * transactions
    said = ", ".join(f"{times} {what}" for what, times in ended.most_common() if what != "WRONG")
    return Outcome(
        said=f"of {wanted} transactions {said}",
        true=f"{ended['WRONG']} got somebody else's result; {prepared} connections on the server",
        kept=ended["right"] == wanted,
    )


async def ask(client: asyncio.subprocess.Process, order: str) -> Counter[str]:
    """Have a process work, and give what it counted."""
    assert client.stdin
    assert client.stdout
    client.stdin.write(f"{order}\n".encode())
    async with asyncio.timeout(HANGS):
        answer = await client.stdout.readline()
    if not answer:
        raise RuntimeError("a process of the service ended")
    return Counter(json.loads(answer))


async def holdfast(servers: Servers) -> Outcome:
    """Paste it for both drivers."""
    return together(
        {driver: await compare("holdfast", driver, servers) for driver in ("asyncpg", "psycopg")}
    )


PROOF = Proof(
    promise=4,
    title="Behind PgBouncer in transaction mode each transaction has its own results",
    deed=(
        f"{PROCESSES} processes run {TRANSACTIONS} transactions each ({TRANSACTIONS_QUICK} in the "
        f"short form) through a pooler with {SERVER_CONNECTIONS} connections to the server, by the "
        "URL as it was pasted, and check every result."
    ),
    plain=Side(packages=["sqlalchemy", "asyncpg"], run=partial(compare, "plain", "asyncpg")),
    peers=[
        Side(packages=["sqlalchemy", "psycopg"], run=partial(compare, "plain", "psycopg")),
        Side(
            way="SQLAlchemy's recipe for PgBouncer",
            packages=["sqlalchemy", "asyncpg"],
            run=partial(compare, "recipe", "asyncpg"),
        ),
        Side(
            packages=["advanced-alchemy", "asyncpg"],
            run=partial(compare, "advanced-alchemy", "asyncpg"),
        ),
    ],
    holdfast=Side(packages=["holdfast", "asyncpg", "psycopg"], run=holdfast),
)

if __name__ == "__main__":
    sys.exit(main([PROOF]))
