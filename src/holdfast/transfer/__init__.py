"""Copy a database into another one, on the same engine or the other, and see that it is the same.

async with Database("sqlite:///shop.db") as source, Database(owner_url) as target:
    copied = await transfer.copy(source, target, "alembic.ini")
"""

from holdfast.transfer.copying import copy
from holdfast.transfer.report import Copied, CopiedTable, Progress

__all__ = ["Copied", "CopiedTable", "Progress", "copy"]
