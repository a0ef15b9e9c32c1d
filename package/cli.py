"""The command line: ``bertvectorizer compare``, ``embed`` and ``store``."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from . import __version__
from .models.errors import BertVectorizerError, InvalidTableError
from .store_cli import store_app

if TYPE_CHECKING:
    import pandas as pd

    from .pipeline import Comparison

__all__ = ["app", "main"]

_UsageError: Any = typer.BadParameter.__mro__[1]  # click's, or in newer versions typer's own

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Contextual embeddings as features for scikit-learn.",
)

app.add_typer(store_app, name="store")

NoHeaderOption = Annotated[bool, typer.Option("--no-header", help="The first line is no header; the columns are then called 0, 1, ...")]


def _read_separator(separator: str | None) -> str | None:
    separator = "\t" if separator == "\\t" else separator
    if separator is not None and len(separator) != 1:
        raise typer.BadParameter(f"It must be one character, or '\\t' for a tab. Got {separator!r}.")
    return separator


SeparatorOption = Annotated[
    str | None,
    typer.Option(
        "--sep", callback=_read_separator, help="What separates two fields, such as ';' or '\\t'; by the ending of FILE if left out."
    ),
]
ModelOption = Annotated[str | None, typer.Option("--model", help="Name or directory of the model; the default one if left out.")]
LayersOption = Annotated[str, typer.Option(help="Layers to read: -1, 0, '-1,-2,-3,-4' or 'all'.")]
PoolingOption = Annotated[str, typer.Option(help="Pooling: auto, cls, mean, max, mean_sqrt_len_tokens, weightedmean or lasttoken.")]
PrecisionOption = Annotated[str, typer.Option(help="float32 (exact), int8 (CPU, faster), bfloat16 or float16.")]
OfflineOption = Annotated[bool, typer.Option("--local-files-only", help="Never open a connection.")]
StoreOption = Annotated[
    Path | None, typer.Option("--store", help="File to keep vectors in between runs, so that no text is encoded twice.")
]


def _bert_parameters(model: str | None, **others: Any) -> dict[str, Any]:
    return others if model is None else {"model_name": model, **others}


def _table_parameters(no_header: bool, sep: str | None) -> dict[str, Any]:
    return {"header": not no_header, "separator": sep}


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"bertvectorizer {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Contextual embeddings as features for scikit-learn."""


@app.command()
def compare(
    file: Annotated[Path | None, typer.Argument(help="CSV, TSV, Parquet or JSON lines; the built-in example if left out.")] = None,
    text: Annotated[str | None, typer.Option(help="Column with the texts.")] = None,
    target: Annotated[str | None, typer.Option(help="Column with the labels.")] = None,
    no_header: NoHeaderOption = False,
    sep: SeparatorOption = None,
    cv: Annotated[int, typer.Option(min=2, help="Number of folds.")] = 5,
    model: ModelOption = None,
    layers: LayersOption = "-1",
    pooling: PoolingOption = "auto",
    precision: PrecisionOption = "float32",
    local_files_only: OfflineOption = False,
    store: StoreOption = None,
) -> None:
    """Cross-validate BERT features against TF-IDF and the majority class.

    Without FILE it runs on a small example that comes with the package: is the bat an animal, or for hitting balls?
    """
    try:
        table, text_column, target_column = _labelled_table(file, text, target, _table_parameters(no_header, sep))
        from .pipeline import compare as run
        from .pipeline import default_features

        bert = _bert_parameters(
            model, layers=layers, pooling=pooling, precision=precision, local_files_only=local_files_only, store=store or "auto"
        )
        roster = default_features(**bert)
        roster["BERT"].fit([])  # a fault in its parameters is told before the others do their work
        count = TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}")
        with _progress(TextColumn("{task.description}"), BarColumn(), count, TimeElapsedColumn()) as progress:
            comparison = run(table[text_column], table[target_column], roster, cv=cv, progress=_reporter(progress))
    except KeyboardInterrupt:
        print("Interrupted: the comparison is not finished.", file=sys.stderr)
        raise typer.Exit(130) from None
    _print_comparison(comparison, len(table), cv)


def _reporter(progress: Progress) -> Callable[[str, str, int, int], None]:
    """Show a bar for each kind of features on a terminal, and a line for each that is done elsewhere."""
    tasks: dict[str, TaskID] = {}
    started = time.perf_counter()

    def show(name: str, unit: str, done: int, total: int) -> None:
        if name not in tasks:
            tasks[name] = progress.add_task(name, unit=unit)
        progress.update(tasks[name], completed=done, total=total, unit=unit)
        if progress.disable and unit == "folds" and done == total:
            print(f"{name}: done after {time.perf_counter() - started:.1f} s", file=sys.stderr)

    return show


