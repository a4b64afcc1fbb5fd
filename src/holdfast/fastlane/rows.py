"""Mappings into the driver's records: all alike, with the model's types and defaults."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from sqlalchemy import Dialect

from holdfast.errors import RowError
from holdfast.fastlane.targets import Field, Target

Row = Mapping[str, object]
Rows = Iterable[Row] | AsyncIterable[Row]
_AT_ONCE = 200  # rows that are taken together; then other tasks have a turn


async def together(rows: Rows) -> AsyncIterator[list[Row]]:
    """Give rows in lists of a few, from any source, and let others run in between."""
    if isinstance(rows, AsyncIterable):
        source = aiter(rows)
        while some := await _take(source):
            yield some
            await asyncio.sleep(0)
    else:
        given = iter(rows)
        while some := list(islice(given, _AT_ONCE)):
            yield some
            await asyncio.sleep(0)


async def _take(source: AsyncIterator[Row]) -> list[Row]:
    some = []
    async for row in source:
        some.append(row)
        if len(some) == _AT_ONCE:
            break
    return some


@dataclass(slots=True)
class Records:
    """Makes the driver's records of rows that are all like the first.

    Attributes:
        given: the columns that rows have a value for, in the order of the first one's keys.
        made: those that the model makes one for.
        number: of the row that was looked at last, counted from 1.
        waiting: whether the source of the rows is at work, and not the driver.
    """

    given: Sequence[Field]
    made: Sequence[Field]
    number: int = field(default=0, init=False)
    waiting: bool = field(default=False, init=False)

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in the order of the records."""
        return [each.column.name for each in (*self.given, *self.made)]

    async def of(
        self,
        first: list[Row],
        others: AsyncIterator[list[Row]],
        dialect: Dialect,
        is_lost: Callable[[], bool],
    ) -> AsyncIterator[Sequence[object]]:
        """Give a record for each row, until the connection is lost, which the driver then tells.

        Raises:
            RowError: a row is not like the first, or a value does not fit its column's type.
        """
        keys = [each.key for each in self.given]
        defaults = [each.default for each in self.made if each.default is not None]
        kinds = (each.process(dialect) for each in (*self.given, *self.made))
        processors = [(at, process) for at, process in enumerate(kinds) if process is not None]
        some: list[Row] | None = first
        while some and not is_lost():
            for row in some:
                self.number += 1
                try:
                    values = [row[key] for key in keys]
                    same = len(row) == len(keys)
                except (TypeError, LookupError):
                    same = False
                if not same:
                    raise self._unlike(row)
                values += [make() for make in defaults]
                for at, process in processors:
                    try:
                        values[at] = process(values[at])
                    except Exception as error:
                        raise self._misfit(at, error) from error
                yield values
            self.waiting = True
            some = await anext(others, None)
            self.waiting = False

    def _unlike(self, row: object) -> RowError:
        keys = [each.key for each in self.given]
        if not isinstance(row, Mapping):
            return RowError(self.number, None, f"a {type(row).__name__} is no mapping")
        for key in keys:
            if key not in row:
                return RowError(self.number, key, "it is missing, and the first row has it")
        [key, *_] = [str(key) for key in row if key not in keys]
        return RowError(self.number, key, "the first row does not have it")

    def _misfit(self, at: int, error: Exception) -> RowError:
        misfit = (*self.given, *self.made)[at]
        kind = type(misfit.column.type).__name__
        return RowError(self.number, misfit.key, f"{kind} does not take it: {type(error).__name__}")


def records(target: Target, first: Row) -> Records:
    """Tell from the first row what is copied.

    Raises:
        RowError: it has what is no column, or lacks one that nobody fills.
    """
    if not isinstance(first, Mapping):
        raise RowError(1, None, f"a {type(first).__name__} is no mapping")
    for key in first:
        if key not in target.fields:
            has = ", ".join(target.fields)
            raise RowError(1, str(key), f"{target.table.fullname} has no such column, but {has}")
    left = [each for key, each in target.fields.items() if key not in first]
    for each in left:
        if each.default is None and not each.may_be_left_out:
            raise RowError(1, each.key, "it is missing, and has no default")
    made = [each for each in left if each.default is not None]
    return Records([target.fields[key] for key in first], made)
