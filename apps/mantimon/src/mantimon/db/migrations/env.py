"""What Alembic runs: the migrations of Mantimon's models."""

from holdfast import migrate
from mantimon.db.models import Base

migrate.run_env(Base.metadata)
