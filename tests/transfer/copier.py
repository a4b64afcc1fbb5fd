"""Copy, and stop before a certain statement for ever: somebody will kill it."""

import asyncio
import sys

from sqlalchemy import event

from holdfast import transfer
from holdfast.database import Database
from holdfast.events import Events

QUIET = Events(lambda _: None)


async def main(source: str, target: str, config: str, stop_at: str) -> None:
    """Copy one into the other, and stop where a statement for the target has this in it."""

    def look(_connection: object, _cursor: object, sql: str, *_more: object) -> None:
        if stop_at in sql:
            print("stopped", flush=True)
            sys.stdin.read()

    async with Database(source, events=QUIET) as old, Database(target, events=QUIET) as new:
        event.listen(new.engine.sync_engine, "before_cursor_execute", look)
        await transfer.copy(old, new, config)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
