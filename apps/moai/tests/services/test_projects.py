"""Projects: made, found by id or name, changed, listed by pages, and deleted."""

import asyncio

import pytest

from holdfast.errors import ConfigurationError
from moai.core.database import get_database, get_session
from moai.core.models import Project
from moai.errors import InvalidInputError, NotFoundError
from moai.services.projects import (
    change_project,
    create_project,
    delete_project,
    find_project,
    list_projects,
)


async def test_a_project_is_found_by_id_and_by_name(session, project):
    """Whichever is said."""
    for named in (project.id, project.id.upper(), "Caching"):
        assert (await find_project(session, named)).id == project.id


@pytest.mark.parametrize("named", ["", "Nothing", "019a0000-0000-7000-8000-000000000001", "\0"])
async def test_a_project_that_is_not_there(session, project, named):
    """The error has what was said."""
    with pytest.raises(NotFoundError, match="there is no project"):
        await find_project(session, named)


async def test_a_name_of_two_projects_is_not_clear(session, project):
    """Neither is taken."""
    second = await create_project(session, "Caching")

    with pytest.raises(InvalidInputError, match="more than one project is called 'Caching'"):
        await find_project(session, "Caching")
    assert (await find_project(session, second.id)) is second


async def test_all_that_is_wrong_is_named_at_once(session):
    """The name and each model."""
    with pytest.raises(InvalidInputError) as error:
        await create_project(session, "two\nlines", ["claude", " ", "x" * 201])

    assert [each.split(":")[0] for each in str(error.value).split("; ")] == [
        "name",
        "models[1]",
        "give it a text that can be seen",
        "models[2]",
    ]
    with pytest.raises(InvalidInputError, match="models: claude is there more than once"):
        await create_project(session, "Caching", ["claude", "gpt", "claude"])


async def test_a_project_is_changed(session, project):
    """Name and models, which stay in their order."""
    changed = await change_project(session, "Caching", name="Cache", add=["o"], remove=["claude"])

    assert (changed.name, changed.models) == ("Cache", ["gpt", "o"])
    assert changed.updated_at > project.updated_at


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"remove": ["o"]}, "the project has no model 'o'"),
        ({"add": ["gpt"]}, "models: gpt is there more than once"),
        ({"name": " ", "add": [""]}, "name: .*; models"),
    ],
)
async def test_a_change_that_makes_no_sense(session, project, change, says):
    """It is told, and nothing changes."""
    with pytest.raises(InvalidInputError, match=says):
        await change_project(session, project.id, **change)

    await session.refresh(stored := await find_project(session, project.id))
    assert (stored.name, stored.models) == ("Caching", ["claude", "gpt"])


async def test_changes_at_once_are_all_there(project):
    """Two people who add a model to a list do not take each other's away."""
    models = [f"model {number}" for number in range(8)]
    changes = (get_database().run(change_project, project.id, add=[each]) for each in models)
    await asyncio.gather(*changes)

    async with get_session() as session:
        stored = await find_project(session, project.id)
    assert stored.models[:2] == ["claude", "gpt"]
    assert sorted(stored.models[2:]) == models


async def test_projects_are_listed_by_pages(session):
    """Each once, the oldest first."""
    names = [f"Project {number}" for number in range(5)]
    for name in names:
        await create_project(session, name)
    await session.commit()
    found, after = [], None
    while True:
        page = await list_projects(session, after=after, limit=2)
        found += page.items
        if (after := page.next) is None:
            break

    assert [each.name for each in found] == names


@pytest.mark.parametrize("limit", [0, -1, 10_001])
async def test_a_limit_has_limits(session, limit):
    """Neither nothing nor everything."""
    with pytest.raises(InvalidInputError, match=f"limit is {limit}; it is between 1 and 10000"):
        await list_projects(session, limit=limit)


async def test_a_place_that_no_page_gave(session):
    """It is told."""
    with pytest.raises(ConfigurationError, match="after is 'nowhere'"):
        await list_projects(session, after="nowhere")


async def test_a_project_is_deleted(session, project):
    """By id or by name, once."""
    assert await delete_project(session, "Caching") == project.id
    session.expunge_all()

    assert await session.get(Project, project.id) is None
    with pytest.raises(NotFoundError):
        await delete_project(session, project.id)
