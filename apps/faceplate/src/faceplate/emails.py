"""Tell an e-mail address from what is none."""

import re

from faceplate.errors import InvalidInputError

LONGEST = 254  # characters that SMTP carries; the column has 255
_LONGEST_LOCAL = 64
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(
    rf"(?P<local>{_ATOM}(?:\.{_ATOM})*)@(?P<domain>(?:{_LABEL}\.)+(?![0-9]+\Z){_LABEL})"
)


def checked_email(value: str) -> str:
    """Give an address with its domain in lower case, as two spellings of a domain are one.

    An address is `local@domain` as RFC 5321 writes it without quotes, in ASCII; a domain has two
    labels or more, one of another script in the form `xn--…`. Whether somebody reads it is not
    asked.

    Raises:
        InvalidInputError: it is none.
    """
    found = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if not found or len(value) > LONGEST or len(found["local"]) > _LONGEST_LOCAL:
        shown = repr(value)
        raise InvalidInputError(
            f"email is {shown if len(shown) <= 80 else f'{shown[:80]}…'}; "
            "an address looks like ann@example.com"
        )
    return f"{found['local']}@{found['domain'].lower()}"
