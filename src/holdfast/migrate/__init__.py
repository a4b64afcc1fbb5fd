"""Alembic's migrations from code or the command line: one process at a time, all or nothing."""

from holdfast.migrate.checking import check
from holdfast.migrate.environment import run_env
from holdfast.migrate.noop import fingerprint
from holdfast.migrate.policy import MigrationPolicy
from holdfast.migrate.running import (
    Migrated,
    current,
    downgrade,
    metadata,
    revision,
    unchanged,
    upgrade,
)
from holdfast.migrate.scripts import Revision, head, history, require_config
from holdfast.migrate.target import find_url

__all__ = [
    "Migrated",
    "MigrationPolicy",
    "Revision",
    "check",
    "current",
    "downgrade",
    "find_url",
    "fingerprint",
    "head",
    "history",
    "metadata",
    "require_config",
    "revision",
    "run_env",
    "unchanged",
    "upgrade",
]
