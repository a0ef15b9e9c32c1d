"""The command ``bertvectorizer predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InvalidParameterError
from . import options
from .shared import check_output_file, output_target, readable_file, writing_rows

if TYPE_CHECKING:
    from ..pipeline import SavedPipeline

__all__ = ["predict"]


def predict(
    model_file: Annotated[
        Path, typer.Argument(metavar="MODEL_FILE", help="File written by 'train'.")
    ],
    file: options.FileArgument,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write: .csv, .parquet or .jsonl. - writes CSV to standard output.",
        ),
    ],
    text: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COL",
            help="Column with the texts. Twice: the two columns of pairs. Default: as in training.",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COL",
            help="Column of FILE to write. Repeatable. Default: the texts, as 'text'.",
        ),
    ] = None,
    proba: Annotated[
        bool | None,
        typer.Option(
            "--proba/--no-proba",
            "--probabilities/--no-probabilities",
            help="Write probabilities or not. Default: if the model has them.",
        ),
    ] = None,
    no_header: options.NoHeaderOption = False,
    sep: options.SeparatorOption = None,
    quoting: options.QuotingOption = "minimal",
    encoding: options.EncodingOption = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="New name or directory of the transformer, if it was moved."
        ),
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="New place of the file of word vectors, if it was moved."
        ),
    ] = None,
    local_files_only: options.OfflineOption = False,
    store: options.StoreOption = None,
    chunk_rows: options.ChunkRowsOption = 4096,
) -> None:
    """Predict the rows of a file with a pipeline from 'train'.

    Loading the pipeline runs no code. The output is called OUTPUT.part-... until it is complete.
    After Ctrl-C that file holds the finished rows.
    """
    table_options = {
        **options.table_parameters(no_header, sep, quoting, encoding),
        "chunk_rows": chunk_rows,
    }
    with writing_rows(output) as progress, readable_file(file) as path:
        from ..pipeline import load_pipeline, predict_file
        from ..pipeline.files.predict import FORMATS

        check_output_file(output, FORMATS, [file, model_file, store])
        saved = load_pipeline(model_file)
        _configure(saved, model, vectors, local_files_only, store)
        predict_file(
            saved,
            path,
            output_target(output),
            text=options.text_columns(text) if text else None,
            keep=keep or None,
            **table_options,
            probabilities=proba,
            progress=progress,
        )


def _configure(
    saved: SavedPipeline,
    model: str | None,
    vectors: Path | None,
    local_files_only: bool,
    store: Path | None,
) -> None:
    """Set where models and word vectors are searched for, and the store, by default none."""
    from ..pipeline.saving.compact import set_everywhere

    set_everywhere(saved.pipeline, store=store)
    if local_files_only:
        set_everywhere(saved.pipeline, local_files_only=True)
    if model is not None:
        n_set = set_everywhere(saved.pipeline, model_name=model)
        n_set += _set_vectors(saved, model, are_distilled=True)
        _check_set(n_set, f"--model {model!r} replaces a transformer")
    if vectors is not None:
        n_set = _set_vectors(saved, str(vectors), are_distilled=False)
        _check_set(n_set, f"--vectors {str(vectors)!r} replaces a file of word vectors")


def _set_vectors(saved: SavedPipeline, place: str, *, are_distilled: bool) -> int:
    """Set where word vectors are read, those of a file or distilled ones; return of how many."""
    from ..features import StaticVectorizer
    from ..models.word_vectors.loading import DISTILL
    from ..pipeline.saving.compact import estimators_within

    parts = [
        part
        for part in estimators_within(saved.pipeline)
        if isinstance(part, StaticVectorizer)
        and isinstance(part.vectors, str)
        and part.vectors.startswith(DISTILL) == are_distilled
    ]
    for part in parts:
        part.vectors = f"{DISTILL}{place}" if are_distilled else place
    return len(parts)


def _check_set(n_set: int, option: str) -> None:
    if not n_set:
        raise InvalidParameterError(f"{option}, but the pipeline has none. Leave it out.")
