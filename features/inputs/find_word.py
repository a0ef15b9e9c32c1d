"""Find the occurrences of a word in texts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from ...validation import invalid

__all__ = ["find_word"]

# Accents that follow their letter belong to the word, though no word character
_MARKS = "\u0300-\u036f"


def find_word(texts: Sequence[str], word: str, as_part: bool = False) -> list[tuple[int, int, int]]:
    """Return occurrences of a word: the row, the first character, and the one after the last.

    Examples
    --------
    >>> find_word(["A bat, a Bat!", "batty"], "bat")
    [(0, 2, 5), (0, 9, 12)]
    >>> find_word(["batty"], "bat", as_part=True)
    [(0, 0, 3)]
    """
    if not isinstance(word, str) or not word.strip():
        raise invalid("word", "a word", word)
    spellings = dict.fromkeys(unicodedata.normalize(form, word.strip()) for form in ("NFC", "NFD"))
    anywhere = "|".join(r"\s+".join(map(re.escape, spelling.split())) for spelling in spellings)
    # Scripts without spaces between words have no separate ones to look for.
    before, after = (
        rf"[\w{_MARKS}]" if unicodedata.east_asian_width(c) not in "WF" and not as_part else r"(?!)"
        for c in (word.strip()[0], word.strip()[-1])
    )
    pattern = re.compile(
        (
            f"(?<!{before})(?:{anywhere})(?!{after})"
            if before != "(?!)"
            else f"(?:{anywhere})(?!{after})"
        ),
        re.IGNORECASE,
    )
    return [
        (row, *match.span()) for row, text in enumerate(texts) for match in pattern.finditer(text)
    ]
