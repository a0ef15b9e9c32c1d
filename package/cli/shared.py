"""What several commands share: rows of a file, labels, feature sets, progress, Ctrl-C."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ..errors import BertVectorizerError, InvalidTableError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "comparison_progress",
    "interrupted",
    "make_feature_sets",
    "read_rows",
    "split_labels",
    "writing_rows",
]


def read_rows(
    file: Path, columns: Sequence[str], sample: int | None, seed: int, options: dict[str, Any]
) -> pd.DataFrame:
    """Return columns of a file, of all rows or of ``sample`` rows drawn at random."""
    from ..pipeline import read_sample, read_table

    if sample is None:
        return read_table(file, columns, **options)
    return read_sample(file, columns, sample, random_state=seed, **options)


def split_labels(target: pd.Series, separator: str | None) -> Any:
    """Return a target; where a separator is given, a list of labels for each row."""
    if separator is None:
        return target
    return [
        [label.strip() for label in str(cell).split(separator) if label.strip()]
        for cell in target.fillna("")
    ]


def make_feature_sets(
    features: list[str] | None, vectors: list[Path] | None, all_layers: bool, bert: dict[str, Any]
) -> dict[str, Any]:
    """Return the feature sets to compare: all, or those named and those of word-vector files."""
    from ..pipeline import choose_features, default_features, layer_features

    for path in vectors or []:
        if not path.exists() and ".zip" not in str(path):
            raise InvalidTableError(f"There is no file {str(path)!r} of word vectors.")
    known = default_features(vectors or [], **bert)
    if all_layers:
        layers = layer_features(**bert)
        known |= {name: one for name, one in layers.items() if name not in known}
    if not features:
        return known
    from_files = {name: one for name, one in known.items() if name.startswith("vectors ")}
    return {**choose_features(features, known), **from_files}


def interrupted(message: str) -> typer.Exit:
    """Print what Ctrl-C has left, and return the exit to raise."""
    print(f"Interrupted: {message}", file=sys.stderr)
    return typer.Exit(130)


def _progress(*columns: ProgressColumn) -> Progress:
    """Return progress on stderr, shown on a terminal only: a log gets no control characters."""
    console = Console(stderr=True)
    return Progress(SpinnerColumn(), *columns, console=console, disable=not console.is_terminal)


class _RowsColumn(ProgressColumn):
    """Rows done, and how many a second once that is known."""

    def render(self, task: Task) -> Text:
        """Return the text of the column."""
        speed = f", {task.speed:,.0f} rows/s" if task.speed else ""
        return Text(f"{task.completed:,.0f} rows{speed}")


@contextmanager
def writing_rows(output: Path) -> Iterator[Callable[[int], None]]:
    """Show the rows that are written; after Ctrl-C or an error say how many are kept."""
    done = 0
    stop: BaseException | None = None
    with _progress(_RowsColumn(), TimeElapsedColumn()) as progress:
        task = progress.add_task("rows", total=None)

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            progress.update(task, completed=done)

        try:
            yield advance
        except (KeyboardInterrupt, BertVectorizerError) as error:
            stop = error
    kept = f"{done:,} rows are kept in {output}.part" if done else "nothing was written"
    if isinstance(stop, KeyboardInterrupt):
        raise interrupted(kept)
    if stop is not None:
        raise type(stop)(f"{stop} Of the rows before, {kept}." if done else str(stop)) from stop
    print(f"{done:,} rows written to {output}", file=sys.stderr)


@contextmanager
def comparison_progress(n_features: int) -> Iterator[Callable[[str, str, int, int], None]]:
    """Show a bar for all feature sets and one for each; a line for each without a terminal."""
    tasks: dict[str, TaskID] = {}
    started = time.perf_counter()
    with _progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    ) as progress:
        total_task = progress.add_task("all", total=n_features, unit="feature sets")

        def show(name: str, unit: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, unit=unit)
            progress.update(tasks[name], completed=done, total=total, unit=unit)
            if unit == "folds":
                progress.update(total_task, completed=len(tasks) - 1 + done / total)
                if progress.disable and done == total:
                    seconds = time.perf_counter() - started
                    print(f"{name}: done after {seconds:.1f} s", file=sys.stderr)

        yield show
