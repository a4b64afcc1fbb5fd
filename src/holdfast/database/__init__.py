"""One database: an engine with safe settings, and sessions whose transactions have an owner."""

from holdfast.database.database import Database
from holdfast.database.opening import Closed, Opened
from holdfast.database.policy import DatabasePolicy, PoolPolicy

__all__ = ["Closed", "Database", "DatabasePolicy", "Opened", "PoolPolicy"]
