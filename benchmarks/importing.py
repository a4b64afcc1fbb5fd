"""Row `import`: what the first line of a service costs."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.interpreter import bytecode
from benchmarks.measure import Contenders, RatioGoal, Row, Run, Sample

# In a fresh interpreter, timed inside it: starting Python is not the import's doing.
CODE = """
import sys, time
before = len(sys.modules)
began = time.perf_counter()
import {module}
print(time.perf_counter() - began, len(sys.modules) - before)
"""


def importing(module: str, environment: dict[str, str]) -> tuple[str, Run]:
    """Return a contender that imports a module; more work is more interpreters."""

    async def run(work: int) -> Sample:
        samples = [await import_once(module, environment) for _ in range(work)]
        seconds = sum(sample.seconds for sample in samples)
        return Sample(seconds=seconds, counts=samples[-1].counts)

    return module, run


async def import_once(module: str, environment: dict[str, str]) -> Sample:
    """Import a module in an interpreter of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CODE.format(module=module),
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"import {module} failed")
    seconds, modules = output.split()
    return Sample(seconds=float(seconds), counts={"modules": int(modules)})


@asynccontextmanager
async def contenders(quick: bool) -> AsyncIterator[Contenders]:  # noqa: ARG001, FBT001
    """Import each once before, so that all find their bytecode compiled."""
    with bytecode() as environment:
        modules = ("sqlalchemy.ext.asyncio", "advanced_alchemy.config", "holdfast.database")
        limit, peer, ours = (importing(module, environment) for module in modules)
        for _, run in (limit, peer, ours):
            await run(1)
        yield Contenders(limit=limit, peers=[peer], ours=ours)


ROW = Row(
    name="import",
    what="import in a fresh interpreter, the interpreter's own start not counted",
    goals=[RatioGoal(at_most=1.15)],
    contenders=contenders,
    grows=False,  # a module is imported once
    repeats=11,
)
