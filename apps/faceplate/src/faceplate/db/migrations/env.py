"""What Alembic runs: the migrations of Faceplate's models."""

from faceplate.models import Base
from holdfast import migrate

migrate.run_env(Base.metadata)
