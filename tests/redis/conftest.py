"""Real servers that fail over, and what a test did to them undone."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from proofs.redis_engines import Cluster, Sentinels, cluster, sentinels

PATIENT = "60000"  # milliseconds: nobody takes over in the meantime


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _sentinels() -> AsyncIterator[Sentinels]:
    settings = {"down-after-milliseconds": PATIENT}
    async with sentinels(
        password="sesame", sentinel_password="simsim", sentinel_settings=settings
    ) as group:
        yield group


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _cluster() -> AsyncIterator[Cluster]:
    async with cluster(password="sesame") as group:
        yield group


@pytest.fixture
async def changing() -> AsyncIterator[Sentinels]:
    """Give a group of one test, which may change the master: that takes long to undo."""
    async with sentinels() as own:
        yield own


@pytest.fixture
async def group(_sentinels: Sentinels) -> AsyncIterator[Sentinels]:
    """Give a master, two replicas and three Sentinels, all well, and none that takes over."""
    yield _sentinels
    await _sentinels.mend()


@pytest.fixture
async def shards(_cluster: Cluster) -> AsyncIterator[Cluster]:
    """Give three masters and a replica of each, all well, and nothing stored.

    No replica takes over unless a test sets the patience.
    """
    await _cluster.set_patience(PATIENT)
    yield _cluster
    await _cluster.mend()
    for node in _cluster.nodes:
        if await node.is_master():
            await node.ask("FLUSHALL")
