"""Projects: made, found by id or name, changed, and gone with all that is in them."""

from collections.abc import Sequence

from sqlalchemy import Select, delete, false, select
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.paging import Page
from moai.core.models import Project
from moai.errors import InvalidInputError, NotFoundError
from moai.services.inputs import ProjectInput, checked, require_id, show
from moai.services.paging import read_page


async def create_project(session: AsyncSession, name: str, models: Sequence[str] = ()) -> Project:
    """Make a project.

    Args:
        session: its owner commits.
        name: 1 to 200 printable characters; another project may have it, too.
        models: the names of those that are asked, each once.

    Raises:
        InvalidInputError: the name or a model's cannot be one; all that is wrong is named.
    """
    given = checked(ProjectInput, {"name": name, "models": list(models)})
    project = Project(**given.model_dump())
    session.add(project)
    await session.flush()
    return project


async def find_project(session: AsyncSession, named: str) -> Project:
    """Give the project that an id or a name means.

    Raises:
        NotFoundError: there is none.
        InvalidInputError: more than one has the name.
    """
    found = (await session.scalars(_wanted(named).limit(2))).all()
    if not found:
        raise NotFoundError(f"there is no project {show(named)}; see: moai projects list")
    if len(found) > 1:
        raise InvalidInputError(
            f"more than one project is called {show(named)}; name it by its id: moai projects list"
        )
    return found[0]


async def list_projects(
    session: AsyncSession, *, after: str | None = None, limit: int = 100
) -> Page[Project]:
    """Give projects, the oldest first.

    Args:
        session: also one of `Database.read()`.
        after: `next` of the page before.
        limit: 1 to 10,000 of them.

    Raises:
        InvalidInputError, ConfigurationError: the limit or the place is none.
    """
    return await read_page(session, Project, select(Project), after=after, limit=limit)


async def change_project(
    session: AsyncSession,
    named: str,
    *,
    name: str | None = None,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
) -> Project:
    """Give a project another name, more models, or fewer.

    Raises:
        NotFoundError: there is no such project.
        InvalidInputError: a name cannot be one, a model to be added is there, or one to be
            removed is not.
    """
    project = await find_project(session, named)
    # Two who change it at once do so one after the other, and neither change is lost.
    await session.refresh(project, with_for_update={"key_share": True})
    if missing := [each for each in remove if each not in project.models]:
        raise InvalidInputError(f"the project has no model {', '.join(map(show, missing))}")
    models = [each for each in project.models if each not in remove] + list(add)
    given = checked(ProjectInput, {"name": name or project.name, "models": models})
    project.name, project.models = given.name, given.models
    await session.flush()
    return project


async def delete_project(session: AsyncSession, named: str) -> str:
    """Delete a project with everything under it, in one statement; give its id.

    Raises:
        NotFoundError, InvalidInputError: as for `find_project`.
    """
    project = await find_project(session, named)
    await session.execute(delete(Project).where(Project.id == project.id))
    return project.id


def _wanted(named: str) -> Select[Project]:
    try:
        return select(Project).where(Project.id == require_id("project", named))
    except InvalidInputError:
        pass
    try:
        return select(Project).where(Project.name == checked(ProjectInput, {"name": named}).name)
    except InvalidInputError:
        return select(Project).where(false())  # what no project can be called, none is
