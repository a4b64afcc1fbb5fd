"""Turn the URL that somebody pasted into one that an engine takes, and hide its secrets."""

from holdfast.urls.address import Host
from holdfast.urls.parsing import DRIVERS, parse
from holdfast.urls.providers import Pooler
from holdfast.urls.redaction import redact
from holdfast.urls.rendering import render
from holdfast.urls.tls import Tls, TlsMode
from holdfast.urls.url import (
    POOLER_SETTINGS,
    Backend,
    DatabaseUrl,
    Finding,
    TargetSession,
)

__all__ = [
    "DRIVERS",
    "POOLER_SETTINGS",
    "Backend",
    "DatabaseUrl",
    "Finding",
    "Host",
    "Pooler",
    "TargetSession",
    "Tls",
    "TlsMode",
    "parse",
    "redact",
    "render",
]
