"""Start a real server, migrate, chat, cut connections, check everything, leave nothing."""

import asyncio
import sys
import time
from contextlib import AsyncExitStack

from rich.console import Console

from faceplate.db.start import ALEMBIC_INI
from faceplate.demo.play import Demo
from faceplate.demo.report import Report, print_report, show_progress
from faceplate.demo.stack import open_server
from holdfast import migrate
from holdfast.database import Database
from holdfast.errors import HoldfastError
from holdfast.urls import redact


async def run(console: Console) -> bool:
    """Run the demo and print its report; tell whether every check holds."""
    begun = time.perf_counter()
    async with AsyncExitStack() as stack:
        server = await open_server(stack)
        async with Database(server.owner) as owner:
            migrated = await migrate.upgrade(owner, ALEMBIC_INI)
        demo = Demo(server.app)
        try:
            with show_progress(console) as progress:
                played = await demo.play(progress)
        finally:
            if server.given:
                await demo.clean_up()
        seconds = time.perf_counter() - begun
        print_report(
            console, Report(server=server, migrated=migrated, played=played, seconds=seconds)
        )
    return all(played.checks.values())


def main() -> None:
    """Run the demo; exit code 1 when something failed or a check does not hold."""
    console = Console()
    try:
        held = asyncio.run(run(console))
    except HoldfastError as error:
        sys.exit(f"error: {redact(str(error))}")
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing is left running")
    if not held:
        sys.exit("demo: a check does not hold")
    sys.stdout.write("demo: ok\n")


if __name__ == "__main__":
    main()
