"""Words of users in figures, whatever is in them; and figures as SVG that stands inside a page."""

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

# Colours that are told apart with every kind of colour vision. A page gives each a lighter twin on
# a dark ground.
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
_STAND_INS = [
    chr(number) for number in range(0x2801, 0x2900)
]  # Braille: nobody's labels, and about as wide as a letter
_STYLE = {"svg.fonttype": "none", "text.usetex": False}
_in_turn = threading.RLock()


def inscribe(artist: Text, text: object, width: int = 28) -> Text:
    """Give an artist the words of a user: shortened, never read as mathematics, with squares for letters that the font lacks."""
    words = shorten(text, width)
    artist.set_parse_math(False)
    artist.set_usetex(False)
    artist.set_label(words)  # what was meant, for `figure_svg`
    known = _letters(artist)
    artist.set_text("".join(c if c in known else _MISSING for c in words))
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
    """Return a figure as an SVG element for a page.

    Parameters
    ----------
    draw : callable
        Makes the figure, in matplotlib's own style.
    name : str
        Begins every id, so that no two figures of a page share one: letters, digits and hyphens.
    title, description : str
        What a screen reader says.

    Returns
    -------
    str
        It scales with its ``viewBox``, takes its black from the page's ``color``, its white from
        ``--paper``, and other colours from ``--blue`` and its kin, where the page sets them. Text
        stays text, in the fonts of the reader.
    """
    with _in_turn, mpl.rc_context():  # settings of matplotlib are the whole process's
        mpl.style.use(["default", {**_STYLE, "svg.hashsalt": name}])
        figure = draw()
        originals = _put_stand_ins(figure)
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
        r"<!--.*?-->|<metadata>.*?</metadata>|<style\b.*?</style>|<defs>\s*</defs>",
        "",
        drawn,
        flags=re.DOTALL,
    )
    drawn = re.sub(
        r"<[^>]*>", lambda tag: _page_tag(tag.group(), name), drawn
    )  # words are never within a tag, nor hold a "<"
    drawn = drawn.translate({ord(stand_in): letter for stand_in, letter in originals.items()})
    _, viewbox, rest = re.split(r'<svg[^>]*?viewBox="([^"]*)"[^>]*>', drawn, maxsplit=1)
    width = viewbox.split()[2]
    return (
        f'<svg class="figure" role="img" viewBox="{viewbox}"'
        f' style="max-width:{float(width) * 1.6:.0f}px" aria-labelledby="{name}-title'
        f' {name}-description" xmlns:xlink="http://www.w3.org/1999/xlink"><title'
        f' id="{name}-title">{html.escape(title)}</title><desc'
        f' id="{name}-description">{html.escape(description)}</desc>{rest}'
    )


def _put_stand_ins(figure: Figure) -> dict[str, str]:
    """Let other letters stand for those that the font lacks, as a reader's fonts may have them; return which for which."""
    artists: list[Any] = [artist for artist in figure.findobj(Text) if artist.get_label()]
    used = {c for artist in artists for c in str(artist.get_label())}
    free = iter([c for c in _STAND_INS if c not in used])
    stand_in: dict[str, str] = {}
    for artist in artists:
        known = _letters(artist)
        words = str(artist.get_label())
        for c in words:
            if c not in known and c not in stand_in:
                stand_in[c] = next((other for other in free if other in known), _MISSING)
        artist.set_text("".join(c if c in known else stand_in[c] for c in words))
    return {other: c for c, other in stand_in.items() if other != _MISSING}


def _page_tag(tag: str, name: str) -> str:
    """Make a tag fit for a page: ids of its own, the page's colours and fonts."""
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
