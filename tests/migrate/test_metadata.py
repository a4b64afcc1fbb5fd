"""What the models are can be asked for without a database."""

import pytest

from holdfast import migrate
from holdfast.errors import ConfigurationError, MigrationError


async def test_the_tables_of_the_models(project, capfd):
    """As env.py hands them on; nothing is printed."""
    project.write_models(
        "import sqlalchemy as sa\nmetadata = sa.MetaData(schema='shop')\n"
        "sa.Table('items', metadata, sa.Column('id', sa.Integer))",
        base="metadata",
    )

    found = await migrate.metadata(project.ini)

    assert (found.schema, list(found.tables)) == ("shop", ["shop.items"])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (
            "x = 1\nraise KeyError('none')",
            r"models cannot be read: KeyError: 'none', at .*env.py:2",
        ),
        ("", r"has to call migrate.run_env\(Base.metadata\)"),
    ],
)
async def test_an_env_that_does_not_tell(project, env, said):
    """It names the file."""
    project.write_env(env)

    with pytest.raises(MigrationError, match=said):
        await migrate.metadata(project.ini)


async def test_no_project(tmp_path):
    """It says what is missing."""
    with pytest.raises(ConfigurationError, match="there is no such file"):
        await migrate.metadata(tmp_path / "alembic.ini")
