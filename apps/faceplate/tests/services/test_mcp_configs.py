"""Configurations of tool servers: one of a name, switched on and off, listed, deleted."""

import uuid

import pytest

from faceplate.errors import InvalidInputError, NotFoundError, TakenError
from faceplate.services.mcp_configs import (
    change_config,
    create_config,
    delete_config,
    get_config,
    list_configs,
)

SCANNER = {"command": "scanner", "args": ["--stdio"], "env": {"TOKEN": "t"}}


async def test_create(session, user):
    """A new configuration is enabled, unless it is not to be."""
    on = await create_config(session, user.id, "scanner", SCANNER)
    off = await create_config(session, user.id, "other", {}, enabled=False)

    assert (on.config, on.enabled, off.enabled) == (SCANNER, True, False)


async def test_a_name_is_used_once(db, user):
    """A second configuration of the name is refused in one line."""
    user_id = user.id
    await db.run(create_config, user_id, "scanner", SCANNER)

    with pytest.raises(TakenError, match=r"^the user has a configuration 'scanner'$"):
        await db.run(create_config, user_id, "scanner", {})


async def test_nobody(db):
    """A user who does not exist is one line."""
    nobody = uuid.uuid4()
    with pytest.raises(NotFoundError, match=f"^there is no user {nobody}$"):
        await db.run(create_config, nobody, "scanner", {})


@pytest.mark.parametrize(
    ("name", "config", "says"),
    [
        ("", {}, "name is ''; it has 1 to 100 printable characters"),
        ("x" * 101, {}, "name is "),
        ("scanner", [], "config: it is list; it has to be an object"),
        ("scanner", {"a": float("nan")}, "config.a: JSON has no number nan"),
    ],
)
async def test_bad_input_is_one_line(session, user, name, config, says):
    """What is wrong is said before anything is sent."""
    with pytest.raises(InvalidInputError) as error:
        await create_config(session, user.id, name, config)

    assert str(error.value).startswith(says)


async def test_list(session, user):
    """Configurations are listed by name: all, those that are on, those that are off."""
    for name in ("c", "a", "b"):
        await create_config(session, user.id, name, {}, enabled=name != "b")

    async def names(**options):
        return [each.name for each in await list_configs(session, user.id, **options)]

    assert await names() == ["a", "b", "c"]
    assert await names(enabled=True) == ["a", "c"]
    assert await names(enabled=False) == ["b"]
    assert await list_configs(session, uuid.uuid4()) == []


async def test_change(session, user):
    """What is given is changed, the rest stays, and `updated_at` moves."""
    made = await create_config(session, user.id, "scanner", SCANNER)
    before = made.updated_at

    switched = await change_config(session, made.id, enabled=False)
    assert (switched.config, switched.enabled) == (SCANNER, False)
    assert switched.updated_at > before

    replaced = await change_config(session, made.id, config={"url": "https://tools.test"})
    assert (replaced.config, replaced.enabled) == ({"url": "https://tools.test"}, False)


async def test_a_wrong_change_changes_nothing(session, user):
    """A configuration that is none leaves the stored one alone."""
    made = await create_config(session, user.id, "scanner", SCANNER)
    with pytest.raises(InvalidInputError, match=r"^config\.a: bytes is not JSON$"):
        await change_config(session, made.id, config={"a": b""}, enabled=False)
    await session.commit()

    await session.refresh(made)
    assert (made.config, made.enabled) == (SCANNER, True)


async def test_delete(session, user):
    """A deleted configuration is gone."""
    made = await create_config(session, user.id, "scanner", SCANNER)
    await delete_config(session, made.id)

    for work in (get_config, delete_config, change_config):
        with pytest.raises(NotFoundError, match=f"^there is no configuration {made.id}$"):
            await work(session, made.id)
