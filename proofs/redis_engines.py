"""Redis or Valkey behind Sentinels, and as a cluster: real servers that fail over."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from proofs.folders import open_folder
from proofs.redis_node import HOST, Node, wait_until
from redis.crc import key_slot

from holdfast.services import find_redis

SERVICE = "main"  # what the sentinels call the master
SLOTS = 16_384
QUORUM = "2"
SERVER = {
    "save": '""',
    "appendonly": "no",
    "maxmemory-policy": "noeviction",
    "repl-diskless-sync": "yes",
    "repl-diskless-sync-delay": "0",  # else a replica waits for 5 s
    "repl-ping-replica-period": "1",  # an idle one is not listed in a cluster until the first
}
# Milliseconds. With less, a busy machine fails over by itself.
SENTINEL = {"down-after-milliseconds": "1000", "failover-timeout": "5000"}
CLUSTER = {"cluster-enabled": "yes", "cluster-node-timeout": "1000"}
SETTLES = 60.0  # seconds: a sentinel is in no hurry to demote an old master
NONE: Mapping[str, str] = {}


@dataclass(slots=True, kw_only=True)
class Sentinels:
    """A master, replicas that follow it, and sentinels that choose another when it is gone.

    Attributes:
        nodes: servers.
        master: of the nodes, the one that was master when it was last looked.
        sentinels: those who watch.
    """

    nodes: Sequence[Node]
    sentinels: Sequence[Node]
    master: Node

    @property
    def replicas(self) -> list[Node]:
        """The other nodes."""
        return [node for node in self.nodes if node is not self.master]

    @property
    def url(self) -> str:
        """How a client gets to the master, with the passwords."""
        places = ",".join(each.place for each in self.sentinels)
        own = self.sentinels[0].password
        query = f"?sentinel_password={own}" if own else ""
        return f"redis+sentinel://{secret(self.master)}{places}/{SERVICE}{query}"

    async def fail_over(self) -> None:
        """Have a replica take over, as for maintenance; return when it is master.

        The old master still takes writes for about ten seconds, and these are lost.
        """
        await self.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)
        await self.until_taken_over()

    async def until_taken_over(self) -> None:
        """Wait until the sentinels name another master, which is one."""
        await wait_until(self._taken_over)

    async def until_followed(self) -> None:
        """Wait until the replicas that run have the master's data."""

        async def followed() -> bool:
            running = [node for node in self.replicas if node.runs]
            return all([await node.follows(self.master) for node in running])

        await wait_until(followed)

    async def demote(self, node: Node) -> None:
        """Have an old master follow the new one, as the sentinels do after about ten seconds."""
        await node.ask("REPLICAOF", HOST, self.master.port)
        await node.ask("CLIENT", "KILL", "TYPE", "normal")

    async def set_patience(self, milliseconds: str) -> None:
        """Say how long a master may be silent before another takes over."""
        for each in self.sentinels:
            await each.ask("SENTINEL", "SET", SERVICE, "down-after-milliseconds", milliseconds)

    async def mend(self) -> None:
        """Undo what was done to the servers, and wait until all is well."""
        await revive([*self.nodes, *self.sentinels])
        await self.settle()

    async def settle(self) -> None:
        """Wait until every node runs, the others follow the master, and the sentinels know all.

        After a change of the master that takes ten seconds and more: new servers are there sooner.
        """
        await wait_until(self._settled, SETTLES)

    async def named(self, sentinel: Node) -> Node | None:
        """Ask a sentinel who the master is."""
        _, port = await sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next((node for node in self.nodes if node.port == int(port)), None)

    async def _taken_over(self) -> bool:
        running = [each for each in self.sentinels if each.runs]
        named = await asyncio.gather(*map(self.named, running))
        new = named[0]
        if new in {None, self.master} or len({*named}) > 1 or not await new.is_master():
            return False
        self.master = new
        return True

    async def _settled(self) -> bool:
        await self._taken_over()  # unasked, on a machine that is too busy
        follow = [node.follows(self.master) for node in self.replicas]
        return all(await asyncio.gather(*follow, *map(self._knows_all, self.sentinels)))

    async def _knows_all(self, sentinel: Node) -> bool:
        told = await sentinel.ask("SENTINEL", "MASTER", SERVICE)
        replicas = await sentinel.ask("SENTINEL", "REPLICAS", SERVICE)
        others = await sentinel.ask("SENTINEL", "SENTINELS", SERVICE)
        return (
            await self.named(sentinel) is self.master
            and [each["flags"] for each in (told, *replicas, *others)]
            == ["master"]
            + ["slave"] * len(self.replicas)
            + ["sentinel"] * (len(self.sentinels) - 1)
            # Else none of them can be chosen yet.
            and all(each["master-link-status"] == "ok" for each in replicas)
        )


