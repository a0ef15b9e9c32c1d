"""What several commands share: rows of a file, labels, feature sets, progress, Ctrl-C."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

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

from ..errors import BertVectorizerError, InvalidParameterError, InvalidTableError
from ..validation import printable
from .options import bert_parameters

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "check_all_used",
    "check_output_file",
    "comparison_progress",
    "interrupted",
    "make_feature_sets",
    "output_target",
    "read_rows",
    "readable_file",
    "say",
    "split_labels",
    "writing_rows",
]

_STREAM = Path("-")


def say(message: str, *, error: bool = False) -> None:
    """Print a message on stdout, or stderr; what a terminal would act upon is escaped.

    Names and values in messages come from files.
    """
    stream = sys.stderr if error else sys.stdout
    if stream is not None:  # print would take standard output instead of a closed stream
        lines = "\n".join(map(printable, message.split("\n")))
        print(lines, file=stream)


@contextmanager
def readable_file(file: Path) -> Iterator[Path]:
    """Yield the path of a file; "-" is a copy of standard input, named by its format."""
    if file != _STREAM:
        yield file
        return
    if sys.stdin is None:
        raise InvalidTableError("Standard input is closed. Give a file.")
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory, "standard_input")
        try:
            with copy.open("wb") as copied:
                shutil.copyfileobj(sys.stdin.buffer, copied)
        except OSError as error:
            raise InvalidTableError(
                f"Standard input cannot be copied to {directory!r}: {error.strerror}. Make room, or"
                " let TMPDIR name another folder."
            ) from error
        with copy.open("rb") as copied:
            start = copied.read(64)
        if start.startswith(b"PAR1"):
            ending = ".parquet"
        elif start.startswith(b"PK\x03\x04"):
            ending = ".xlsx"
        else:
            ending = (
                ".jsonl" if start.lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \r\n\t")[:1] == b"{" else ".csv"
            )
        path = copy.rename(copy.with_suffix(ending))
        try:
            yield path
        except BertVectorizerError as error:
            shown = f"file {str(path)!r}"
            renamed = type(error)(str(error).replace(shown, "standard input"))
            for note in getattr(error, "__notes__", []):
                renamed.add_note(note)
            raise renamed from error


def output_target(output: Path) -> Path | IO[bytes]:
    """Return a path as it is, and standard output for "-"."""
    if output != _STREAM:
        return output
    if sys.stdout is None:
        raise InvalidTableError("Standard output is closed. Give a file.")
    sys.stdout.flush()
    return sys.stdout.buffer


def check_output_file(
    output: Path, endings: Collection[str], inputs: Iterable[Path | None]
) -> None:
    """Raise unless an output can be written and is none of the inputs; "-" always can."""
    from ..pipeline.files.write import check_output

    if output != _STREAM:
        check_output(output, endings, *(path for path in inputs if path is not None))


def read_rows(
    file: Path, columns: Sequence[str], sample: int | None, seed: int, options: dict[str, Any]
) -> pd.DataFrame:
    """Return columns of a file, of all rows or of ``sample`` rows drawn at random."""
    from ..pipeline import read_sample, read_table

    with readable_file(file) as path:
        if sample is None:
            return read_table(path, columns, **options)
        return read_sample(path, columns, sample, random_state=seed, **options)


def split_labels(target: pd.Series, separator: str | None) -> Any:
    """Return a target; where a separator is given, a list of labels for each row."""
    if separator is None:
        return target
    return [
        [label.strip() for label in str(cell).split(separator) if label.strip()]
        for cell in target.fillna("")
    ]


def make_feature_sets(
    features: list[str] | None,
    vectors: list[Path] | None,
    all_layers: bool,
    models: list[str] | None,
    *,
    precision: str,
    local_files_only: bool,
    pairs: bool,
) -> dict[str, Any]:
    """Return the feature sets to compare: all, or those named and those of word-vector files.

    Those of several models are called after them. Mistakes are found here, before the long work.
    """
    from ..models import check_precision, resolve_device
    from ..models.word_vectors import load_word_vectors
    from ..pipeline.comparison.candidates import join_models

    check_precision(precision, resolve_device(None))
    for path in vectors or []:
        load_word_vectors(path)  # which caches the table
    bert = {"precision": precision, "local_files_only": local_files_only, "pairs": pairs}
    if models is None or len(models) < 2:
        model = models[0] if models else None
        return _feature_sets_of(features, vectors, all_layers, bert_parameters(model, **bert))
    for model in models:
        if models.count(model) > 1:
            raise InvalidParameterError(f"--model must name different models. Got {model!r} twice.")
    return join_models(
        {
            model: _feature_sets_of(features, vectors, all_layers, bert_parameters(model, **bert))
            for model in models
        }
    )


def _feature_sets_of(
    features: list[str] | None, vectors: list[Path] | None, all_layers: bool, bert: dict[str, Any]
) -> dict[str, Any]:
    from ..pipeline import choose_features, default_features, fine_tuned_features, layer_features

    known = default_features(vectors or [], **bert)
    of_model = {name: bert[name] for name in bert if name != "pairs"}
    if all_layers:
        layers = layer_features(**of_model)
        known |= {name: one for name, one in layers.items() if name not in known}
    if not features:
        return known
    from_files = {name: one for name, one in known.items() if name.startswith("vectors ")}
    by_names = {**known, **fine_tuned_features(**of_model)}
    return {**choose_features(features, by_names), **from_files}


def check_all_used(failures: Collection[str]) -> None:
    """Name the feature sets that failed, and exit with code 1 if there are any."""
    if failures:
        say(f"Left out, as noted above: {', '.join(failures)}.", error=True)
        raise typer.Exit(1)


def interrupted(message: str) -> typer.Exit:
    """Print what Ctrl-C has left, and return the exit to raise."""
    say(f"Interrupted: {message}", error=True)
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
    kept = " ".join(getattr(stop, "__notes__", [])) if done else ""
    if isinstance(stop, KeyboardInterrupt):
        raise interrupted(kept or "nothing was written")
    if stop is not None:
        raise type(stop)(f"{stop} Of the rows before, {kept}." if kept else str(stop)) from stop
    where = "standard output" if output == _STREAM else output
    say(f"{done:,} rows written to {where}", error=True)


@contextmanager
def comparison_progress(n_features: int) -> Iterator[Callable[[str, str, int, int], None]]:
    """Show a bar for all feature sets and one for each; a line for each without a terminal."""
    tasks: dict[str, TaskID] = {}
    started = time.perf_counter()
    with _progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    ) as progress:
        total_task = progress.add_task("all", total=n_features, unit="feature sets")

        def show(name: str, unit: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(printable(name), unit=unit)
            progress.update(tasks[name], completed=done, total=total, unit=unit)
            if unit == "folds":
                progress.update(total_task, completed=len(tasks) - 1 + done / total)
                if progress.disable and done == total:
                    seconds = time.perf_counter() - started
                    say(f"{name}: done after {seconds:.1f} s", error=True)

        yield show
        progress.update(total_task, completed=n_features)  # those that failed included
