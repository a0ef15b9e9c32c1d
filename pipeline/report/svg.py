"""Write any text into figures, and render figures as SVG elements of a page."""

from __future__ import annotations

import html
import io
import re
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import matplotlib as mpl
import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.text import Text

from .formatting import shorten

__all__ = ["BLUE", "COLOURS", "RED", "figure_svg", "inscribe"]

# Colours for every kind of colour vision (Okabe and Ito). A dark page uses lighter ones.
COLOURS = {
    "blue": "#0072b2",
    "red": "#d55e00",
    "green": "#009e73",
    "pink": "#cc79a7",
    "yellow": "#e69f00",
    "sky": "#56b4e9",
    "violet": "#6a51a3",
}
BLUE, RED = COLOURS["blue"], COLOURS["red"]

_MISSING = "\N{WHITE SQUARE}"
# Braille patterns: hardly in any label, and about as wide as a letter.
_PLACEHOLDERS = [chr(number) for number in range(0x2801, 0x2900)]
_STYLE = {"svg.fonttype": "none", "text.usetex": False}
_lock = threading.RLock()


def inscribe(artist: Text, text: object, width: int = 28) -> Text:
    """Set a text, shortened and never read as mathematics; squares for letters the font lacks."""
    shown = shorten(text, width)
    artist.set_parse_math(False)
    artist.set_usetex(False)
    artist.set_label(shown)  # the original, for `figure_svg`
    known = _letters(artist)
    artist.set_text("".join(c if c in known else _MISSING for c in shown))
    return artist


def _letters(artist: Text) -> frozenset[str]:
    """Return the characters that the artist's fonts have."""
    wanted = artist.get_fontproperties()
    found: set[str] = set()
    for family in wanted.get_family():
        properties = wanted.copy()
        properties.set_family(family)
        found |= _letters_of(properties)
    return frozenset(found)


@lru_cache(maxsize=8)
def _letters_of(properties: FontProperties) -> frozenset[str]:
    return frozenset(map(chr, get_font(findfont(properties)).get_charmap()))


def figure_svg(draw: Callable[[], Figure], name: str, title: str, description: str) -> str:
    """Return a figure, drawn in matplotlib's default style, as an SVG element of a page.

    ``name`` is the prefix of every id: letters, digits and hyphens. ``title`` and ``description``
    are for screen readers. The figure scales with its viewBox. Black becomes the page's ``color``,
    white ``--paper``, and the other colours ``--blue`` etc. Text stays text.
    """
    with _lock, mpl.rc_context():  # settings are global
        mpl.style.use(["default", {**_STYLE, "svg.hashsalt": name}])
        figure = draw()
        originals = _set_placeholders(figure)
        target = io.StringIO()
        figure.savefig(
            target,
            format="svg",
            transparent=True,
            metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")),
        )
    drawn = target.getvalue()
    drawn = drawn[drawn.index("<svg") :].strip()
    drawn = re.sub(
        r"<!--.*?(?:-->|\Z)|<metadata>.*?(?:</metadata>|\Z)|<style\b.*?(?:</style>|\Z)"
        r"|<defs>\s*</defs>",
        "",
        drawn,
        flags=re.DOTALL,
    )
    # Text is never within a tag, nor does it hold a "<".
    drawn = re.sub(r"<[^<>]*>", lambda tag: _page_tag(tag.group(), name), drawn)
    drawn = drawn.translate({ord(placeholder): letter for placeholder, letter in originals.items()})
    _, viewbox, rest = re.split(r'<svg[^<>]*?viewBox="([^"]*)"[^<>]*>', drawn, maxsplit=1)
    return (
        f'<svg class="figure" role="img" viewBox="{viewbox}" aria-labelledby="{name}-title'
        f' {name}-description" xmlns:xlink="http://www.w3.org/1999/xlink"><title'
        f' id="{name}-title">{html.escape(title)}</title><desc'
        f' id="{name}-description">{html.escape(description)}</desc>{rest}'
    )


def _set_placeholders(figure: Figure) -> dict[str, str]:
    """Replace letters that the font lacks; return the original of each placeholder."""
    artists: list[Any] = [artist for artist in figure.findobj(Text) if artist.get_label()]
    used = {c for artist in artists for c in str(artist.get_label())}
    free = iter([c for c in _PLACEHOLDERS if c not in used])
    placeholder: dict[str, str] = {}
    for artist in artists:
        known = _letters(artist)
        text = str(artist.get_label())
        for c in text:
            if c not in known and c not in placeholder:
                placeholder[c] = next((other for other in free if other in known), _MISSING)
        artist.set_text("".join(c if c in known else placeholder[c] for c in text))
    return {other: c for c, other in placeholder.items() if other != _MISSING}


def _page_tag(tag: str, name: str) -> str:
    """Adapt a tag to the page: unique ids, the page's colours and fonts."""
    tag = (
        re.sub(r' id="[^"]*"', "", tag)
        if tag.startswith("<g ")
        else re.sub(r'\bid="', f'id="{name}-', tag)
    )
    tag = re.sub(r'(url\(|href=")#', rf"\1#{name}-", tag)
    tag = re.sub(r"font-family: [^;\"]*;? ?", "", tag)
    tag = tag.replace("#000000", "currentColor").replace("#ffffff", "var(--paper,#ffffff)")
    for colour, number in COLOURS.items():
        tag = tag.replace(number, f"var(--{colour},{number})")
    return tag
