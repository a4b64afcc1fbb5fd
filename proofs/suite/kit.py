"""A side: Holdfast's fixture `db`; the tables come from the migrations, each test has its loop."""

import pytest
from proofs.suite.shop import Sessions
from sqlalchemy.ext.asyncio import AsyncEngine

from holdfast.database import Database


@pytest.fixture
def engine(db: Database) -> AsyncEngine:
    """Give the application's engine."""
    return db.engine


@pytest.fixture
def sessions(db: Database) -> Sessions:
    """Give what makes the application's sessions."""
    return db.session