@dataclass(slots=True, kw_only=True)
class Cluster:
    """Masters that share the keys among them, each followed by a replica.

    Attributes:
        nodes: all of them; the masters of the beginning first.
    """

    nodes: Sequence[Node]
    _changed: float = field(default=0.0, init=False)

    @property
    def url(self) -> str:
        """How a client gets there, with the password of the servers."""
        return f"redis+cluster://{secret(self.nodes[0])}{','.join(n.place for n in self.nodes)}"

    async def owner(self, key: str) -> Node:
        """Ask the nodes that run which one has a key."""
        for node in self._running():
            for first, last, (_, port, *_), *_ in await node.ask("CLUSTER", "SLOTS"):
                if first <= key_slot(key.encode()) <= last:
                    return self._at(port)
        raise LookupError(f"no node has {key}")

    async def masters(self) -> list[Node]:
        """Ask which nodes are masters."""
        return [node for node in self._running() if await node.is_master()]

    async def followed(self) -> list[tuple[Node, Node]]:
        """Ask which masters have a replica; give both."""
        masters, running = await self.masters(), self._running()
        return [(each, node) for each in masters for node in running if await node.follows(each)]

    async def replica_of(self, master: Node) -> Node:
        """Find the node that follows another."""
        for node in self._running():
            if await node.follows(master):
                return node
        raise LookupError(f"no node follows {master.place}")

    async def fail_over(self, master: Node) -> Node:
        """Have its replica take over, as for maintenance; nothing is lost.

        Returns:
            The new master, as all nodes know.
        """
        replica = await self.replica_of(master)
        # Votes of the last change count until then: with them a node would take over at once, and
        # for a moment only, since they are out of date.
        voted = self._changed + max(2.0, 2 * await self._node_timeout(replica)) + 0.5
        await asyncio.sleep(max(voted - time.monotonic(), 0))
        await replica.ask("CLUSTER", "FAILOVER")
        await self.until_master(replica)
        return replica

    async def until_master(self, node: Node) -> None:
        """Wait until the nodes that run agree that a node has slots, and that all slots are had."""

        async def agreed() -> bool:
            states = await asyncio.gather(*(self._masters(each) for each in self._running()))
            return all(node.port in masters for masters in states)

        await wait_until(agreed)
        self._changed = time.monotonic()

    async def set_patience(self, milliseconds: str) -> None:
        """Say how long a master may be silent before its replica takes over."""
        for each in self._running():
            await each.ask("CONFIG", "SET", "cluster-node-timeout", milliseconds)

    async def mend(self) -> None:
        """Undo what was done to the servers, and wait until all is well."""
        await revive(self.nodes)
        await self.set_patience(CLUSTER["cluster-node-timeout"])
        await self.settle()

    async def settle(self) -> None:
        """Wait until every node runs, half are masters, and each of these has a replica."""
        await wait_until(self._settled)

    async def begin_move(self, key: str, target: Node) -> None:
        """Let a key's slot begin to move: for a key that is not there, the owner sends on."""
        source, slot = await self.owner(key), key_slot(key.encode())
        await target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", await self._id(source))
        await source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", await self._id(target))

    async def end_move(self, key: str, target: Node) -> None:
        """Move what is left of the slot's keys, and make the target their owner."""
        source, slot = await self.owner(key), key_slot(key.encode())
        keys = await source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1_000)
        if keys:
            auth = ["AUTH", source.password] if source.password else []
            limit = 5_000  # milliseconds
            await source.ask("MIGRATE", HOST, target.port, "", 0, limit, *auth, "KEYS", *keys)
        for node in (target, source):
            await node.ask("CLUSTER", "SETSLOT", slot, "NODE", await self._id(target))

    def _running(self) -> list[Node]:
        return [node for node in self.nodes if node.runs]

    def _at(self, port: int) -> Node:
        return next(node for node in self.nodes if node.port == port)

    async def _node_timeout(self, node: Node) -> float:
        told = await node.ask("CONFIG", "GET", "cluster-node-timeout")
        return int(told["cluster-node-timeout"]) / 1_000

    async def _id(self, node: Node) -> str:
        return str(await node.ask("CLUSTER", "MYID"))

    async def _masters(self, node: Node) -> dict[int, int]:
        """Ask a node for the ports of the masters, each with how many replicas it has.

        None while the node refuses to answer for keys.
        """
        if "cluster_state:ok" not in await node.ask("CLUSTER", "INFO"):
            return {}
        told = await node.ask("CLUSTER", "SLOTS")
        return {master[1]: len(replicas) for _, _, master, *replicas in told}

    async def _settled(self) -> bool:
        masters, *others = await asyncio.gather(*map(self._masters, self.nodes))
        if [*masters.values()] != [1] * (len(self.nodes) // 2) or any(o != masters for o in others):
            return False
        replicas = [node for node in self.nodes if node.port not in masters]
        roles = await asyncio.gather(*(node.ask("ROLE") for node in replicas))
        return all(role[0] == "slave" and role[3] == "connected" for role in roles)


@asynccontextmanager
async def sentinels(
    *,
    program: Path | None = None,
    password: str = "",
    sentinel_password: str = "",
    settings: Mapping[str, str] = NONE,
    sentinel_settings: Mapping[str, str] = NONE,
) -> AsyncIterator[Sentinels]:
    """Start a master, two replicas and three sentinels.

    Args:
        program: the server's; what `holdfast.services` finds by default.
        password: of the servers.
        sentinel_password: of the sentinels.
        settings: of the servers, over `SERVER`.
        sentinel_settings: of the service, over `SENTINEL`.
    """
    program = program or find_redis().path
    common = {**SERVER, **settings, **({"masterauth": password} if password else {})}
    with open_folder() as folder:
        nodes = [
            Node(program=program, folder=folder / f"node-{number}", password=password)
            for number in range(3)
        ]
        master, *replicas = nodes
        master.settings = common
        for replica in replicas:
            replica.settings = {**common, "replicaof": f"{HOST} {master.port}"}
        watching = [
            Node(
                program=program,
                folder=folder / f"sentinel-{number}",
                password=sentinel_password,
                sentinel=True,
            )
            for number in range(3)
        ]
        group = Sentinels(nodes=nodes, sentinels=watching, master=master)
        introduce(group, {**SENTINEL, **sentinel_settings})
        async with started(nodes), started(watching):
            await group.settle()
            yield group


@asynccontextmanager
async def cluster(
    *, program: Path | None = None, password: str = "", settings: Mapping[str, str] = NONE
) -> AsyncIterator[Cluster]:
    """Start three masters and a replica of each.

    Args:
        program: the server's; what `holdfast.services` finds by default.
        password: of the servers.
        settings: of the servers, over `SERVER` and `CLUSTER`.
    """
    program = program or find_redis().path
    auth = {"masterauth": password} if password else {}
    with open_folder() as folder:
        nodes = [
            Node(
                program=program,
                folder=folder / f"node-{number}",
                settings={**SERVER, **CLUSTER, **settings, **auth},
                password=password,
            )
            for number in range(6)
        ]
        async with started(nodes):
            group = Cluster(nodes=nodes)
            await unite(nodes[:3], nodes[3:])
            await group.settle()
            yield group


@asynccontextmanager
async def started(nodes: Sequence[Node]) -> AsyncIterator[None]:
    """Run servers while the block runs, whatever becomes of them in it."""
    try:
        for node in nodes:
            node.start()
        for node in nodes:
            await node.until_it_answers()
        yield
    finally:
        for node in nodes:
            node.kill()


async def revive(nodes: Sequence[Node]) -> None:
    """Let go on what is frozen, and start again what was killed."""
    for node in nodes:
        if node.frozen:
            node.thaw()
        elif not node.pid:
            await node.restart()


def introduce(group: Sentinels, settings: Mapping[str, str]) -> None:
    """Write down for each sentinel what it would find out within seconds: who is there."""
    ids = {each.port: uuid4().hex + uuid4().hex[:8] for each in group.sentinels}
    for own in group.sentinels:
        lines = {
            "sentinel myid": ids[own.port],
            f"sentinel monitor {SERVICE} {HOST} {group.master.port}": QUORUM,
        }
        lines |= {f"sentinel {name} {SERVICE}": value for name, value in settings.items()}
        if group.master.password:
            lines[f"sentinel auth-pass {SERVICE}"] = group.master.password
        if own.password:
            lines["sentinel sentinel-pass"] = own.password
        for replica in group.replicas:
            lines[f"sentinel known-replica {SERVICE} {HOST} {replica.port}"] = ""
        for port, number in ids.items():
            if port != own.port:
                lines[f"sentinel known-sentinel {SERVICE} {HOST} {port}"] = number
        own.settings = lines


async def unite(masters: Sequence[Node], replicas: Sequence[Node]) -> None:
    """Make one cluster of empty nodes: each master gets its share of the slots, and a replica."""
    everybody = [*masters, *replicas]
    share = -(-SLOTS // len(masters))
    for number, node in enumerate(everybody):
        await node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if node is not everybody[0]:
            await everybody[0].ask("CLUSTER", "MEET", HOST, node.port)
    for number, master in enumerate(masters):
        slots = range(number * share, min((number + 1) * share, SLOTS))
        await master.ask("CLUSTER", "ADDSLOTS", *slots)  # a range is Redis 7's
    for master, replica in zip(masters, replicas, strict=True):
        number = await master.ask("CLUSTER", "MYID")

        async def followed(replica: Node = replica, number: str = number) -> bool:
            # An error until it has heard of the master.
            return bool(await replica.ask("CLUSTER", "REPLICATE", number))

        await wait_until(followed)


def secret(node: Node) -> str:
    """Give a node's password as URLs have it."""
    return f":{node.password}@" if node.password else ""
