"""Let models discuss in a temporary folder, show one discussion, check all, leave nothing."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from holdfast.errors import HoldfastError
from moai.demo.play import Demo
from moai.demo.report import Report, print_report


async def run(console: Console) -> bool:
    """Run the demo and print its report; tell whether every check holds."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="moai-demo-") as folder:
        played = await Demo(f"sqlite:///{Path(folder)}/moai.db").play()
    print_report(console, Report(played=played, seconds=time.perf_counter() - begun))
    return all(played.checks.values())


def main() -> None:
    """Run the demo; exit code 1 when something failed or a check does not hold."""
    try:
        held = asyncio.run(run(Console()))
    except HoldfastError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing is left behind")
    if not held:
        sys.exit("demo: a check does not hold")
    sys.stdout.write("demo: ok\n")


if __name__ == "__main__":
    main()
