"""Call use cases on the database that the settings name."""

from holdfast.cli import Runner
from mantimon.config import get_settings
from mantimon.db.session import make_database

_runner = Runner(
    # A command asks one thing after the other.
    lambda: make_database(get_settings().database_url.get_secret_value(), connections=1)
)
do, ask = _runner.do, _runner.ask
