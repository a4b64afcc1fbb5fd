"""Projects with migrations, written into the test's own folder."""

from dataclasses import dataclass
from pathlib import Path

import alembic
import pytest

INI = "[alembic]\nscript_location = %(here)s/migrations\npath_separator = os\n"
ENV = "from holdfast import migrate\nfrom sqlalchemy import MetaData\nmigrate.run_env(MetaData())\n"
REVISION = """
from alembic import op
import sqlalchemy as sa
revision = {revision!r}
down_revision = {down!r}
def upgrade():
    {up}
def downgrade():
    {back}
"""


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with an alembic.ini and migrations."""

    folder: Path

    @property
    def ini(self) -> Path:
        """Alembic's configuration."""
        return self.folder / "alembic.ini"

    @property
    def versions(self) -> list[Path]:
        """The files of the migrations."""
        return sorted((self.folder / "migrations" / "versions").glob("*.py"))

    def write_env(self, text: str) -> None:
        """Replace env.py."""
        (self.folder / "migrations" / "env.py").write_text(text)

    def write_models(self, text: str, *, base: str = "Base.metadata") -> None:
        """Put models into env.py itself, so that each test has its own."""
        self.write_env(f"from holdfast import migrate\n{text}\nmigrate.run_env({base})\n")

    def add(
        self, revision: str, up: str = "pass", *, down: object = None, back: str = "pass"
    ) -> None:
        """Add a migration; several statements are separated by semicolons."""
        file = self.folder / "migrations" / "versions" / f"{revision}.py"
        file.write_text(REVISION.format(revision=revision, down=down, up=up, back=back))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Give a project without models and migrations."""
    project = Project(tmp_path / "project")
    (project.folder / "migrations" / "versions").mkdir(parents=True)
    project.ini.write_text(INI)
    project.write_env(ENV)
    template = Path(alembic.__file__).parent / "templates" / "generic" / "script.py.mako"
    (project.folder / "migrations" / "script.py.mako").write_text(template.read_text())
    return project


@pytest.fixture(params=["postgresql", "sqlite"])
def any_url(request, tmp_path: Path) -> str:
    """Give an empty database, once on PostgreSQL and once as a SQLite file."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a.db"
    return request.getfixturevalue("database_url")
