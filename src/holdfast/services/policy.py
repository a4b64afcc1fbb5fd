"""What can be chosen about a server, whichever it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from holdfast.errors import ConfigurationError
from holdfast.services.ports import check_address


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPolicy:
    """How a server is run.

    Attributes:
        listen: an address of this machine to listen on as well, `127.0.0.1` or `::1`; None for
            the unix socket alone.
        port: for `listen`; 0 takes a free one.
        start_timeout: seconds for a start, with everything that has to be made first.
        stop_timeout: seconds between two signals, each harder than the one before.
        settings: the server's own parameters, while it is started by this process.
    """

    listen: str | None = None
    port: int = 0
    start_timeout: float = 30.0
    stop_timeout: float = 10.0
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_address(self.listen, self.port)


def refuse_settings(settings: Mapping[str, str], reserved: frozenset[str]) -> None:
    """Refuse settings that are decided elsewhere, or that are more than one line.

    Raises:
        ConfigurationError: names the setting.
    """
    for name, value in settings.items():
        if name.lower() in reserved:
            raise ConfigurationError(
                f"settings has {name!r}, which cannot be set there: use the policy's other fields"
            )
        if {"\n", "\r", "\0"} & set(name + value):
            raise ConfigurationError(f"settings has {name!r}, which is not one line")
