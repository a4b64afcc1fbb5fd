"""Hide the secrets of URLs and connection strings within any text."""

import re

# From the scheme to the last @ of the line: a password may hold anything, spaces and @ included.
_PASSWORD = re.compile(r"(?P<before>[a-z][a-z0-9+.-]*://[^\s:/?#@]*:).*(?P<after>@)", re.IGNORECASE)
_KEYS = r"password|sslpassword|token|oauth_client_secret|scram_client_key|scram_server_key"
_IN_QUERY = re.compile(rf"(?P<before>[?&](?:{_KEYS})=)[^&\s]+", re.IGNORECASE)
# libpq's keyword form: a value with spaces stands in single quotes, in which \ escapes.
_KEYWORD = re.compile(
    rf"(?P<before>(?<![\w?&])(?:{_KEYS})\s*=\s*)(?:'(?:[^'\\]|\\.)*(?:'|$)|(?!')(?:[^\s\\]|\\.?)+)",
    re.IGNORECASE | re.DOTALL,
)


def redact(text: str) -> str:
    """Replace the passwords of every URL and connection string in the text by `***`."""
    for pattern, shown in (
        (_PASSWORD, r"\g<before>***\g<after>"),
        (_IN_QUERY, r"\g<before>***"),
        (_KEYWORD, r"\g<before>***"),
    ):
        text = pattern.sub(shown, text)
    return text
