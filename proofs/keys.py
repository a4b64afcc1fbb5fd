"""The key of a row on each stack, where uuid-utils is not installed.

`python -m proofs.keys STACK` prints its version.
"""

import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType

MISSING = "uuid_utils"


class Without(PathFinder):
    """Finds what is installed, as if the package were not."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module, or nothing."""
        if fullname.partition(".")[0] == MISSING:
            return None
        return super().find_spec(fullname, path, target)


def plain() -> uuid.UUID:
    """Give what SQLAlchemy's documentation has for a default."""
    return uuid.uuid4()


def advanced_alchemy() -> uuid.UUID:
    """Give the default of advanced-alchemy's base for version 7."""
    from advanced_alchemy.base import UUIDv7Base  # noqa: PLC0415  -- of one stack only

    class Task(UUIDv7Base):
        """A task."""

        __tablename__ = "tasks"

    made: uuid.UUID = Task.__table__.c.id.default.arg(None)
    return made


def holdfast() -> uuid.UUID:
    """Give ours."""
    from holdfast.models import uuid7  # noqa: PLC0415  -- of one stack only

    return uuid7()


STACKS: Mapping[str, Callable[[], uuid.UUID]] = {
    each.__name__: each for each in (plain, advanced_alchemy, holdfast)
}

if __name__ == "__main__":
    sys.meta_path[sys.meta_path.index(PathFinder)] = Without
    assert find_spec(MISSING) is None
    print(STACKS[sys.argv[1]]().version)