def _labelled_table(file: Path | None, text: str | None, target: str | None, options: dict[str, Any]) -> tuple[pd.DataFrame, str, str]:
    if file is None:
        if text or target or options != _table_parameters(False, None):
            raise InvalidTableError("--text, --target, --no-header and --sep describe a FILE; give the file too.")
        from .pipeline import load_example

        return load_example(), "text", "label"
    if text is None or target is None:
        raise InvalidTableError("With a FILE both --text COL and --target COL are needed.")
    if text == target:
        raise InvalidTableError(f"--text and --target must be two columns. Got {text!r} for both.")
    from .pipeline import read_table

    return read_table(file, [text, target], **options), text, target


def _print_comparison(comparison: Comparison, n_rows: int, cv: int) -> None:
    table = Table(title=f"Accuracy over {cv} folds of {n_rows:,} texts")
    table.add_column("features")
    for name in ("dimensions", "accuracy", "spread", "seconds"):
        table.add_column(name, justify="right")
    for name, dimensions, accuracy, spread, seconds in comparison.table.itertuples(index=False):
        table.add_row(str(name), f"{dimensions:,}", f"{accuracy:.3f}", f"{spread:.3f}", f"{seconds:.1f}")
    Console().print(table)


@app.command()
def embed(
    file: Annotated[Path, typer.Argument(help="CSV, TSV, Parquet or JSON lines.")],
    text: Annotated[str, typer.Option(help="Column with the texts.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write: .parquet, .npy or .csv.")],
    no_header: NoHeaderOption = False,
    sep: SeparatorOption = None,
    model: ModelOption = None,
    layers: LayersOption = "-1",
    pooling: PoolingOption = "auto",
    precision: PrecisionOption = "float32",
    local_files_only: OfflineOption = False,
    store: StoreOption = None,
    chunk_rows: Annotated[int, typer.Option(min=1, help="Rows in memory at a time.")] = 4096,
) -> None:
    """Write the embeddings of a column, row for row, for files of any size.

    While it works, the output is called OUTPUT.part; Ctrl-C keeps the rows that are done in it. With --store the next run
    goes on from there: what was encoded is not encoded again.
    """
    from .features import BertVectorizer
    from .pipeline import embed_file

    bert = _bert_parameters(model, layers=layers, pooling=pooling, precision=precision, local_files_only=local_files_only, store=store)
    vectorizer = BertVectorizer(**bert)
    done = 0
    stop: BaseException | None = None
    with _progress(_RowsColumn(), TimeElapsedColumn()) as progress:
        task = progress.add_task("rows", total=None)

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            progress.update(task, completed=done)

        try:
            embed_file(
                file, text, output, vectorizer, **_table_parameters(no_header, sep), chunk_rows=chunk_rows, progress=advance
            )  # fmt: skip
        except (KeyboardInterrupt, BertVectorizerError) as error:
            stop = error
    kept = f"{done:,} rows are kept in {output}.part" if done else "nothing was written"
    if isinstance(stop, KeyboardInterrupt):
        print(f"Interrupted: {kept}", file=sys.stderr)
        raise typer.Exit(130)
    if stop is not None:
        raise type(stop)(f"{stop} Of the rows before, {kept}." if done else str(stop)) from stop
    print(f"{done:,} rows written to {output}", file=sys.stderr)


class _RowsColumn(ProgressColumn):
    """Rows done, and how many a second once that is known."""

    def render(self, task: Task) -> Text:
        speed = f", {task.speed:,.0f} rows/s" if task.speed else ""
        return Text(f"{task.completed:,.0f} rows{speed}")


def _progress(*columns: ProgressColumn) -> Progress:
    """Progress on stderr, and only where somebody watches: a log gets no control characters."""
    console = Console(stderr=True)
    return Progress(SpinnerColumn(), *columns, console=console, disable=not console.is_terminal)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; mistakes in the input are one line on stderr and exit code 2.

    Parameters
    ----------
    arguments : sequence of str or None
        None takes those of the process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_place, **_more: print(f"Note: {message}", file=sys.stderr)
        try:
            code = typer.main.get_command(app).main(given or ["--help"], prog_name="bertvectorizer", standalone_mode=False)
        except BertVectorizerError as error:
            code = _fail(str(error))
        except _UsageError as error:
            where = error.ctx.command_path if error.ctx else "bertvectorizer"
            message = error.format_message()
            code = _fail(f"{message}{'' if message[-1] in '.?!' else '.'} '{where} --help' shows what there is.")
        except typer.Abort:
            print("Interrupted.", file=sys.stderr)
            code = 130
    sys.exit(code or 0)


def _fail(message: str) -> int:
    print(f"Error: {message}", file=sys.stderr)
    return 2
