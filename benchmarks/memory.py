"""What a process holds at most while it reads or writes: `python -m benchmarks.memory WHAT URL N`.

Its highest point is measured after a little of the same work was done, and after all of it.
"""

import asyncio
import resource
import sys
from pathlib import Path

from benchmarks.cards import Card, CardRow, make
from sqlalchemy import select

from holdfast import fastlane
from holdfast.database import Database

STATUS = Path("/proc/self/status")
LITTLE = 2_000
PER_MEGABYTE = 1024 * (1024 if sys.platform == "darwin" else 1)


async def megabytes(what: str, url: str, rows: int) -> float:
    """Run this in a process of its own, and give by how many megabytes it grew."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.memory", what, url, str(rows)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"benchmarks.memory {what} failed")
    return float(output)


async def read(db: Database, rows: int) -> None:
    """Read so many rows, and keep none."""
    statement = select(Card.id, Card.name, Card.kind, Card.data, Card.at).limit(rows)
    async with db.read(snapshot=True) as session:
        async for _ in fastlane.stream(session, statement, into=CardRow):
            pass


async def write(db: Database, rows: int) -> None:
    """Write so many rows, and keep none."""
    async with db.begin() as session:
        await fastlane.copy_in(session, Card, (make(number) for number in range(rows)))


async def main(what: str, url: str, rows: str) -> None:
    """Print the megabytes."""
    work = {"read": read, "write": write}[what]
    async with Database(url) as db:
        await work(db, LITTLE)
        base = peak()
        await work(db, int(rows))
    print(round((peak() - base) / PER_MEGABYTE, 1))


def peak() -> int:
    """Return the most that this process has held.

    Linux begins the usage of a new program at what the one that started it had held: what this
    one holds itself stands in its status.
    """
    if STATUS.exists():
        lines = STATUS.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
