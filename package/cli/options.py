"""Options that several commands share, and the parameters of the library that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InvalidTableError
from ..validation import short_repr

__all__ = [
    "FEATURE_NAMES",
    "ChunkRowsOption",
    "EncodingOption",
    "FeaturesOption",
    "FileArgument",
    "GroupDuplicatesOption",
    "LabelSeparatorOption",
    "LayersOption",
    "ModelOption",
    "ModelsOption",
    "NoHeaderOption",
    "OfflineOption",
    "PoolingOption",
    "PrecisionOption",
    "QuotingOption",
    "SampleOption",
    "SeedOption",
    "SeparatorOption",
    "StoreOption",
    "TargetOption",
    "TaskOption",
    "TextOption",
    "TextsOption",
    "VectorsOption",
    "bert_parameters",
    "table_parameters",
    "text_columns",
    "whole_number",
]


def _read_separator(separator: str | None) -> str | None:
    separator = "\t" if separator == "\\t" else separator
    if separator is not None and len(separator) != 1:
        raise typer.BadParameter(
            f"It must be one character, or '\\t' for a tab. Got {short_repr(separator)}."
        )
    return separator


def _read_label_separator(separator: str | None) -> str | None:
    if separator == "":
        raise typer.BadParameter("It must not be empty.")
    return separator


# Those of `default_features` for pairs; its import would take seconds, which help and completion
# must not.
FEATURE_NAMES = (
    "majority class",
    "word overlap",
    "TF-IDF words",
    "TF-IDF words + characters",
    "Word2Vec",
    "distilled words",
    "BERT cls",
    "BERT",
    "BERT mean -1",
    "BERT mean -2",
    "BERT mean -3",
    "BERT mean -4",
    "BERT sum of last 4",
    "BERT concat of last 4",
)


def whole_number(minimum: int | None = None) -> Callable[[Any], int]:
    """Return a parser of whole numbers, whose errors are plain."""

    def parse(value: Any) -> int:
        try:
            number = int(value)
        except ValueError:
            number = None
        if number is None or (minimum is not None and number < minimum):
            rule = "" if minimum is None else f" of at least {minimum}"
            raise typer.BadParameter(f"It must be a whole number{rule}. Got {short_repr(value)}.")
        return number

    return parse


FileArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="CSV, TSV, Parquet, JSON lines or Excel. - is standard input."
    ),
]
_TEXTS_HELP = "Column with the texts. Twice: the two columns of pairs of texts."
TextOption = Annotated[
    list[str], typer.Option("--text", metavar="COL", help=_TEXTS_HELP, show_default=False)
]
TextsOption = Annotated[
    list[str] | None, typer.Option("--text", metavar="COL", help=_TEXTS_HELP, show_default=False)
]
TargetOption = Annotated[
    str, typer.Option(metavar="COL", help="Column with the values to predict.")
]
NoHeaderOption = Annotated[
    bool,
    typer.Option("--no-header", help="The first line holds data. Columns are called 0, 1, ..."),
]
SeparatorOption = Annotated[
    str | None,
    typer.Option(
        "--sep",
        metavar="CHAR",
        callback=_read_separator,
        help="Character between fields, such as ';' or '\\t'. Default: by the suffix of FILE.",
    ),
]
QuotingOption = Annotated[
    str,
    typer.Option(
        "--quoting",
        metavar="KIND",
        help="minimal: fields may be in quotation marks. none: these are ordinary characters.",
    ),
]
EncodingOption = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="NAME",
        help="Encoding of FILE. Default: by its byte order mark, or UTF-8.",
    ),
]
SampleOption = Annotated[
    int | None,
    typer.Option(
        "--sample",
        metavar="N",
        parser=whole_number(1),
        help="Number of rows of FILE to draw at random.",
    ),
]
SeedOption = Annotated[
    int, typer.Option(metavar="N", parser=whole_number(0), help="Seed of folds and samples.")
]
TaskOption = Annotated[
    str, typer.Option(metavar="KIND", help="auto, classification or regression.")
]
LabelSeparatorOption = Annotated[
    str | None,
    typer.Option(
        "--label-sep",
        metavar="CHARS",
        callback=_read_label_separator,
        help="Separator between the labels of a row, such as ';'. Makes the target multilabel.",
    ),
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        "--group",
        metavar="COL",
        help="Column of groups, such as authors. A group stays on one side of every fold, also of"
        " those within a fit, and counts as one in intervals.",
    ),
]
GroupDuplicatesOption = Annotated[
    bool | None,
    typer.Option(
        "--group-duplicates/--no-group-duplicates",
        help="Keep equal texts, or pairs with a common text, on one side of every fold. Default:"
        " pairs, if that leaves even folds.",
    ),
]
FeaturesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--features",
        metavar="NAME",
        help=f"Feature set to compare: {', '.join(map(repr, FEATURE_NAMES))}, 'BERT fine-tuned'."
        " Word overlap is for pairs. Case, blanks and hyphens do not matter, and tfidf is TF-IDF"
        " words. Repeatable. Default: all but 'BERT fine-tuned', which takes longer.",
    ),
]
VectorsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--vectors",
        metavar="FILE",
        help="File of word vectors (GloVe, word2vec, fastText) to add. Repeatable.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME", help="Name or directory of the model. Default: MiniLM."
    ),
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Name or directory of the model. Default: MiniLM. Repeatable: several are compared,"
        " and their feature sets are called after them in place of BERT.",
    ),
]
LayersOption = Annotated[
    str, typer.Option(metavar="LAYERS", help="Layers to read: -1, 0, '-1,-2,-3,-4' or 'all'.")
]
PoolingOption = Annotated[
    str,
    typer.Option(
        metavar="KIND",
        help="Pooling: auto, cls, mean, max, mean_sqrt_len_tokens, weightedmean or lasttoken.",
    ),
]
PrecisionOption = Annotated[
    str,
    typer.Option(
        metavar="KIND",
        help="float32 (exact, as auto), bfloat16, float16, int8 (CPU), or fast (the fastest within"
        " 0.1 point of accuracy).",
    ),
]
OfflineOption = Annotated[bool, typer.Option("--local-files-only", help="Never use the network.")]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="FILE",
        help="File to cache vectors in, so that no text is encoded twice.",
    ),
]
ChunkRowsOption = Annotated[
    int,
    typer.Option(
        "--chunk-rows",
        metavar="N",
        parser=whole_number(1),
        help="Maximum number of rows in memory.",
    ),
]


def bert_parameters(model: str | None, **others: Any) -> dict[str, Any]:
    """Return parameters of `BertVectorizer`; None is the default model."""
    return others if model is None else {"model_name": model, **others}


def text_columns(names: list[str]) -> str | list[str]:
    """Return the column of texts that --text names, or the list of both columns of pairs.

    >>> text_columns(["review"]), text_columns(["premise", "hypothesis"])
    ('review', ['premise', 'hypothesis'])
    """
    if len(names) == 1:
        return names[0]
    if len(names) != 2 or names[0] == names[1]:
        raise InvalidTableError(
            "--text must name one column of texts, or two different ones of pairs. Got"
            f" {', '.join(map(repr, names))}."
        )
    return list(names)


def table_parameters(
    no_header: bool = False,
    sep: str | None = None,
    quoting: str = "minimal",
    encoding: str | None = None,
) -> dict[str, Any]:
    """Return parameters of `read_table`."""
    return {"header": not no_header, "separator": sep, "quoting": quoting, "encoding": encoding}
