"""Connections that have hiredis write their commands.

redis-py does so where nobody awaits. Here it writes each argument in Python, which takes longer
than a server takes to carry the command out.
"""

from typing import Any

from redis.asyncio.connection import AbstractConnection


def packing(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """Give a kind of connection that does; the same kind where hiredis is not installed."""
    try:
        from hiredis import pack_command  # noqa: PLC0415  -- an extra of redis-py
    except ImportError:
        return kind

    class Packing(kind):  # type: ignore[valid-type, misc]  # which it is, is known now
        def pack_command(self, *args: Any) -> Any:
            if " " in str(args[0]) or self.encoder.encoding != "utf-8":  # hiredis knows of neither
                return super().pack_command(*args)
            try:
                return [pack_command(args)]
            except TypeError:  # what redis-py knows, or refuses in its own words
                return super().pack_command(*args)

    return Packing
