"""The command line: ``bertvectorizer compare``, ``train``, ``predict``, ``embed`` and ``store``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.progress import TimeElapsedColumn

from .. import __version__
from ..errors import BertVectorizerError
from ..private_api import usage_error
from .compare import compare_app
from .options import (
    ChunkRowsOption,
    LayersOption,
    ModelOption,
    NoHeaderOption,
    OfflineOption,
    PoolingOption,
    PrecisionOption,
    RowsColumn,
    SeparatorOption,
    StoreOption,
    bert_parameters,
    progress_on_stderr,
    table_parameters,
)
from .store import store_app
from .train import train_app

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Contextual embeddings as features for scikit-learn.",
)

app.add_typer(compare_app)
app.add_typer(train_app)
app.add_typer(store_app, name="store")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"bertvectorizer {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Contextual embeddings as features for scikit-learn."""


@app.command()
def embed(
    file: Annotated[Path, typer.Argument(help="CSV, TSV, Parquet or JSON lines.")],
    text: Annotated[str, typer.Option(help="Column with the texts.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .parquet, .npy or .csv.")
    ],
    no_header: NoHeaderOption = False,
    sep: SeparatorOption = None,
    model: ModelOption = None,
    layers: LayersOption = "-1",
    pooling: PoolingOption = "auto",
    precision: PrecisionOption = "float32",
    local_files_only: OfflineOption = False,
    store: StoreOption = None,
    chunk_rows: ChunkRowsOption = 4096,
) -> None:
    """Write the embeddings of a column, row for row, for files of any size.

    While it works, the output is called OUTPUT.part; Ctrl-C keeps the rows that are done in it.
    With --store the next run goes on from there: what was encoded is not encoded again.
    """
    from ..features import BertVectorizer
    from ..pipeline import embed_file

    bert = bert_parameters(
        model,
        layers=layers,
        pooling=pooling,
        precision=precision,
        local_files_only=local_files_only,
        store=store,
    )
    vectorizer = BertVectorizer(**bert)
    done = 0
    stop: BaseException | None = None
    with progress_on_stderr(RowsColumn(), TimeElapsedColumn()) as progress:
        task = progress.add_task("rows", total=None)

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            progress.update(task, completed=done)

        try:
            embed_file(
                file, text, output, vectorizer, **table_parameters(no_header, sep), chunk_rows=chunk_rows, progress=advance
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


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; mistakes in the input are one line on stderr and exit code 2.

    Parameters
    ----------
    arguments : sequence of str or None
        None takes those of the process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_place, **_more: print(
            f"Note: {message}", file=sys.stderr
        )
        try:
            code = typer.main.get_command(app).main(
                given or ["--help"], prog_name="bertvectorizer", standalone_mode=False
            )
        except BertVectorizerError as error:
            code = _fail(str(error))
        except usage_error() as error:
            where = error.ctx.command_path if error.ctx else "bertvectorizer"
            message = error.format_message()
            code = _fail(
                f"{message}{'' if message[-1] in '.?!' else '.'} '{where} --help' shows what"
                " there is."
            )
        except typer.Abort:
            print("Interrupted.", file=sys.stderr)
            code = 130
    sys.exit(code or 0)


def _fail(message: str) -> int:
    print(f"Error: {message}", file=sys.stderr)
    return 2
