"""The progress bar of a comparison, which is shown in notebooks and on terminals."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

from ..validation import invalid, short_text

__all__ = ["Progress", "comparison_bar", "is_watched", "no_progress", "shows_bar"]

_MAX_NAME = 40
Progress: TypeAlias = Callable[[str, str, int, int], Any]  # feature set, unit, done, total


def is_watched() -> bool:
    """Whether this process runs in a notebook, or its standard error is a terminal."""
    ipython = sys.modules.get("IPython")  # a notebook has imported it
    shell = None if ipython is None else ipython.get_ipython()
    if shell is not None and "IPKernelApp" in shell.config:  # as tqdm recognizes notebooks
        return True
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # None, or closed
        return False


def shows_bar(show_progress_bar: Any, progress: Progress | None) -> bool:
    """Return whether to show a bar: by default in notebooks and terminals, without ``progress``."""
    if show_progress_bar is None:
        return progress is None and is_watched()
    if not isinstance(show_progress_bar, (bool, np.bool_)):
        raise invalid("show_progress_bar", "True, False or None", show_progress_bar)
    return bool(show_progress_bar)


def no_progress(name: str, unit: str, done: int, total: int) -> None:
    """Ignore a report of progress."""


@contextmanager
def comparison_bar(names: Sequence[str], n_fits: int, has_bar: bool = True) -> Iterator[Progress]:
    """Show a bar of all fits, ``n_fits`` for each feature set; yield the function to report to.

    While texts are encoded, which comes before the fits, the label of the bar counts them.
    """
    if not has_bar:
        yield no_progress
        return
    from tqdm.auto import tqdm

    first_fit = {name: number * n_fits for number, name in enumerate(names)}
    with tqdm(total=len(names) * n_fits, unit=" fits", desc="compare") as bar:

        def show(name: str, unit: str, done: int, total: int) -> None:
            is_fit, label = unit == "folds", short_text(name, _MAX_NAME)
            bar.set_description(label if is_fit else f"{label}: {done:,}/{total:,} texts", False)
            bar.update(first_fit[name] + (done if is_fit else 0) - bar.n)
            if not is_fit or not done:
                bar.refresh()

        yield show
        bar.set_description("compare", False)
        bar.update(bar.total - bar.n)  # those that failed included
