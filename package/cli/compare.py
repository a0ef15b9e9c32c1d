"""The command ``bertvectorizer compare``."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from math import isnan
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import InvalidTableError
from ..validation import check_choice, printable
from . import options
from .shared import (
    check_all_used,
    comparison_progress,
    interrupted,
    make_feature_sets,
    read_rows,
    say,
    split_labels,
)

if TYPE_CHECKING:
    import pandas as pd

    from ..pipeline import Comparison

    _Parts = tuple[pd.Series | pd.DataFrame, Any, pd.Series | None]

__all__ = ["compare"]


@dataclass(frozen=True)
class _Rows:
    """The options that say which rows and columns to read."""

    file: Path | None
    text: list[str]
    target: str | None
    group: str | None
    test: Path | None
    sample: int | None
    seed: int
    label_sep: str | None
    table_options: dict[str, Any]

    def check(self) -> None:
        """Raise if options are missing or do not go together."""
        if self.file is None:
            given = (self.text, self.target, self.group, self.test, self.sample, self.label_sep)
            if any(given) or self.table_options != options.table_parameters():
                raise InvalidTableError(
                    "--text, --target, --group, --test, --sample, --label-sep, --no-header, --sep,"
                    " --quoting and --encoding describe a FILE; give the file too."
                )
        elif not self.text or self.target is None:
            raise InvalidTableError("With a FILE both --text COL and --target COL are needed.")
        elif len({*self.text, self.target, self.group}) < len(self.text) + 2:
            raise InvalidTableError(
                "--text, --target and --group must be different columns. Got"
                f" {', '.join(map(repr, self.text))}, {self.target!r} and {self.group!r}."
            )

    def read(self) -> _Parts:
        """Return the texts or pairs, targets and groups of FILE or of the example."""
        if self.file is None:
            from ..pipeline import load_example

            example = load_example()
            return example["text"], example["label"], None
        return self._read(self.file, self.sample)

    def read_test(self) -> _Parts | None:
        """Return the texts, targets and groups of the held-back rows, if there are any."""
        return None if self.test is None else self._read(self.test, None)

    def _read(self, file: Path, sample: int | None) -> _Parts:
        columns = [column for column in (*self.text, self.target, self.group) if column is not None]
        table = read_rows(file, columns, sample, self.seed, self.table_options)
        groups = None if self.group is None else table[self.group]
        texts = table[options.text_columns(self.text)]
        return texts, split_labels(table[self.target], self.label_sep), groups


def compare(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="CSV, TSV, Parquet, JSON lines or Excel. - is standard input. Default: the"
            " built-in example.",
        ),
    ] = None,
    text: options.TextsOption = None,
    target: Annotated[
        str | None, typer.Option(metavar="COL", help="Column with the values to predict.")
    ] = None,
    features: options.FeaturesOption = None,
    vectors: options.VectorsOption = None,
    all_layers: Annotated[
        bool,
        typer.Option(
            "--all-layers", help="Also compare every layer with cls, mean and max pooling."
        ),
    ] = False,
    primary: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Feature set whose test against the best baseline decides the headline. Default:"
            " BERT.",
        ),
    ] = None,
    cv: Annotated[
        str, typer.Option(metavar="FOLDS", help="5, or 2x5 for two repeats of five.")
    ] = "2x5",
    test: Annotated[
        Path | None,
        typer.Option(
            "--test",
            metavar="FILE",
            help="File of held-back rows with the same columns, that of --group included. Scored"
            " once.",
        ),
    ] = None,
    group: options.GroupOption = None,
    group_duplicates: options.GroupDuplicatesOption = None,
    task: options.TaskOption = "auto",
    label_sep: options.LabelSeparatorOption = None,
    scoring: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Name of a scikit-learn metric. Repeatable. The first one ranks."
        ),
    ] = None,
    learning_curve: Annotated[
        bool, typer.Option("--learning-curve", help="Also train on growing shares of the rows.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write the report to: .html.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write all numbers to: .json.")
    ] = None,
    word: Annotated[
        str | None,
        typer.Option(metavar="WORD", help="Word of the texts whose occurrences the report plots."),
    ] = None,
    title: Annotated[
        str | None,
        typer.Option(metavar="TITLE", help="Title of the report. Default: with the name of FILE."),
    ] = None,
    sample: options.SampleOption = None,
    n_jobs: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=options.whole_number(),
            help="Number of folds computed in parallel. -1 means one for each core.",
        ),
    ] = 1,
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
    """Compare the scores and costs of BERT features and baselines.

    Without FILE, a small built-in example is used: does a word such as bat name a living being or a
    thing? Ctrl-C prints the results of the finished feature sets. The exit code is 1 if a feature
    set fails and is left out.
    """
    from ..pipeline import ComparisonInterrupted

    stopped = False
    try:
        inputs = [file, test, store, *(vectors or [])]
        _check_outputs(report=report, json=json, inputs=[path for path in inputs if path])
        rows = _Rows(
            file=file,
            text=text or [],
            target=target,
            group=group,
            test=test,
            sample=sample,
            seed=seed,
            label_sep=label_sep,
            table_options=options.table_parameters(no_header, sep, quoting, encoding),
        )
        rows.check()
        texts, targets, groups = rows.read()
        _check_word(word, report, texts)
        _check_title(title, report)
        from ..pipeline import compare as run
        from ..pipeline.comparison.target import TASKS

        candidates = make_feature_sets(
            features,
            vectors,
            all_layers,
            model,
            precision=precision,
            local_files_only=local_files_only,
            pairs=len(rows.text) == 2,
        )
        held_back = rows.read_test()
        with comparison_progress(len(candidates)) as progress:
            comparison = run(
                texts,
                targets,
                candidates,
                cv=cv,
                scoring=scoring or None,
                n_jobs=n_jobs,
                random_state=seed,
                store=store or "auto",
                primary=primary,
                groups=groups,
                group_duplicates="auto" if group_duplicates is None else group_duplicates,
                test=held_back,
                task=check_choice("task", task, TASKS),
                learning_curve=learning_curve,
                progress=progress,
            )
    except ComparisonInterrupted as interrupt:
        if interrupt.comparison is None:
            raise interrupted("no feature set is finished.") from None
        comparison, stopped = interrupt.comparison, True
    except KeyboardInterrupt:
        raise interrupted("the comparison is not finished.") from None
    comparison.settings.update(_origin(context, file))
    with ExitStack() as outputs:  # whatever happens to one, the others are written
        if json is not None:
            outputs.callback(_write, "Numbers", comparison.to_json, json)
        if report is not None:
            outputs.callback(
                _write, "Report", partial(comparison.to_html, title=title), report, word
            )
        _print(comparison)
    if stopped:
        for note in comparison.notes:  # of which no warning was given yet
            say(f"Note: {note}", error=True)
        raise interrupted("the table has what is finished.")
    check_all_used(comparison.failures)


def _write(what: str, write: Callable[..., Any], path: Path, *more: Any) -> None:
    write(path, *more)
    say(f"{what} written to {path}", error=True)


def _check_outputs(*, report: Path | None, json: Path | None, inputs: list[Path]) -> None:
    """Check the outputs before the work begins."""
    from ..pipeline.files.write import check_output

    if json is not None:
        check_output(json, (".json",), *inputs)
    if report is not None:
        check_output(report, (".html", ".htm"), *inputs)


def _check_word(word: str | None, report: Path | None, texts: pd.Series | pd.DataFrame) -> None:
    if word is None:
        return
    if report is None:
        raise InvalidTableError("--word is for the report; give --report too.")
    from ..features.inputs.find_word import find_word
    from ..pipeline.comparison.fitting import text_array

    if not find_word(text_array(texts, texts.ndim == 2).ravel().tolist(), word):
        raise InvalidTableError(f"The word {word!r} of --word is in no text.")


def _check_title(title: str | None, report: Path | None) -> None:
    if title is None:
        return
    if report is None:
        raise InvalidTableError("--title is for the report; give --report too.")
    if not title.strip():
        raise InvalidTableError("The title of --title is empty.")


def _origin(context: typer.Context, file: Path | None) -> dict[str, str]:
    """Return what the comparison was made of, as settings: the file and the command."""
    name = "built-in example" if file is None else str(file)
    origin = {"file": "standard input" if name == "-" else name}
    if context.obj is not None:  # the words of the command line, from `main`
        origin["command"] = shlex.join(["bertvectorizer", *context.obj])
    return origin


def _seconds(row: Mapping[Any, Any]) -> str:
    """Return the seconds for 1,000 texts: to encode them, or to predict them in one step."""
    seconds = row["encode_seconds"]
    if isnan(seconds) and row["is_contextual"]:
        seconds = row["predict_seconds"]
    return "" if isnan(seconds) else f"{seconds:.2f}"


def _print(comparison: Comparison) -> None:
    from ..pipeline.comparison.results_table import EXPLORATORY
    from ..pipeline.report.formatting import corrected, format_p, verdict

    settings = comparison.settings
    noun = "pairs of texts" if comparison.texts.ndim == 2 else "texts"
    groups = f" in {settings['groups']} groups" if "groups" in settings else ""
    say(f"{settings['target']}; {settings['rows']} {noun}{groups}; {settings['folds']}")
    found = comparison.table
    # The default feature sets fit into 80 columns.
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("features", overflow="fold")
    test = ["test"] if comparison.n_test else []
    for name in ("score", "95 % interval", *test, "p", "dims", "s/1,000"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found.to_dict("records"):
        table.add_row(
            Text(printable(str(row["features"]))),
            f"{row[comparison.metric]:.3f}",
            f"{row['low']:.3f} {row['high']:.3f}",
            *(f"{row[name]:.3f}" for name in test),
            "" if isnan(row["p_value"]) else format_p(row["p_value"]),
            f"{row['dimensions']:,}",
            _seconds(row),
        )
    Console().print(table)
    better = "more" if comparison.greater_is_better else "less"
    say(f"Score: {comparison.metric}, {better} is better. s/1,000: rough seconds for 1,000 {noun}.")
    say(f"Best baseline: {comparison.baseline}. p: of the difference to it.")
    best = comparison.corrected_best
    if best.n_candidates > 1:
        say(fill(f"Best: {best.features}; {corrected(best)}."))
    for what, column in (("Intervals", "interval_method"), ("p", "difference_method")):
        if names := "; ".join(filter(None, found[column].unique())):
            say(fill(f"{what}: {names}."))
    say("References of these methods: in --report and --json.")
    for doubt in comparison.doubts:
        say(fill(doubt))
    say(f"{verdict(comparison).answer}.")
    if comparison.primary is not None:
        say(f"Primary test: {comparison.primary}. Its p is not corrected.")
    exploratory = found[found["family"] == EXPLORATORY]
    if len(exploratory):
        say("Exploratory, p corrected by Holm:")
    for conclusion, members in exploratory.groupby("verdict", sort=False)["features"]:
        say(f"- {conclusion}: {', '.join(members)}.")
