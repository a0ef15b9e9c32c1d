"""Static word vectors: how fast a table is read and opened again, and how fast texts are pooled.

Run ``python -m benchmarks.static``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from .common import machine, parser, write
from .fork_server import ForkServer
from .static_pooling import pooling
from .static_reading import generate, reading, sharing
from .table import static_table
from .texts import imdb, sst2


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the benchmark."""
    known = parser(__doc__)
    known.add_argument("--words", type=int, default=400_000, help="words of the generated table")
    known.add_argument("--dims", type=int, default=300, help="its dimensions")
    known.add_argument("--rounds", type=int, default=3)
    known.add_argument("--reviews", type=int, default=3000, help="number of IMDB reviews")
    options = known.parse_args(None if arguments is None else list(arguments))
    sentences = list(
        dict.fromkeys(text for split in ("train", "test") for text in sst2(options.data, split)[0])
    )
    reviews = [text for text, _ in imdb(options.data)][: options.reviews]
    frequent = Counter(
        word for text in (*sentences, *reviews) for word in text.lower().split() if word.isalnum()
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_ASSETS_CACHE"] = str(Path(folder) / "assets")
        path = Path(folder) / "glove.txt"
        print("generating the table", file=sys.stderr)
        generate(path, [word for word, _ in frequent.most_common()], options.words, options.dims)
        with ForkServer() as server:
            result = {
                "machine": machine(),
                "settings": {"rounds": options.rounds},
                "reading": reading(server, path, Path(folder) / "assets", options.rounds),
                "sharing": (
                    server.call(sharing, path=str(path), n_processes=2)
                    if Path("/proc/self/smaps").exists()
                    else []
                ),
                "pooling": [
                    pooling(server, name, texts, str(path), folder, options.rounds)
                    for name, texts in (("SST-2 sentences", sentences), ("IMDB reviews", reviews))
                ],
            }
    print("\n" + static_table(result))
    write(options.name or "static", result)


if __name__ == "__main__":
    main()
