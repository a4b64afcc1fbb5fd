"""SQLite files for tests: a template of each schema, and copies of it."""

import asyncio
import itertools
import shutil
from contextlib import suppress
from pathlib import Path

from holdfast import migrate
from holdfast.database import Database
from holdfast.settings import Project
from holdfast.testing.clone import Clone
from holdfast.testing.databases import KEPT
from holdfast.testing.running import run


class Files:
    """Makes templates and copies in folders.

    Args:
        templates: keeps the templates from run to run.
        copies: of this process alone, in a folder of the run.
        loop: not running.
    """

    def __init__(self, templates: Path, copies: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._templates = templates
        self._copies = copies
        self._loop = loop
        self._numbers = itertools.count(1)

    def clone(self, project: Project | None) -> Clone:
        """Give a file that is migrated as the project says.

        Args:
            project: None for an empty database.

        Raises:
            HoldfastError: a migration failed.
        """
        self._copies.mkdir(parents=True, exist_ok=True)
        file = self._copies / f"{next(self._numbers)}.db"
        if project is not None and project.alembic_path.is_file():
            shutil.copyfile(self._template(project), file)
        url = f"sqlite:///{file}"
        return Clone(name=str(file), owner=url, app=url)

    def give_back(self, clone: Clone, *, spoiled: bool = False) -> None:
        """Remove a copy and its journal."""
        file = Path(clone.name)
        for each in (file, Path(f"{file}-wal"), Path(f"{file}-shm")):
            each.unlink(missing_ok=True)

    def require(self) -> None:
        """There is no server that could be lost."""

    def drop_own(self) -> None:
        """Remove every copy of this process, and the run's folder after the last one."""
        shutil.rmtree(self._copies, ignore_errors=True)
        with suppress(OSError):
            self._copies.parent.rmdir()

    def close(self) -> None:
        """Nothing is open here."""

    def _template(self, project: Project) -> Path:
        file = self._templates / f"{migrate.fingerprint(project.alembic_path)[:16]}.db"
        if not file.exists():
            # Elsewhere until it is whole; of several processes the last one's stays.
            migrated = self._copies / file.name
            run(_migrate(migrated, project), self._loop)
            self._templates.mkdir(parents=True, exist_ok=True)
            (self._templates.parent / ".gitignore").write_text("*\n", encoding="utf-8")
            shutil.move(migrated, file)
            self._drop_old()
        file.touch()
        return file

    def _drop_old(self) -> None:
        files = sorted(self._templates.glob("*.db"), key=lambda file: file.stat().st_mtime)
        for file in files[:-KEPT]:
            file.unlink(missing_ok=True)


async def _migrate(file: Path, project: Project) -> None:
    async with Database(f"sqlite:///{file}") as db:
        await migrate.upgrade(db, project.alembic_path)
