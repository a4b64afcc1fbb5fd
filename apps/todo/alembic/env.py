"""What Alembic runs: the migrations of Todo's models."""

from holdfast import migrate
from todo.models import Task

migrate.run_env(Task.metadata)
