"""Find out that a prefix in Redis is no other table's, where two stores would meet."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from redis.exceptions import RedisError

from holdfast.errors import ConfigurationError
from holdfast.state.scripts import Client, explain_redis
from holdfast.state.table import OWN

OWNERS = f"{OWN}state:owners"
SERVER = " of server "  # in an owner's name


async def own(client: Client, prefix: str, owner: str) -> None:
    """Have a prefix belong to a table; the first that comes has it.

    Raises:
        ConfigurationError: another table has it, or one that begins it or that it begins; or this
            table has another one.
        StoreUnavailableError: Redis could not be reached.
    """
    script = files("holdfast.state").joinpath("own.lua").read_text()
    try:
        while True:
            owners = await _read(client)
            _require_free(owners, prefix, owner)
            if prefix in owners:
                return
            await client.eval(script, 1, OWNERS, prefix, owner, len(owners))
    except (RedisError, OSError) as error:
        raise explain_redis(error, changes=False) from error


async def _read(client: Client) -> Mapping[str, str]:
    found: dict[Any, Any] = await client.hgetall(OWNERS)
    return {prefix.decode(): owner.decode() for prefix, owner in found.items()}


def _require_free(owners: Mapping[str, str], prefix: str, owner: str) -> None:
    for other, whose in sorted(owners.items()):
        same = _is_same(whose, owner)
        if same and other != prefix:
            raise ConfigurationError(
                f"state store {prefix!r} of {owner}: in this Redis that table has the prefix "
                f"{other!r}, and what one store saves the other would not know. Keep the prefix; "
                f"to change it, end all that use the other one, flush it, and HDEL {OWNERS} {other}"
            )
        meet = other.startswith(prefix) or prefix.startswith(other)
        if meet and not (same and other == prefix):
            raise ConfigurationError(
                f"state store {prefix!r} of {owner}: in this Redis the prefix {other!r} belongs to "
                f"{whose}, and one store would take the other's states for its own. Give this one "
                "another prefix or another Redis; where that table is gone, or is this one since "
                f"it was moved: HDEL {OWNERS} {other}"
            )


def _is_same(one: str, other: str) -> bool:
    """Compare the servers only where both are known: not every role may ask for its own."""
    place, _, server = one.partition(SERVER)
    other_place, _, other_server = other.partition(SERVER)
    return place == other_place and (not server or not other_server or server == other_server)
