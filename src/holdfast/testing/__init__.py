"""A pytest plugin: the application's own database, on real servers, fresh for each test.

    async def test_a_deck_is_stored(db):          # nothing to configure, nothing to install
        async with db.begin() as session:
            session.add(Deck(name="first"))

pytest finds the plugin by itself. Needs `holdfast[testing]`.
"""

# pytest imports this in every run: nothing here may need SQLAlchemy.
from holdfast.testing.clone import Clone
from holdfast.testing.statements import Counted, Statement, count_statements

__all__ = ["Clone", "Counted", "Statement", "count_statements"]
