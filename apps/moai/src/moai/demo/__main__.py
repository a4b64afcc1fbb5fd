"""Let models discuss on SQLite, copy it all to PostgreSQL, show and check both, leave nothing."""

import asyncio
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console

from holdfast.errors import HoldfastError
from holdfast.services import PostgresPolicy, PostgresServer
from holdfast.urls import redact
from moai.demo.move import move
from moai.demo.play import Demo
from moai.demo.report import Report, print_report


async def run(console: Console) -> bool:
    """Run the demo and print its report; tell whether every check holds."""
    begun = time.perf_counter()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="moai-demo-"))
        file = f"sqlite:///{Path(folder)}/moai.db"
        server = PostgresServer(policy=PostgresPolicy(database="moai"))
        # A server takes as long to start as all of the rest.
        starting = stack.enter_async_context(server)
        _, played = await asyncio.gather(starting, Demo(file).play())
        moved = await move(file, server.url("owner"), server.url("app"), played)
        name = f"{server.product} {server.version}, started from {server.source}"
    seconds = time.perf_counter() - begun
    report = Report(played=played, moved=moved, postgresql=name, seconds=seconds)
    print_report(console, report)
    return report.held


def main() -> None:
    """Run the demo; exit code 1 when something failed or a check does not hold."""
    try:
        held = asyncio.run(run(Console()))
    except HoldfastError as error:
        sys.exit(f"error: {redact(str(error))}")
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing is left behind")
    if not held:
        sys.exit("demo: a check does not hold")
    sys.stdout.write("demo: ok\n")


if __name__ == "__main__":
    main()
