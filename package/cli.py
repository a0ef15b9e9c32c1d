"""The command line: ``bertvectorizer compare`` and ``bertvectorizer embed``."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from .models.errors import BertVectorizerError, InvalidTableError

if TYPE_CHECKING:
    import pandas as pd

    from .pipeline import Comparison

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Contextual embeddings as features for scikit-learn.",
)

ModelOption = Annotated[str | None, typer.Option("--model", help="Name or directory of the model; the default one if left out.")]
LayersOption = Annotated[str, typer.Option(help="Layers to read: -1, 0, '-1,-2,-3,-4' or 'all'.")]
PoolingOption = Annotated[str, typer.Option(help="Pooling: auto, cls, mean, max, mean_sqrt_len_tokens, weightedmean or lasttoken.")]
PrecisionOption = Annotated[str, typer.Option(help="float32 (exact), int8 (CPU, faster), bfloat16 or float16.")]
OfflineOption = Annotated[bool, typer.Option("--local-files-only", help="Never open a connection.")]


def _bert_parameters(model: str | None, layers: str, pooling: str, precision: str, local_files_only: bool) -> dict[str, Any]:
    parameters: dict[str, Any] = {"layers": layers, "pooling": pooling, "precision": precision, "local_files_only": local_files_only}
    return parameters if model is None else {"model_name": model, **parameters}


@app.command()
def compare(
    file: Annotated[Path | None, typer.Argument(help="CSV, TSV, Parquet or JSON lines; the built-in example if left out.")] = None,
    text: Annotated[str | None, typer.Option(help="Column with the texts.")] = None,
    target: Annotated[str | None, typer.Option(help="Column with the labels.")] = None,
    cv: Annotated[int, typer.Option(min=2, help="Number of folds.")] = 5,
    model: ModelOption = None,
    layers: LayersOption = "-1",
    pooling: PoolingOption = "auto",
    precision: PrecisionOption = "float32",
    local_files_only: OfflineOption = False,
) -> None:
    """Cross-validate BERT features against TF-IDF and the majority class.

    Without FILE it runs on a small example that comes with the package: is the bat an animal, or for hitting balls?
    """
    table, text_column, target_column = _labelled_table(file, text, target)
    from .pipeline import compare as run
    from .pipeline import default_features

    roster = default_features(**_bert_parameters(model, layers, pooling, precision, local_files_only))
    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} folds"), TimeElapsedColumn(),
        console=console, transient=not console.is_terminal,
    ) as progress:  # fmt: skip
        tasks: dict[str, Any] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done)

        comparison = run(table[text_column], table[target_column], roster, cv=cv, progress=show)
    _print_comparison(comparison, len(table), cv)


def _labelled_table(file: Path | None, text: str | None, target: str | None) -> tuple[pd.DataFrame, str, str]:
    if file is None:
        if text or target:
            raise InvalidTableError("--text and --target name columns of FILE; give the file too.")
        from .pipeline import load_example

        return load_example(), "text", "label"
    if text is None or target is None:
        raise InvalidTableError("Both --text COL and --target COL are needed with a FILE.")
    from .pipeline import read_table

    return read_table(file, [text, target]), text, target


def _print_comparison(comparison: Comparison, n_rows: int, cv: int) -> None:
    table = Table(title=f"Accuracy over {cv} folds of {n_rows} texts")
    table.add_column("features")
    for name in ("dimensions", "accuracy", "spread", "seconds"):
        table.add_column(name, justify="right")
    for row in comparison.table.itertuples():
        table.add_row(row.features, f"{row.dimensions:,}", f"{row.accuracy:.3f}", f"{row.spread:.3f}", f"{row.seconds:.1f}")
    Console().print(table)


@app.command()
def embed(
    file: Annotated[Path, typer.Argument(help="CSV, TSV, Parquet or JSON lines.")],
    text: Annotated[str, typer.Option(help="Column with the texts.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write: .parquet, .npy or .csv.")],
    model: ModelOption = None,
    layers: LayersOption = "-1",
    pooling: PoolingOption = "auto",
    precision: PrecisionOption = "float32",
    local_files_only: OfflineOption = False,
    chunk_rows: Annotated[int, typer.Option(min=1, help="Rows in memory at a time.")] = 4096,
) -> None:
    """Write the embeddings of a column, row for row, for files of any size."""
    from .features import BertVectorizer
    from .pipeline import embed_file

    vectorizer = BertVectorizer(**_bert_parameters(model, layers, pooling, precision, local_files_only))
    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(), TextColumn("{task.completed:,} rows, {task.speed} rows/s"), TimeElapsedColumn(), console=console
    ) as progress:
        task = progress.add_task("rows", total=None)
        done = 0

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            progress.update(task, completed=done)

        try:
            rows = embed_file(file, text, output, vectorizer, chunk_rows=chunk_rows, progress=advance)
        except KeyboardInterrupt:
            console.print(f"Interrupted: {done:,} rows are kept in {output}.part")
            raise typer.Exit(130) from None
    console.print(f"{rows:,} rows written to {output}")


def main() -> None:
    """Run the command line: mistakes in the input are one line on stderr and exit code 2."""
    warnings.formatwarning = lambda message, *_place: f"Note: {message}\n"  # type: ignore[assignment]
    try:
        app()
    except BertVectorizerError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
