"""Mappings into the driver's records: all alike, with the model's types and defaults."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from sqlalchemy import Dialect

from holdfast.errors import InvalidValueError, RowError
from holdfast.fastlane.targets import Field, Target, processes
from holdfast.fastlane.values import Process

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
        kinds = processes((*self.given, *self.made), dialect)
        some: list[Row] | None = first
        while some and not is_lost():
            for record in self._converted(some, kinds):
                self.number += 1
                yield record
            self.waiting = True
            some = await anext(others, None)
            self.waiting = False

    def _converted(
        self, some: Sequence[Row], kinds: Sequence[Process | None]
    ) -> Iterable[tuple[object, ...]]:
        """Convert by columns, which takes half as long as by rows."""
        try:
            columns: list[list[object]] = [[row[each.key] for row in some] for each in self.given]
            same = set(map(len, some)) == {len(columns)}
        except (TypeError, LookupError):
            same = False
        if not same:
            raise self._unlike(some)
        defaults = [each.default for each in self.made if each.default is not None]
        columns += [[make() for _ in some] for make in defaults]
        for at, process in enumerate(kinds):
            if process is not None:
                columns[at] = self._processed(at, process, columns[at])
        return zip(*columns, strict=True)

    def _processed(self, at: int, process: Process, values: list[object]) -> list[object]:
        try:
            return list(map(process, values))
        except Exception:  # noqa: BLE001  -- it is looked for below
            return [self._one(at, process, number, value) for number, value in enumerate(values)]

    def _one(self, at: int, process: Process, number: int, value: object) -> object:
        try:
            return process(value)
        except Exception as error:
            misfit = (*self.given, *self.made)[at]
            if isinstance(error, InvalidValueError):
                raise RowError(self.number + number + 1, misfit.key, error.reason) from error
            kind = type(misfit.column.type).__name__
            problem = f"{kind} does not take it: {type(error).__name__}"
            raise RowError(self.number + number + 1, misfit.key, problem) from error

    def _unlike(self, some: Sequence[Row]) -> RowError:
        problems = (
            (number, *problem)
            for number, row in enumerate(some, self.number + 1)
            if (problem := self._problem(row))
        )
        return RowError(*next(problems))

    def _problem(self, row: object) -> tuple[str | None, str] | None:
        keys = [each.key for each in self.given]
        if not isinstance(row, Mapping):
            return None, f"a {type(row).__name__} is no mapping"
        for key in keys:
            if key not in row:
                return key, "it is missing, and the first row has it"
        for key in row:
            if key not in keys:
                return str(key), "the first row does not have it"
        return None


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
    if not first and not made:
        raise RowError(1, None, "it has no value, which COPY cannot write; use insert()")
    return Records([target.fields[key] for key in first], made)
