"""Compare the names of cards as people read them, and show them as no terminal obeys them."""

import re
from typing import Final
from unicodedata import combining, normalize

# What a keyboard has in place of letters that Unicode does not take apart, of the dotless i and
# of the typographic apostrophe.
_PLAIN_LETTERS: Final = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ł": "l", "\u0131": "i", "\u2019": "'"}
)
# Control characters, and those that turn the direction of the text after them.
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def folded(text: str) -> str:
    """Give what is left of a text without its case, accents and spaces that do not part words.

    `"Flabébé"`, `"FLABE\u0301BE\u0301"` and `" flabebe "` become one text; so do `"Straße"` and
    `"STRASSE"`. What is folded stays as it is when it is folded again.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    # Some letters have an accent only in lower case, so that it shows after a second time.
    apart = normalize("NFKD", normalize("NFKD", text).casefold())
    plain = "".join(char for char in apart if not combining(char))
    return " ".join(plain.translate(_PLAIN_LETTERS).split())


def printable(text: str) -> str:
    r"""Give a text in one line with its control characters as `\u001b`, which JSON reads as well.

    A name comes from a file of anybody's; a terminal would do what such characters say.
    """
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
