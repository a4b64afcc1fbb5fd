"""Make the tables of the shop."""

from alembic import op
from proofs.suite.shop import Base

revision = "001"
down_revision = None


def upgrade() -> None:
    """Make what the models say, as the other sides do; a real project writes it out."""
    Base.metadata.create_all(op.get_bind())


def downgrade() -> None:
    """Take it away again."""
    Base.metadata.drop_all(op.get_bind())
