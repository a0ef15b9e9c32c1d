"""Options that several commands share, and the parameters of the library that they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..validation import short_repr

__all__ = [
    "ChunkRowsOption",
    "EncodingOption",
    "FileArgument",
    "GroupDuplicatesOption",
    "LabelSeparatorOption",
    "LayersOption",
    "ModelOption",
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
    "VectorsOption",
    "bert_parameters",
    "table_parameters",
]


def _read_separator(separator: str | None) -> str | None:
    separator = "\t" if separator == "\\t" else separator
    if separator is not None and len(separator) != 1:
        raise typer.BadParameter(
            f"It must be one character, or '\\t' for a tab. Got {short_repr(separator)}."
        )
    return separator


FileArgument = Annotated[
    Path, typer.Argument(help="CSV, TSV, Parquet or JSON lines. - is standard input.")
]
TextOption = Annotated[str, typer.Option(help="Column with the texts.")]
TargetOption = Annotated[str, typer.Option(help="Column with the values to predict.")]
NoHeaderOption = Annotated[
    bool,
    typer.Option("--no-header", help="The first line holds data. Columns are called 0, 1, ..."),
]
SeparatorOption = Annotated[
    str | None,
    typer.Option(
        "--sep",
        callback=_read_separator,
        help="Character between fields, such as ';' or '\\t'. Default: by the suffix of FILE.",
    ),
]
QuotingOption = Annotated[
    str,
    typer.Option(
        "--quoting",
        help="minimal: fields may be in quotation marks. none: these are ordinary characters.",
    ),
]
EncodingOption = Annotated[
    str | None,
    typer.Option("--encoding", help="Encoding of FILE. Default: by its byte order mark, or UTF-8."),
]
SampleOption = Annotated[
    int | None, typer.Option("--sample", min=1, help="Number of rows of FILE to draw at random.")
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of folds and samples.")]
TaskOption = Annotated[str, typer.Option(help="auto, classification or regression.")]
LabelSeparatorOption = Annotated[
    str | None,
    typer.Option(
        "--label-sep",
        help="Separator between the labels of a row, such as ';'. Makes the target multilabel.",
    ),
]
GroupDuplicatesOption = Annotated[
    bool, typer.Option("--group-duplicates", help="Keep equal texts on one side of every fold.")
]
VectorsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--vectors", help="File of word vectors (GloVe, word2vec, fastText) to add. Repeatable."
    ),
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="Name or directory of the model. Default: MiniLM.")
]
LayersOption = Annotated[str, typer.Option(help="Layers to read: -1, 0, '-1,-2,-3,-4' or 'all'.")]
PoolingOption = Annotated[
    str,
    typer.Option(
        help="Pooling: auto, cls, mean, max, mean_sqrt_len_tokens, weightedmean or lasttoken."
    ),
]
PrecisionOption = Annotated[
    str, typer.Option(help="float32 (exact), int8 (CPU, faster), bfloat16 or float16.")
]
OfflineOption = Annotated[bool, typer.Option("--local-files-only", help="Never use the network.")]
StoreOption = Annotated[
    Path | None,
    typer.Option("--store", help="File to cache vectors in, so that no text is encoded twice."),
]
ChunkRowsOption = Annotated[
    int, typer.Option("--chunk-rows", min=1, help="Maximum number of rows in memory.")
]


def bert_parameters(model: str | None, **others: Any) -> dict[str, Any]:
    """Return parameters of `BertVectorizer`; None is the default model."""
    return others if model is None else {"model_name": model, **others}


def table_parameters(
    no_header: bool = False,
    sep: str | None = None,
    quoting: str = "minimal",
    encoding: str | None = None,
) -> dict[str, Any]:
    """Return parameters of `read_table`."""
    return {"header": not no_header, "separator": sep, "quoting": quoting, "encoding": encoding}
