"""Tell whether a Redis answers, and how it stands."""

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from holdfast.errors import UnavailableError
from holdfast.events import Check
from holdfast.redis.causes import explain
from holdfast.redis.places import place, place_of

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster
    from redis.asyncio.cluster import ClusterNode

    from holdfast.redis.places import Client

# Whoever has a client has redis-py loaded, so it is imported where it is used.

OLDEST = (6, 2)  # what Holdfast supports
_START = "start the server or mend REDIS_URL; the rest can be looked at only then"


async def ping(redis: "Client") -> float:
    """Send PING and return the seconds that the answer took; of a cluster, of the last master.

    Raises:
        UnavailableError: it names the place and the cause, never the password.
    """
    from redis.asyncio import RedisCluster  # noqa: PLC0415

    begun = time.perf_counter()
    if isinstance(redis, RedisCluster):
        await _answer(redis, redis.initialize())
        if silent := [why for why in (await _asked(redis.get_primaries())).values() if why]:
            raise UnavailableError(f"Redis at {place(redis)}: {'; '.join(silent)}")
    else:
        await _answer(redis, redis.ping())
    return time.perf_counter() - begun


async def check(redis: "Client") -> Sequence[Check]:
    """Tell whether it answers, which server it is, and what it does when its memory is full.

    Of a master behind Sentinels also how many of these answer, of a cluster which nodes do and
    whether every key has one. Some round trips. What cannot be reached is a failed check, not an
    exception.
    """
    from redis.asyncio import RedisCluster  # noqa: PLC0415
    from redis.asyncio.sentinel import SentinelConnectionPool  # noqa: PLC0415

    if isinstance(redis, RedisCluster):
        return await _check_cluster(redis)
    sentinels = []
    if isinstance(redis.connection_pool, SentinelConnectionPool):
        sentinels = [await _check_sentinels(redis.connection_pool.sentinel_manager.sentinels)]
    begun = time.perf_counter()
    try:
        await ping(redis)
    except UnavailableError as error:
        return [_unreached(error), *sentinels]
    told: Awaitable[Mapping[str, Any]] = redis.info()  # of all sections: one by one is Redis 7's
    return [_reached(redis, begun), *sentinels, *await _check_servers([told])]


async def _check_cluster(redis: "RedisCluster") -> Sequence[Check]:
    begun = time.perf_counter()
    try:
        await _answer(redis, redis.initialize())
    except UnavailableError as error:
        return [_unreached(error)]
    asked = await _asked(redis.get_nodes())
    reached = _reached(redis, begun)
    masters = [each for each in redis.get_primaries() if not asked.get(each)]
    nodes = _check_nodes(asked, [each.name for each in redis.get_primaries()])
    if not masters:
        return [reached, nodes]
    told = [redis.info(target_nodes=[each]) for each in masters]
    return [reached, nodes, await _check_slots(redis, masters[0]), *await _check_servers(told)]


async def _answer(redis: "Client", answer: Awaitable[object]) -> None:
    from redis.exceptions import RedisError  # noqa: PLC0415

    try:
        await answer
    except (RedisError, OSError) as error:
        raise UnavailableError(f"Redis at {place(redis)}: {explain(error)}") from error


async def _asked(nodes: Sequence["ClusterNode"]) -> Mapping["ClusterNode", str]:
    """Ask each node; give why it does not answer, empty where it does."""
    return dict(zip(nodes, await asyncio.gather(*map(_silence, nodes)), strict=True))


async def _silence(node: "ClusterNode") -> str:
    from redis.exceptions import RedisError  # noqa: PLC0415

    try:
        await node.execute_command("PING")
    except (RedisError, OSError) as error:
        return f"{node.name}: {explain(error)}"
    return ""


def _reached(redis: "Client", begun: float) -> Check:
    milliseconds = (time.perf_counter() - begun) * 1000
    return Check(name="reached", said=f"{place(redis)} in {milliseconds:.0f} ms")


def _unreached(error: UnavailableError) -> Check:
    return Check(name="reached", said=str(error), state="failed", advice=_START)


