"""Certificates of an authority that nobody else knows, thrown away afterwards."""

import ssl
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from holdfast.errors import MissingExtraError


class Certificates:
    """What a server needs to speak TLS, and its clients to trust it.

    Args:
        names: hosts and addresses that the server's certificate is for.
        expired: whether it was valid until yesterday.

    Attributes:
        context: for the server.
        authority: the file of the authority that signed its certificate.
        stranger: the file of one that did not.

    Raises:
        MissingExtraError: trustme is not installed.
    """

    def __init__(self, names: Sequence[str], *, expired: bool) -> None:
        try:
            from trustme import CA  # noqa: PLC0415  -- an extra
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "certificates for tests are made by trustme: pip install 'holdfast[testing]'"
            ) from error
        self._folder = tempfile.TemporaryDirectory(prefix="holdfast-")
        folder = Path(self._folder.name)
        self.authority, self.stranger = folder / "authority.pem", folder / "stranger.pem"
        authority = CA()
        authority.cert_pem.write_to_path(str(self.authority))
        CA().cert_pem.write_to_path(str(self.stranger))
        end = datetime.now(UTC) - timedelta(days=1) if expired else None
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names, not_after=end).configure_cert(self.context)

    def remove(self) -> None:
        """Delete the files."""
        self._folder.cleanup()
