"""The command ``bertvectorizer train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import InvalidParameterError, InvalidTableError
from ..validation import check_choice
from . import options
from .shared import (
    check_all_used,
    check_output_file,
    comparison_progress,
    interrupted,
    make_feature_sets,
    read_rows,
    say,
    split_labels,
)

if TYPE_CHECKING:
    import pandas as pd

    from ..pipeline.comparison.target import Target, Task

__all__ = ["train"]


def train(
    file: options.FileArgument,
    text: options.TextOption,
    target: options.TargetOption,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="File to write: .skops.")
    ],
    features: options.FeaturesOption = None,
    vectors: options.VectorsOption = None,
    cv: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDS",
            help="Of the comparison: 5, or 2x5 for two repeats of five.  [default: 2x5]",
        ),
    ] = None,
    task: options.TaskOption = "auto",
    label_sep: options.LabelSeparatorOption = None,
    group: options.GroupOption = None,
    group_duplicates: options.GroupDuplicatesOption = None,
    sample: options.SampleOption = None,
    seed: options.SeedOption = 0,
    no_header: options.NoHeaderOption = False,
    sep: options.SeparatorOption = None,
    quoting: options.QuotingOption = "minimal",
    encoding: options.EncodingOption = None,
    model: options.ModelsOption = None,
    precision: options.PrecisionOption = "float32",
    local_files_only: options.OfflineOption = False,
    store: options.StoreOption = None,
) -> None:
    """Compare feature sets, train the best one and save it.

    A single --features is trained without a comparison. The output is not a pickle and holds no
    code. Use it with 'bertvectorizer predict'.
    """
    try:
        from ..pipeline.comparison.target import TASKS
        from ..pipeline.saving.pipeline_file import check_model_output, save_pipeline

        check_output_file(output, (".skops",), [file, store, *(vectors or [])])
        check_model_output(output)
        if target in text:
            raise InvalidTableError(
                f"--text and --target must be two columns. Got {target!r} for both."
            )
        if group in (*text, target):
            raise InvalidTableError(
                "--group must be another column than those of --text and --target. Got"
                f" {group!r} again."
            )
        columns = options.text_columns(text)
        table = read_rows(
            file,
            [*text, target, *([] if group is None else [group])],
            sample,
            seed,
            options.table_parameters(no_header, sep, quoting, encoding),
        )
        candidates = make_feature_sets(
            features,
            vectors,
            False,
            model,
            precision=precision,
            local_files_only=local_files_only,
            pairs=len(text) == 2,
        )
        values = split_labels(table[target], label_sep)
        settings: dict[str, Any] = {
            "cv": cv,
            "task": check_choice("task", task, TASKS),
            "store": store or "auto",
            "groups": None if group is None else table[group],
            "group_duplicates": "auto" if group_duplicates is None else group_duplicates,
        }
        if len(candidates) == 1:
            fitted = _fit_one(table[columns], values, candidates, **settings)
            failures: list[str] = []
            corrected: list[str] = []
        else:
            fitted, failures, corrected = _fit_best(
                table[columns], values, candidates, random_state=seed, **settings
            )
        pipeline, name, summary, labels = fitted
        metadata = {"features": name, "score": summary, "rows": len(table)}
        if corrected:
            metadata["corrected_score"] = corrected[0]
        save_pipeline(pipeline, output, text=columns, target=labels or target, metadata=metadata)
    except KeyboardInterrupt:
        raise interrupted("no model was written.") from None
    say(f"{name}: {summary}")
    for line in corrected:
        say(line)
    say(f"trained on {len(table):,} rows and written to {output}", error=True)
    check_all_used(failures)


def _fit_one(
    texts: pd.Series | pd.DataFrame,
    values: Any,
    features: dict[str, Any],
    *,
    cv: str | None,
    task: Task,
    store: Path | str,
    groups: pd.Series | None,
    group_duplicates: Literal["auto"] | bool,
) -> tuple[Any, str, str, tuple[str, ...]]:
    from ..features.inputs.frames import names_of
    from ..pipeline.comparison.candidates import for_kind
    from ..pipeline.comparison.fitting import (
        as_texts,
        fit_pipeline,
        named_pairs,
        note_missing_texts,
    )
    from ..pipeline.comparison.folds import group_rows, read_groups
    from ..pipeline.comparison.target import read_target

    if cv is not None:
        raise InvalidParameterError(
            "--cv is for a comparison. With a single --features nothing is compared; leave --cv"
            " out."
        )
    column = as_texts(texts)
    read, notes = read_target(values, len(column), task)
    for note in [*notes, *note_missing_texts(column)]:
        say(f"Note: {note}", error=True)
    ((name, transformer),) = for_kind(features, read.kind).items()
    X = named_pairs(column, names_of(texts))
    group_of, _ = read_groups(groups, len(column))
    numbers = group_rows(column, group_of, group_duplicates)
    pipeline = fit_pipeline(transformer, None, X, read, store, numbers)
    return pipeline, name, "trained without a comparison", _label_names(read)


def _fit_best(
    texts: pd.Series | pd.DataFrame, values: Any, features: dict[str, Any], **settings: Any
) -> tuple[tuple[Any, str, str, tuple[str, ...]], list[str], list[str]]:
    """Return the best pipeline with what is said of it, the failures, and its corrected score."""
    from ..pipeline import compare
    from ..pipeline.report.formatting import corrected

    with comparison_progress(len(features)) as progress:
        comparison = compare(texts, values, features, progress=progress, **settings)
    name = comparison.best
    row: Any = comparison.table.set_index("features").loc[name]
    score, low, high = (float(row[column]) for column in (comparison.metric, "low", "high"))
    summary = (
        f"{comparison.metric} {score:.3f}, 95 % interval {low:.3f} to {high:.3f}, the best of"
        f" {len(comparison.table)}"
    )
    fitted = comparison.pipeline(name), name, summary, _label_names(comparison.target)
    best = comparison.corrected_best
    lines = [corrected(best), *comparison.doubts] if best.n_candidates > 1 else []
    return fitted, list(comparison.failures), lines


def _label_names(target: Target) -> tuple[str, ...]:
    return () if target.kind != "multilabel" or target.classes is None else tuple(target.classes)
