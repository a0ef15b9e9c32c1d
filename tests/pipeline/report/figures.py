"""What the tests of figures share: names of any kind, and what a figure shows."""

from __future__ import annotations

import io

from matplotlib.figure import Figure
from matplotlib.text import Text

from bertvectorizer import Comparison
from bertvectorizer.pipeline.comparison.target import Kind
from tests.pipeline.comparisons import make_comparison

WILD = [
    "$x$ & $\\frac$",
    "_hidden",
    "中文标签很长很长很长很长很长很长",
    "🦇 \u202eevil\x00\n",
    "a" * 300,
    "",
    "<b>\u2801",
]


def texts_of(figure: Figure) -> list[str]:
    return [artist.get_text() for artist in figure.findobj(Text) if artist.get_text()]


def draw(figure: Figure) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=50)
    return target.getvalue()


def wild_comparison(kind: Kind = "multiclass") -> Comparison:
    return make_comparison(kind, [*WILD, "BERT"], classes=WILD, curve=True)
