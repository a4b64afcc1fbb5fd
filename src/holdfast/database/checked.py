"""An asyncpg connection that believes the server's answer to COMMIT, not the lack of an error."""

from typing import Any

import asyncpg

from holdfast.errors import TransactionAbortedError


class CheckedConnection(asyncpg.Connection):  # type: ignore[misc]  # it has no types
    """Raises when the server answers COMMIT with ROLLBACK, which asyncpg takes for success.

    It is the answer for a transaction with a failed statement, whoever caught the error.
    """

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109  -- asyncpg's signature
        """Run a statement and return its status; a commit that did not happen raises.

        Raises:
            TransactionAbortedError: nothing of the transaction is stored.
        """
        status: str = await super().execute(query, *args, timeout=timeout)
        if status == "ROLLBACK" and query.lstrip()[:6].upper() == "COMMIT":
            raise TransactionAbortedError
        return status
