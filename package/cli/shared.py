"""What ``compare`` and ``train`` share: rows of a file, labels, the roster, progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..errors import InvalidTableError
from .options import progress_on_stderr

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["make_roster", "read_rows", "showing_progress", "split_labels"]


def read_rows(
    file: Path, columns: Sequence[str], sample: int | None, seed: int, options: dict[str, Any]
) -> pd.DataFrame:
    """Return columns of a file, of all rows or of so many drawn at random."""
    from ..pipeline import read_sample, read_table

    return (
        read_table(file, columns, **options)
        if sample is None
        else read_sample(file, columns, sample, random_state=seed, **options)
    )


def split_labels(target: pd.Series, separator: str | None) -> Any:
    """Return a target; where a separator is given, a list of labels for each row."""
    if separator is None:
        return target
    return [
        [label.strip() for label in str(cell).split(separator) if label.strip()]
        for cell in target.fillna("")
    ]


def make_roster(
    features: list[str] | None, vectors: list[Path] | None, all_layers: bool, bert: dict[str, Any]
) -> dict[str, Any]:
    """Return the kinds of features to compare, all or those named."""
    from ..pipeline import choose_features, default_features, layer_features

    for path in vectors or []:
        if not path.exists() and ".zip" not in str(path):
            raise InvalidTableError(f"There is no file {str(path)!r} of word vectors.")
    roster = default_features(vectors or [], **bert)
    if all_layers:
        roster |= {
            name: transformer
            for name, transformer in layer_features(**bert).items()
            if name not in roster
        }
    if not features:
        return roster
    given = {
        name: transformer for name, transformer in roster.items() if name.startswith("vectors ")
    }
    return {
        **choose_features(features, roster),
        **given,
    }  # whoever names a file of vectors wants it compared


@contextmanager
def showing_progress(n_members: int) -> Iterator[Callable[[str, str, int, int], None]]:
    """Show a bar for all and one for each kind of features on a terminal, and a line for each that is done elsewhere."""
    count = TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}")
    left = TextColumn("left:")
    tasks: dict[str, TaskID] = {}
    started = time.perf_counter()
    with progress_on_stderr(
        TextColumn("{task.description}"),
        BarColumn(),
        count,
        TimeElapsedColumn(),
        left,
        TimeRemainingColumn(),
    ) as progress:
        whole = progress.add_task("all", total=n_members, unit="kinds of features")

        def show(name: str, unit: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, unit=unit)
            progress.update(tasks[name], completed=done, total=total, unit=unit)
            if unit == "folds":
                progress.update(whole, completed=len(tasks) - 1 + done / total)
                if progress.disable and done == total:
                    print(
                        f"{name}: done after {time.perf_counter() - started:.1f} s", file=sys.stderr
                    )

        yield show
