"""The command ``bertvectorizer embed``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import (
    ChunkRowsOption,
    FileArgument,
    LayersOption,
    ModelOption,
    NoHeaderOption,
    OfflineOption,
    PoolingOption,
    PrecisionOption,
    SeparatorOption,
    StoreOption,
    TextOption,
    bert_parameters,
    table_parameters,
)
from .shared import writing_rows

__all__ = ["embed"]


def embed(
    file: FileArgument,
    text: TextOption,
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

    Until it is finished, the output is called OUTPUT.part; after Ctrl-C it holds the rows done.
    With --store, the next run does not encode them again.
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
    options = {**table_parameters(no_header, sep), "chunk_rows": chunk_rows}
    with writing_rows(output) as progress:
        embed_file(file, text, output, BertVectorizer(**bert), **options, progress=progress)