async def _check_sentinels(sentinels: Sequence["Redis"]) -> Check:
    silent = [each for each in await asyncio.gather(*map(_silent, sentinels)) if each]
    count = f"{len(sentinels) - len(silent)} of {len(sentinels)} answer"
    if not silent:
        return Check(name="sentinels", said=count)
    return Check(
        name="sentinels",
        said=f"{count}; {'; '.join(silent)}",
        state="warning" if len(silent) < len(sentinels) else "failed",
        advice="start them: when most are missing, no other master is chosen",
    )


async def _silent(sentinel: "Redis") -> str:
    from redis.exceptions import RedisError  # noqa: PLC0415

    try:
        await sentinel.ping()
    except (RedisError, OSError) as error:
        return f"{place_of(sentinel)}: {explain(error)}"
    return ""


def _check_nodes(asked: Mapping["ClusterNode", str], masters: Sequence[str]) -> Check:
    silent = {node.name: why for node, why in asked.items() if why}
    answer = [node.name for node in asked if node.name not in silent]
    count = sum(name in masters for name in answer)
    said = f"{count} masters and {len(answer) - count} replicas answer"
    if not silent:
        return Check(name="nodes", said=said)
    lost = any(name in masters for name in silent)
    return Check(
        name="nodes",
        said=f"{said}; {'; '.join(silent.values())}",
        state="failed" if lost else "warning",
        advice="its keys are there again when its replica has taken over"
        if lost
        else "start it: nobody can take over from its master",
    )


async def _check_slots(redis: "RedisCluster", node: "ClusterNode") -> Check:
    from redis.exceptions import RedisError  # noqa: PLC0415

    try:
        told = await redis.cluster_info(target_nodes=[node])
    except (RedisError, OSError) as error:
        return _not_told("slots", error, "CLUSTER INFO")
    served, state = told["cluster_slots_ok"], told["cluster_state"]
    said = f"{served} of 16384 are served, the state is {state}"
    if state == "ok" and served == "16384":
        return Check(name="slots", said=said)
    advice = "give the others a node, or start theirs"
    return Check(name="slots", said=said, state="failed", advice=advice)


async def _check_servers(asked: Sequence[Awaitable[Mapping[str, Any]]]) -> Sequence[Check]:
    from redis.exceptions import RedisError  # noqa: PLC0415

    try:
        told = await asyncio.gather(*asked)
    except (RedisError, OSError) as error:
        return [_not_told("server", error, "INFO")]
    return [_check_versions(told), _check_memory(told)]


def _not_told(name: str, error: Exception, command: str) -> Check:
    said = " ".join(str(error).split())
    advice = f"let this user run {command}, or leave it at that"
    return Check(name=name, said=said, state="warning", advice=advice)


def _check_versions(told: Sequence[Mapping[str, Any]]) -> Check:
    said = ", ".join(sorted({_product(each) for each in told}))
    numbers = [_numbers(each) for each in told]
    if all(not each or each >= OLDEST for each in numbers):
        return Check(name="server", said=said)
    advice = f"upgrade to Redis {OLDEST[0]}.{OLDEST[1]} or newer, or to Valkey"
    return Check(name="server", said=f"{said} is too old", state="failed", advice=advice)


def _product(told: Mapping[str, Any]) -> str:
    name = "Valkey" if told.get("server_name") == "valkey" else "Redis"
    return f"{name} {_version(told)}"


def _version(told: Mapping[str, Any]) -> str:
    return str(told.get("valkey_version") or told.get("redis_version") or "")


def _numbers(told: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(int(each) for each in _version(told).split(".")[:2] if each.isdigit())


def _check_memory(told: Sequence[Mapping[str, Any]]) -> Check:
    policies = {str(each.get("maxmemory_policy", "not told")) for each in told}
    limits = {
        str(each.get("maxmemory_human", "not told")) if each.get("maxmemory") else "none"
        for each in told
    }
    limit = f"maxmemory {' or '.join(sorted(limits))}, {' or '.join(sorted(policies))}"
    if not any(each.startswith("allkeys") for each in policies):
        return Check(name="memory", said=limit)
    return Check(
        name="memory",
        said=f"{limit}: when it is full, any key may be dropped",
        state="warning",
        advice="fine for a cache; for state that lives there: CONFIG SET maxmemory-policy "
        "noeviction (or volatile-lru)",
    )
