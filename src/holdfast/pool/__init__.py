"""An elastic pool of connections that names its holders and refuses what cannot succeed."""

from holdfast.pool.callers import Caller, find_caller, is_library
from holdfast.pool.elastic import Background, ElasticPool
from holdfast.pool.holders import ConnectionHeld, Holder
from holdfast.pool.outside import explain_outside
from holdfast.pool.policy import PoolPolicy
from holdfast.pool.turns import TurnTakingPool

__all__ = [
    "Background",
    "Caller",
    "ConnectionHeld",
    "ElasticPool",
    "Holder",
    "PoolPolicy",
    "TurnTakingPool",
    "explain_outside",
    "find_caller",
    "is_library",
]
