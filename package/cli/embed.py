"""The command ``bertvectorizer embed``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InvalidTableError
from . import options
from .shared import check_output_file, output_target, readable_file, writing_rows

__all__ = ["embed"]


def embed(
    file: options.FileArgument,
    text: options.TextOption,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write: .parquet, .npy or .csv. - writes CSV to standard output.",
        ),
    ],
    no_header: options.NoHeaderOption = False,
    sep: options.SeparatorOption = None,
    quoting: options.QuotingOption = "minimal",
    encoding: options.EncodingOption = None,
    model: options.ModelOption = None,
    layers: options.LayersOption = "-1",
    pooling: options.PoolingOption = "auto",
    precision: options.PrecisionOption = "float32",
    local_files_only: options.OfflineOption = False,
    store: options.StoreOption = None,
    chunk_rows: options.ChunkRowsOption = 4096,
) -> None:
    """Write the embeddings of a column of a file.

    The output is called OUTPUT.part-... until it is complete. After Ctrl-C that file holds the
    finished rows. With --store, the next run does not encode them again.
    """
    if len(text) > 1:
        raise InvalidTableError(
            f"--text must name one column. Got {', '.join(map(repr, text))}. Embed each column on"
            " its own, or make features of pairs in Python:"
            " PairVectorizer().fit_transform(table[[first, second]])."
        )
    from ..features import BertVectorizer
    from ..pipeline import embed_file
    from ..pipeline.files.embed import FORMATS

    bert = options.bert_parameters(
        model,
        layers=layers,
        pooling=pooling,
        precision=precision,
        local_files_only=local_files_only,
        store=store,
    )
    table_options = {
        **options.table_parameters(no_header, sep, quoting, encoding),
        "chunk_rows": chunk_rows,
    }
    with writing_rows(output) as progress, readable_file(file) as path:
        check_output_file(output, FORMATS, [file, store])
        embed_file(
            path,
            text[0],
            output_target(output),
            BertVectorizer(**bert),
            **table_options,
            progress=progress,
        )
