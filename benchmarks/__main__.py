"""Measure the rows: `python -m benchmarks [--quick] [ROW …]`."""

import argparse
import asyncio
import sys
import traceback
from collections.abc import Sequence

from benchmarks import (
    documents,
    flushing,
    history,
    importing,
    loading,
    pooling,
    reading,
    recovering,
    running,
    saving,
    searching,
    starting,
    testing,
    transferring,
    writing,
)
from benchmarks.measure import Measured, Row, measure
from benchmarks.report import save, show

ROWS: tuple[Row, ...] = (
    reading.ONE,
    reading.LANE,
    reading.BULK,
    writing.ONE,
    writing.BULK,
    transferring.ROW,
    running.OVERHEAD,
    pooling.BURST,
    pooling.LANE,
    pooling.LINE,
    pooling.STORM,
    saving.SAVE,
    saving.LOAD,
    flushing.ROW,
    recovering.ROW,
    testing.SANDBOX,
    testing.DATABASE,
    testing.WORKERS,
    starting.COLD,
    starting.WARM,
    loading.LOAD,
    loading.GAME,
    searching.ROW,
    history.PAGES,
    history.BOARD,
    *documents.ROWS,
    importing.ROW,
)

# Every row of the design's table. One that is not built yet is named, and not counted.
NAMES = (
    "read.one", "read.one.lane", "read.bulk", "write.one", "write.bulk", "pool.burst",
    "pool.burst.lane", "pool.queue", "run.overhead", "cancel.storm", "state.save", "state.load",
    "state.flush", "state.recover", "test.sandbox", "test.database", "test.workers", "up.cold",
    "up.warm", "migrate.noop", "cards.load", "cards.load.game", "cards.search", "history.page",
    "history.board", "json.typed", "json.typed.read", "json.typed.insert", "json.typed.sqlite",
    "json.typed.sqlite.read", "json.typed.sqlite.insert", "import", "transfer",
)  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Measure the rows that are asked for, all by default; return 1 where one could not be run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each once, to see that it works")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="names of rows (all)")
    options = parser.parse_args(arguments)
    built = {row.name: row for row in ROWS}
    if unknown := set(options.rows) - set(built):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(built)}")
    rows = [built[name] for name in options.rows or built]
    measured = asyncio.run(measure_all(rows, quick=options.quick))
    save(measured, quick=options.quick)
    if waiting := [name for name in NAMES if name not in built]:
        print(f"not built yet: {' '.join(waiting)}")
    there = {each.row.name for each in measured}
    if failed := [row.name for row in rows if row.name not in there]:
        print(f"bench: could not be measured: {' '.join(failed)}")
    print(f"bench: {sum(row.met for row in measured)} of {len(rows)} goals met")
    return 1 if failed else 0


async def measure_all(rows: Sequence[Row], *, quick: bool) -> list[Measured]:
    """Measure and show one row after the other; one that cannot be run does not stop the rest."""
    measured = []
    for row in rows:
        try:
            measured.append(await measure(row, quick=quick))
        except Exception:  # noqa: BLE001  -- whatever it was, it is shown, and counts as not met
            print(f"{row.name}: could not be measured", file=sys.stderr)
            traceback.print_exc()
        else:
            show(measured[-1])
    return measured


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
