"""Start real servers, migrate, play, check everything, print what happened, leave nothing."""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console

from holdfast import migrate, redis
from holdfast.database import Database
from holdfast.errors import HoldfastError
from holdfast.urls import redact
from mantimon.demo.games import make_seed, play_games, remove_games
from mantimon.demo.play import Demo
from mantimon.demo.report import Report, print_report, show_progress
from mantimon.demo.stack import open_stack
from mantimon.services.card_service import get_card_service

ALEMBIC = Path(__file__).parents[3] / "alembic.ini"
# Fifty tasks keep a slow machine busy for longer than a service would wait for Redis.
PATIENT = redis.RedisPolicy(connect_timeout=30, timeout=30, pool_timeout=30)


async def run(console: Console) -> bool:
    """Run the demo and print its report; tell whether every check holds."""
    begun = time.perf_counter()
    cards = get_card_service()
    async with AsyncExitStack() as stack:
        urls, services = await open_stack(stack)
        async with Database(urls.owner) as owner:
            migrated = await migrate.upgrade(owner, ALEMBIC)
        db = await stack.enter_async_context(Database(urls.app))
        client = await stack.enter_async_context(redis.client(urls.redis, policy=PATIENT))
        demo, seed = Demo(db, client, cards), make_seed()
        try:
            with show_progress(console) as progress:
                played = await demo.play(progress)
                games = await play_games(urls, db, cards, seed, progress)
        finally:
            if urls.given:
                await demo.clean_up()
                await remove_games(db, client, seed)
        report = Report(
            services=services,
            migrated=migrated,
            cards=cards.stats(),
            played=played,
            games=games,
            urls=urls,
            seconds=time.perf_counter() - begun,
        )
        print_report(console, report)
    return all(played.checks.values()) and all(games.checks.values())


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
