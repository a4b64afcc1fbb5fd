"""A row that cannot be copied, before it is known by its key."""


class MisfitError(Exception):
    """A value is not what its column's type says.

    Attributes:
        at: the row's place among those that were taken together.
    """

    def __init__(self, at: int, problem: str) -> None:
        super().__init__(problem)
        self.at = at


class RefusedError(Exception):
    """The target does not take a row.

    Attributes:
        number: of the row, counted from 1 in the order in which the table is read.
    """

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(problem)
        self.number = number
