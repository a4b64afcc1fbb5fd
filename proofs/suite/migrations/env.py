"""What Alembic runs: the migrations of the shop."""

from proofs.suite.shop import Base

from holdfast import migrate

migrate.run_env(Base.metadata)
