"""The client of a cluster."""

import asyncio
from typing import Any, Self

from redis import exceptions
from redis._parsers import AsyncCommandsParser
from redis.asyncio.cluster import ClusterNode, ClusterPipeline, PipelineCommand, RedisCluster
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisClusterException

REDIRECTIONS = 5  # in a row, as many as clients usually allow
PRIMARY = "primary"  # what redis-py calls a master
# After these the nodes are asked again who has which keys, before the next command.
_LOST = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    ClusterDownError,
    RedisClusterException,
)
_STILL_THERE = (exceptions.BusyLoadingError, exceptions.MaxConnectionsError)


class Cluster(RedisCluster):
    """redis-py's client of a cluster, which sends a command once.

    redis-py chooses the node, keeps the connections, and asks who has which keys. What it would
    try again is an error at once: TRYAGAIN, which it tries up to sixteen times, and CLUSTERDOWN,
    for which it closes all connections, of others as well, and sleeps. ASKING goes over the same
    connection as its command; redis-py takes any two, so that with many the one that is asked
    over seldom gets the command.
    """

    def __init__(self, **options: Any) -> None:
        # A move of a key is noted by itself; redis-py would close all connections at each fifth.
        super().__init__(**options, reinitialize_steps=0)
        self.commands_parser = _Commands(self)
        self._lost_node: str | None = None

    async def __aenter__(self) -> Self:
        """Do no I/O, as the other clients."""
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.shield(self.aclose())

    async def aclose(self) -> None:
        """Close all connections, also when the nodes would have been asked again next."""
        await super().aclose()
        for kept in ("nodes_cache", "startup_nodes"):
            await self.nodes_manager.aclose(kept)

    async def initialize(
        self,
        additional_startup_nodes_info: list[tuple[str, int]] | None = None,
        last_failed_node_name: str | None = None,
    ) -> "Cluster":
        """Ask who has which keys, if that is not known: a node that was lost is asked last.

        Raises:
            redis.exceptions.RedisError: no node says it, or some keys have no node; redis-py's own
                error is none of these, which callers catch.
        """
        try:
            await super().initialize(
                additional_startup_nodes_info, last_failed_node_name or self._lost_node
            )
        except RedisClusterException as error:
            failed = error
        else:
            return self
        if isinstance(failed.__cause__, exceptions.RedisError):
            raise failed.__cause__  # of the node that was asked last; with its own cause
        raise exceptions.ConnectionError(str(failed.__cause__ or failed))

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Send a command; as long as redis-py knows no node it would choose any for it."""
        await self.initialize()
        return await super().execute_command(*args, **kwargs)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> "Pipeline":
        """Make a pipeline, whose commands may go to several nodes."""
        if shard_hint:
            raise RedisClusterException("shard_hint is deprecated in cluster mode")
        return Pipeline(self, transaction)  # type: ignore[abstract]  # redis-py makes it as well

    def look_again_after(self, error: Exception, node: ClusterNode | None = None) -> None:
        """Have the nodes asked again before the next command, and `node` last."""
        if isinstance(error, _STILL_THERE):
            return
        self._initialize = True
        if node and not isinstance(error, ClusterDownError):
            self._lost_node = node.name
            self.nodes_manager.move_node_to_end_of_cached_nodes(node.name)

    async def _execute_command(self, target_node: ClusterNode, *args: Any, **kwargs: Any) -> Any:
        """Send a command; again only where a node says that it did not run it."""
        node, send = target_node, _send
        for _ in range(REDIRECTIONS + 1):
            try:
                return await send(node, *args, **kwargs)
            except MovedError as moved:  # a kind of AskError
                await self.nodes_manager.move_slot(moved)
                node, send = self._node_at(moved), _send
            except AskError as asked:
                node, send = self._node_at(asked), _send_asking
            except _LOST as error:
                self.look_again_after(error, node)
                raise
        raise exceptions.ClusterError(f"sent on {REDIRECTIONS} times, last to {node.name}")

    def _node_at(self, told: AskError) -> ClusterNode:
        """Find the node that another one names; it may be too new to be known."""
        if known := self.get_node(told.host, told.port):
            return known
        new = ClusterNode(told.host, told.port, PRIMARY, **self.connection_kwargs)
        self.nodes_manager.set_nodes(self.nodes_manager.nodes_cache, {new.name: new})
        return new


class Pipeline(ClusterPipeline):
    """redis-py's pipeline, after which the client learns of a change of the cluster as well."""

    async def execute(
        self,
        raise_on_error: bool = True,  # noqa: FBT001, FBT002  -- as redis-py has it
        allow_redirections: bool = True,  # noqa: FBT001, FBT002
    ) -> list[Any]:
        """Send all commands, each once; see redis-py."""
        client = self.cluster_client
        assert isinstance(client, Cluster)
        try:
            answers = await super().execute(raise_on_error, allow_redirections)
        except (*_LOST, MovedError) as error:
            client.look_again_after(error)
            raise
        for answer in answers:
            if isinstance(answer, _LOST):
                client.look_again_after(answer)
        return answers


class _Commands(AsyncCommandsParser):
    """Where the keys stand in commands: asked once, and of another node when one is silent."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self._cluster = cluster

    async def initialize(self, node: ClusterNode | None = None) -> None:
        """Ask if it is not known; without a node ask again, for a command that is not known."""
        if node and self.commands:
            self.node = node
            return
        failed: Exception | None = None
        for each in sorted(self._cluster.get_primaries(), key=lambda other: other != node):
            try:
                await super().initialize(each)
            except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
                failed = error
            else:
                return
        raise failed or exceptions.ConnectionError("no master is known")


async def _send(node: ClusterNode, *args: Any, **kwargs: Any) -> Any:
    return await node.execute_command(*args, **kwargs)


async def _send_asking(node: ClusterNode, *args: Any, **kwargs: Any) -> Any:
    command = PipelineCommand(1, *args, **kwargs)
    await node.execute_pipeline([PipelineCommand(0, "ASKING"), command])
    if isinstance(command.result, Exception):
        raise command.result
    return command.result
