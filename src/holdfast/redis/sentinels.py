"""Connections to the master that Sentinels name."""

import asyncio
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.exceptions import RedisError
from redis.utils import str_if_bytes

from holdfast.redis.address import Host
from holdfast.redis.causes import explain
from holdfast.redis.places import place_of


class Watch(Sentinel):
    """The Sentinels of a service, asked all at once: one that is frozen holds nobody up.

    redis-py asks one after the other and moves the one that answered to the front of its list.
    Asked by several tasks at a time, it loses some of them from the list in doing so. It also asks
    for the state of the service, where the Sentinel that leads a change of the master goes on
    naming the old one until all is done.
    """

    async def discover_master(self, service_name: str) -> Host:
        """Give the address of the first answer that names a master.

        Raises:
            MasterNotFoundError: none does; with what each said.
        """
        asked = [asyncio.ensure_future(self._ask(each, service_name)) for each in self.sentinels]
        said: list[str] = []
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    return await answer
                except MasterNotFoundError as error:
                    said.append(str(error))
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        raise MasterNotFoundError(f"no master of {service_name!r}: {'; '.join(sorted(said))}")

    async def _ask(self, sentinel: Redis, service: str) -> Host:
        try:
            # redis-py's types are those of other answers.
            found: Any = await sentinel.sentinel_get_master_addr_by_name(service)
            known: Any = [] if found else await sentinel.sentinel_masters()
        except (RedisError, OSError) as error:
            raise MasterNotFoundError(f"Sentinel {place_of(sentinel)}: {explain(error)}") from error
        if not found:
            names = ", ".join(sorted(known)) or "none"
            raise MasterNotFoundError(f"Sentinel {place_of(sentinel)} knows only {names}")
        host, port = found
        return str_if_bytes(host), port


class MasterPool(SentinelConnectionPool, BlockingConnectionPool):
    """A bounded pool of connections to the master; it owns the connections to the Sentinels."""

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        """Leave an old master also where it still answers: what it is told is lost."""
        leads_to = getattr(connection, "host", None), getattr(connection, "port", None)
        if self.master_address not in {None, leads_to}:
            await connection.disconnect()
        await super().ensure_connection(connection)

    async def aclose(self) -> None:
        """Close all connections."""
        try:
            await super().aclose()
        finally:
            await self.sentinel_manager.aclose()
