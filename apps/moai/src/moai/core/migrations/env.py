"""What Alembic runs: the migrations of MoAI's models, where nothing is said on MoAI's database."""

from alembic import context

from holdfast import migrate
from moai.core.database import DATABASE_URL
from moai.core.models import Base

context.config.set_main_option("sqlalchemy.url", DATABASE_URL.replace("%", "%%"))
migrate.run_env(Base.metadata)
