"""Real PostgreSQL and Redis as child processes, for development and tests."""

from holdfast.services.binaries import Binary, BinaryPassedOver, find_postgres, find_redis
from holdfast.services.folders import remove
from holdfast.services.postgres import PostgresPolicy, PostgresServer
from holdfast.services.redis import RedisPolicy, RedisServer
from holdfast.services.running import ServerStarted, ServerStopped

__all__ = [
    "Binary",
    "BinaryPassedOver",
    "PostgresPolicy",
    "PostgresServer",
    "RedisPolicy",
    "RedisServer",
    "ServerStarted",
    "ServerStopped",
    "find_postgres",
    "find_redis",
    "remove",
]
