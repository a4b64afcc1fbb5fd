"""Redis clients with short limits, bounded pools and no hidden retries.

    client = redis.client("redis://localhost:6379/0")     # no I/O here
    await redis.ping(client)                              # fails within a second or two
    await client.set("greeting", "hello", ex=60)
    await client.aclose()

The clients are redis-py's own, for one server, for a master that Sentinels name, and for a
cluster. Needs `holdfast[redis]`.
"""

from holdfast.redis.address import SCHEMES
from holdfast.redis.checking import check, ping
from holdfast.redis.clients import client, cluster
from holdfast.redis.places import place
from holdfast.redis.policy import RedisPolicy

__all__ = ["SCHEMES", "RedisPolicy", "check", "client", "cluster", "ping", "place"]
