"""What several commands share: options, what they mean for the library, and progress."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task
from rich.text import Text

__all__ = [
    "ChunkRowsOption",
    "LayersOption",
    "ModelOption",
    "NoHeaderOption",
    "OfflineOption",
    "PoolingOption",
    "PrecisionOption",
    "RowsColumn",
    "SampleOption",
    "SeparatorOption",
    "StoreOption",
    "VectorsOption",
    "bert_parameters",
    "progress_on_stderr",
    "table_parameters",
]


def _read_separator(separator: str | None) -> str | None:
    separator = "\t" if separator == "\\t" else separator
    if separator is not None and len(separator) != 1:
        raise typer.BadParameter(
            f"It must be one character, or '\\t' for a tab. Got {separator!r}."
        )
    return separator


NoHeaderOption = Annotated[
    bool,
    typer.Option(
        "--no-header", help="The first line is no header; the columns are then called 0, 1, ..."
    ),
]
SeparatorOption = Annotated[
    str | None,
    typer.Option(
        "--sep",
        callback=_read_separator,
        help="What separates two fields, such as ';' or '\\t'; by the ending of FILE if left out.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="Name or directory of the model; the default one if left out."),
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
OfflineOption = Annotated[bool, typer.Option("--local-files-only", help="Never open a connection.")]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store", help="File to keep vectors in between runs, so that no text is encoded twice."
    ),
]
VectorsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--vectors",
        help="File of word vectors (GloVe, word2vec, fastText) to try too; may be given again.",
    ),
]
SampleOption = Annotated[
    int | None, typer.Option("--sample", min=1, help="Take so many rows of FILE, drawn at random.")
]
ChunkRowsOption = Annotated[
    int, typer.Option("--chunk-rows", min=1, help="Rows in memory at a time.")
]


def bert_parameters(model: str | None, **others: Any) -> dict[str, Any]:
    """Return parameters of `BertVectorizer`; None is the default model."""
    return others if model is None else {"model_name": model, **others}


def table_parameters(no_header: bool, sep: str | None) -> dict[str, Any]:
    """Return parameters of `read_table`."""
    return {"header": not no_header, "separator": sep}


class RowsColumn(ProgressColumn):
    """Rows done, and how many a second once that is known."""

    def render(self, task: Task) -> Text:
        """Return what is shown."""
        speed = f", {task.speed:,.0f} rows/s" if task.speed else ""
        return Text(f"{task.completed:,.0f} rows{speed}")


def progress_on_stderr(*columns: ProgressColumn) -> Progress:
    """Return progress that is shown only where somebody watches: a log gets no control characters."""
    console = Console(stderr=True)
    return Progress(SpinnerColumn(), *columns, console=console, disable=not console.is_terminal)
