"""One database: an engine with safe settings, and sessions whose transactions have an owner."""

from holdfast.database.database import Database
from holdfast.database.failing import CommitUnknown, PrimaryLost
from holdfast.database.opening import Closed, Opened
from holdfast.database.policy import DatabasePolicy

__all__ = ["Closed", "CommitUnknown", "Database", "DatabasePolicy", "Opened", "PrimaryLost"]
