"""The command line of trained pipelines: ``bertvectorizer train`` and ``bertvectorizer predict``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import TimeElapsedColumn

from ..errors import BertVectorizerError, InvalidParameterError, InvalidTableError
from .options import (
    ChunkRowsOption,
    ModelOption,
    NoHeaderOption,
    OfflineOption,
    PrecisionOption,
    RowsColumn,
    SampleOption,
    SeparatorOption,
    StoreOption,
    VectorsOption,
    bert_parameters,
    progress_on_stderr,
    table_parameters,
)
from .shared import make_roster, read_rows, showing_progress, split_labels

if TYPE_CHECKING:
    import pandas as pd

    from ..pipeline.saving.pipeline_file import SavedPipeline

__all__ = ["predict", "train", "train_app"]

train_app = typer.Typer(rich_markup_mode=None)


@train_app.command()
def train(
    file: Annotated[Path, typer.Argument(help="CSV, TSV, Parquet or JSON lines.")],
    text: Annotated[str, typer.Option(help="Column with the texts.")],
    target: Annotated[str, typer.Option(help="Column with what is to be predicted.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write: .skops.")],
    features: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "Kind of features as 'compare' names it; may be given again. With a single one"
                " nothing is compared."
            )
        ),
    ] = None,
    vectors: VectorsOption = None,
    cv: Annotated[
        str | None,
        typer.Option(
            help=(
                "Folds of the comparison: 5, or 2x5 for two repeats of five, which is what it"
                " takes."
            )
        ),
    ] = None,
    task: Annotated[str, typer.Option(help="auto, classification or regression.")] = "auto",
    label_sep: Annotated[
        str | None,
        typer.Option(
            "--label-sep",
            help="What separates the labels of a row, such as ';', where rows may have several.",
        ),
    ] = None,
    group_duplicates: Annotated[
        bool, typer.Option("--group-duplicates", help="Keep equal texts on one side of every fold.")
    ] = False,
    sample: SampleOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of folds and samples.")] = 0,
    no_header: NoHeaderOption = False,
    sep: SeparatorOption = None,
    model: ModelOption = None,
    precision: PrecisionOption = "float32",
    local_files_only: OfflineOption = False,
    store: StoreOption = None,
) -> None:
    """Train on a file, with the features that do best on it, and save that.

    The file that it writes holds no code and no pickle. 'bertvectorizer predict' uses it.
    """
    try:
        from ..pipeline.saving.pipeline_file import check_model_output, save_pipeline

        check_model_output(output)
        if text == target:
            raise InvalidTableError(
                f"--text and --target must be two columns. Got {text!r} for both."
            )
        table = read_rows(file, [text, target], sample, seed, table_parameters(no_header, sep))
        bert = bert_parameters(model, precision=precision, local_files_only=local_files_only)
        roster = make_roster(features, vectors, False, bert)
        values = split_labels(table[target], label_sep)
        if len(roster) == 1:
            pipeline, name, said, labels = _fit_one(table[text], values, roster, cv, task, store)
        else:
            pipeline, name, said, labels = _fit_best(
                table[text], values, roster, cv=cv, task=task, store=store or "auto", random_state=seed, group_duplicates=group_duplicates
            )  # fmt: skip
        metadata = {"features": name, "score": said, "rows": len(table)}
        save_pipeline(pipeline, output, text=text, target=labels or target, metadata=metadata)
    except KeyboardInterrupt:
        print("Interrupted: no model was written.", file=sys.stderr)
        raise typer.Exit(130) from None
    print(f"{name}: {said}")
    print(f"trained on {len(table):,} rows and written to {output}", file=sys.stderr)


def _fit_one(
    texts: pd.Series,
    values: Any,
    roster: dict[str, Any],
    cv: str | None,
    task: str,
    store: Path | None,
) -> tuple[Any, str, str, tuple[str, ...]]:
    from ..pipeline.comparison.fitting import as_texts, fit_pipeline
    from ..pipeline.comparison.target import read_target

    if cv is not None:
        raise InvalidParameterError(
            "--cv is for a comparison. With a single --features nothing is compared; leave --cv"
            " out."
        )
    column = as_texts(texts)
    learnt, notes = read_target(values, len(column), task)
    for note in notes:
        print(f"Note: {note}", file=sys.stderr)
    ((name, transformer),) = roster.items()
    pipeline = fit_pipeline(transformer, None, column, learnt, store or "auto")
    return pipeline, name, "trained without a comparison", _label_names(learnt)


def _fit_best(
    texts: pd.Series, values: Any, roster: dict[str, Any], **settings: Any
) -> tuple[Any, str, str, tuple[str, ...]]:
    from ..pipeline import compare

    with showing_progress(len(roster)) as progress:
        comparison = compare(texts, values, roster, progress=progress, **settings)
    name = comparison.best
    row: Any = comparison.table.set_index("features").loc[name]
    score, low, high = (float(row[column]) for column in (comparison.metric, "low", "high"))
    said = (
        f"{comparison.metric} {score:.3f}, 95 % interval {low:.3f} to {high:.3f}, the best of"
        f" {len(comparison.table)}"
    )
    return comparison.pipeline(name), name, said, _label_names(comparison.target)


def _label_names(target: Any) -> tuple[str, ...]:
    return tuple(map(str, target.classes)) if target.kind == "multilabel" else ()


@train_app.command()
def predict(
    model_file: Annotated[Path, typer.Argument(help="File that 'train' has written.")],
    file: Annotated[Path, typer.Argument(help="CSV, TSV, Parquet or JSON lines.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .csv, .parquet or .jsonl.")
    ],
    text: Annotated[
        str | None,
        typer.Option(help="Column with the texts; the one that was trained on if left out."),
    ] = None,
    no_probabilities: Annotated[
        bool, typer.Option("--no-probabilities", help="Write the predictions alone.")
    ] = False,
    no_header: NoHeaderOption = False,
    sep: SeparatorOption = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Where the transformer lies now, if it has moved; it must be the same one."
        ),
    ] = None,
    local_files_only: OfflineOption = False,
    store: StoreOption = None,
    chunk_rows: ChunkRowsOption = 4096,
) -> None:
    """Predict for a file of any size with what 'train' has written, row for row.

    What is loaded runs no code. While it works, the output is called OUTPUT.part; Ctrl-C keeps the
    rows that are done in it.
    """
    done = 0
    stop: BaseException | None = None
    with progress_on_stderr(RowsColumn(), TimeElapsedColumn()) as progress:
        bar = progress.add_task("rows", total=None)

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            progress.update(bar, completed=done)

        try:
            from ..pipeline.files.predict import predict_file
            from ..pipeline.saving.pipeline_file import load_pipeline

            saved = load_pipeline(model_file)
            _settle(saved, model, local_files_only, store)
            predict_file(
                saved,
                file,
                output,
                text=text,
                **table_parameters(no_header, sep),
                chunk_rows=chunk_rows,
                probabilities=not no_probabilities,
                progress=advance,
            )
        except (KeyboardInterrupt, BertVectorizerError) as error:
            stop = error
    kept = f"{done:,} rows are kept in {output}.part" if done else "nothing was written"
    if isinstance(stop, KeyboardInterrupt):
        print(f"Interrupted: {kept}", file=sys.stderr)
        raise typer.Exit(130)
    if stop is not None:
        raise type(stop)(f"{stop} Of the rows before, {kept}." if done else str(stop)) from stop
    print(f"{done:,} rows written to {output}", file=sys.stderr)


def _settle(
    saved: SavedPipeline, model: str | None, local_files_only: bool, store: Path | None
) -> None:
    """Say where transformers are looked for, and where vectors are kept: nowhere, unless asked."""
    from ..features import BertVectorizer
    from ..pipeline.saving.compact import estimators_within

    for part in estimators_within(saved.pipeline):
        if isinstance(part, BertVectorizer):
            part.set_params(store=store, local_files_only=local_files_only or part.local_files_only)
            if model is not None:
                part.set_params(model_name=model)
