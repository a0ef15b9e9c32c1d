"""Draw plots for users: into their axes, or into a new figure that pyplot knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...validation import invalid
from .figure_style import write_title

__all__ = ["display", "display_pair"]


class _PyplotFigure(Figure):
    """A figure of pyplot, which a notebook shows once: as the result of a cell, or at its end."""

    def _ipython_display_(self) -> None:
        import matplotlib
        from matplotlib import pyplot

        if "inline" in matplotlib.get_backend():
            # It shows the open figures of pyplot at the end of a cell: this one is shown now.
            pyplot.close(self)
        raise NotImplementedError  # IPython then shows it like any figure


def _pyplot_figure(**options: Any) -> Figure:
    """Return a new figure of pyplot, or a plain one where its backend cannot be loaded."""
    from matplotlib import pyplot

    try:
        return pyplot.figure(FigureClass=_PyplotFigure, **options)
    except ImportError:  # a backend that needs a screen, where there is none
        return Figure(**options)


def display(draw: Callable[[Any], Figure], ax: Axes | None, title: str) -> Figure:
    """Draw into given axes, or a new figure, under a title.

    Examples
    --------
    >>> axes = Figure().add_subplot()
    >>> figure = display(lambda place: place.figure, axes, "Scores")
    >>> axes.get_title()
    'Scores'
    """
    if ax is not None and not isinstance(ax, Axes):
        raise invalid("ax", "an Axes of matplotlib, or None", ax)
    if ax is None:  # the title is part of the layout in which labels find their places
        return draw(partial(_titled_figure, title))
    figure = draw(ax)
    write_title(ax, title)
    return figure


def _titled_figure(title: str, **options: Any) -> Figure:
    figure = _pyplot_figure(**options)
    write_title(figure, title)
    return figure


def display_pair(draw: Callable[[Any], Figure], ax: Sequence[Axes] | None, title: str) -> Figure:
    """Draw into two given axes, whose titles stay those of the parts, or into a new figure."""
    if ax is None:
        return display(draw, None, title)
    pair = list(ax) if hasattr(ax, "__iter__") else [ax]
    if len(pair) != 2 or not all(isinstance(one, Axes) for one in pair):
        raise invalid("ax", "two Axes of matplotlib, or None", ax)
    return draw(pair)
