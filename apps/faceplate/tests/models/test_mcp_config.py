"""MCP configurations: the table as the server has it, one name for a user, JSON objects only."""

import uuid

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import joinedload

from faceplate.errors import InvalidInputError
from faceplate.models import MCPConfig
from holdfast.errors import InvalidValueError


async def test_table(read_table):
    """Columns, constraints and indexes are those of the requirements, on the server itself."""
    table = await read_table("mcp_configs")

    assert table.columns == {
        "id": "uuid NOT NULL",
        "user_id": "uuid NOT NULL",
        "name": "character varying(100) NOT NULL",
        "config": "jsonb NOT NULL DEFAULT '{}'::jsonb",
        "enabled": "boolean NOT NULL DEFAULT true",
        "created_at": "timestamp with time zone NOT NULL DEFAULT clock_timestamp()",
        "updated_at": "timestamp with time zone NOT NULL DEFAULT clock_timestamp()",
    }
    assert table.constraints == {
        "pk_mcp_configs": "PRIMARY KEY (id)",
        "uq_mcp_configs_user_id_name": "UNIQUE (user_id, name)",
        "fk_mcp_configs_user_id_users": (
            "FOREIGN KEY (user_id) REFERENCES faceplate.users(id) ON DELETE CASCADE"
        ),
    }
    assert table.indexes == {
        "UNIQUE btree (id)",
        "UNIQUE btree (user_id, name)",
        "btree (user_id)",
    }


async def test_create(session, make, user):
    """A new configuration is enabled."""
    config = make.config(user)
    session.add(config)
    await session.commit()

    assert config.id.version == 7
    assert config.enabled is True
    assert config.created_at <= config.updated_at


async def test_bare_sql_fills_the_defaults(session, user):
    """A row that another program inserts is enabled and has an empty object."""
    await session.execute(
        text("INSERT INTO faceplate.mcp_configs (id, user_id, name) VALUES (:id, :user, 'x')"),
        {"id": uuid.uuid4(), "user": user.id},
    )

    stored = (await session.scalars(select(MCPConfig))).one()
    assert (stored.config, stored.enabled) == ({}, True)


DEEP = {
    "command": "scan",
    "env": {"TOKEN": 'ü ☃ "quoted" \\ and \n more', "EMPTY": ""},
    "args": ["--all", 1, 1.5, None, True, [], {}],
    "large": 2**53,
}


async def test_json_comes_back_as_it_was(session, make, user, store):
    """Nested values, all types and hostile text survive the way through JSONB."""
    config = make.config(user, config=DEEP)
    await store(config)

    assert (await session.get_one(MCPConfig, config.id)).config == DEEP


async def test_config_is_jsonb(session, make, user, store):
    """The database can look into it."""
    await store(make.config(user, config={"url": "https://tools.test"}), make.config(user))

    found = await session.scalar(
        text("SELECT count(*) FROM faceplate.mcp_configs WHERE config ? 'url'")
    )
    assert found == 1


async def test_a_change_in_place_is_stored(session, make, user, store):
    """Changing the loaded object at any depth is noticed, and moves `updated_at`."""
    config = make.config(user, config=DEEP)
    await store(config)

    changed = await session.get_one(MCPConfig, config.id)
    changed.config["command"] = "nmap"
    changed.config["env"]["EMPTY"] = "no more"
    await session.commit()
    session.expunge_all()

    read = await session.get_one(MCPConfig, config.id)
    env = DEEP["env"] | {"EMPTY": "no more"}
    assert read.config == DEEP | {"command": "nmap", "env": env}
    assert read.updated_at > config.updated_at


async def test_a_change_in_place_that_cannot_be_kept_is_refused(session, make, user, store):
    """It is refused when it is to be written, and the row stays as it was."""
    config = make.config(user, config=DEEP)
    await store(config)
    changed = await session.get_one(MCPConfig, config.id)
    changed.config["args"].append((1,))  # which would come back as a list

    with pytest.raises(InvalidValueError, match=r"^mcp_configs\.config would come back"):
        await session.commit()

    await session.rollback()
    assert (await session.get_one(MCPConfig, config.id)).config == DEEP


async def test_one_name_for_a_user(session, make, user, store, refused_by):
    """A user has one configuration of a name; another user may have one of the same."""
    other = make.user()
    await store(make.config(user, name="scanner"), other)
    await store(make.config(other, name="scanner"))

    assert await refused_by(make.config(user, name="scanner")) == "uq_mcp_configs_user_id_name"


@pytest.mark.parametrize("column", ["user_id", "name"])
async def test_required(make, user, refused_by, column):
    """A configuration has an owner and a name."""
    assert await refused_by(make.config(user, **{column: None})) == column


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "config: it is null; it has to be an object"),
        ([], "config: it is list; it has to be an object"),
        ("{}", "config: it is str; it has to be an object"),
        ({"a": float("nan")}, "config.a: JSON has no number nan"),
        ({"a": [1, float("inf")]}, "config.a[1]: JSON has no number inf"),
        ({"a": "nul\0"}, "config.a: a zero or half a character cannot be kept"),
        ({"a": "\ud800"}, "config.a: a zero or half a character cannot be kept"),
        ({"a": {1: 2}}, "config.a: a key of it is no text that PostgreSQL can keep"),
        ({"a": {"\0": 2}}, "config.a: a key of it is no text that PostgreSQL can keep"),
        ({"a": (1,)}, "config.a: tuple is not JSON"),
        (
            {"a": b"", "b": {"c": object()}},
            "config.a: bytes is not JSON; config.b.c: object is not JSON",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused(make, user, value, says):
    """What JSONB cannot keep is refused where it is given, and all of it is named."""
    with pytest.raises(InvalidInputError) as error:
        make.config(user, config=value)

    assert str(error.value) == says


def test_endless_nesting_is_refused(make, user):
    """A value that contains itself ends in an error, not in an endless loop."""
    value = {}
    value["again"] = value

    with pytest.raises(InvalidInputError, match="nested deeper than 100 levels"):
        make.config(user, config=value)


async def test_a_config_has_its_user(session, make, user, store):
    """The owner is loaded with it when asked for."""
    config = make.config(user)
    await store(config)

    options = [joinedload(MCPConfig.user)]
    loaded = await session.get_one(MCPConfig, config.id, options=options)

    assert loaded.user.email == user.email


async def test_a_name_that_is_too_long_is_refused(session, make, user):
    """Text is never cut."""
    session.add(make.config(user, name="x" * 101))

    with pytest.raises(InvalidValueError, match=r"^mcp_configs\.name has \d+ characters"):
        await session.commit()
