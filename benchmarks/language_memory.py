"""Memory of `LanguageModel.fit` over a growing corpus: it should not grow with the texts.

Run ``python -m benchmarks.language_memory``, in about six minutes. A network of one
layer trains for one epoch, so that the corpus and not the network decides.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from .common import machine, parser, write
from .table import language_memory_table

_NETWORK = {
    "num_hidden_layers": 1,
    "hidden_size": 64,
    "num_attention_heads": 1,
    "intermediate_size": 256,
}
_SETTINGS = {
    "objective": "masked",
    "epochs": 1,
    "batch_size": 128,
    "max_length": 128,
    "mask_probability": 0.05,  # the logits are what takes the time
}
_EVERY = 0.2  # seconds


def lines(path: Path, megabytes: float) -> Iterator[str]:
    """Yield the first lines of a corpus, so many million characters of them."""
    from bertvectorizer.pipeline.language.read_corpus import read_corpus

    left = megabytes * 1e6
    for line in read_corpus(path):
        left -= len(line)
        if left < 0:
            break
        yield line


def memory() -> tuple[float, float]:
    """Return the resident MiB of this process: its own, and those of files it has mapped."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    found = dict(line.split(":", 1) for line in status)
    own, mapped = (int(found[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))
    return own, mapped


def fit(corpus: str, megabytes: float) -> dict[str, Any]:
    """Train on part of a corpus, and return the curve of memory."""
    import transformers

    from bertvectorizer import LanguageModel
    from bertvectorizer.models import DEFAULT_MODEL, locate, open_checkpoint
    from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer

    transformers.utils.logging.disable_progress_bar()
    points: list[tuple[float, float, float]] = []
    is_over = threading.Event()
    with tempfile.TemporaryDirectory() as directory:
        tokenizer = load_tokenizer(open_checkpoint(locate(DEFAULT_MODEL, local_files_only=True)))
        config = transformers.BertConfig(vocab_size=len(tokenizer), **_NETWORK)
        transformers.BertForMaskedLM(config).save_pretrained(directory)
        tokenizer.save_pretrained(directory)
        model = LanguageModel(directory, device="cpu", random_state=0, verbose=True, **_SETTINGS)
        model.fit(lines(Path(corpus), min(megabytes, 0.1)))  # imports, and what is compiled
        start = time.perf_counter()

        def watch() -> None:
            while not is_over.wait(_EVERY):
                points.append((time.perf_counter() - start, *memory()))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            model.fit(lines(Path(corpus), megabytes))
        finally:
            is_over.set()
            watcher.join()
    shown = points[:: max(1, len(points) // 40)]
    return {
        "megabytes": megabytes,
        "seconds": time.perf_counter() - start,
        "start_mib": points[0][1],
        "peak_mib": max(own for _, own, _ in points),
        "mapped_mib": max(mapped for *_, mapped in points),
        "loss": model.loss_curve_[-1],
        "curve": [
            {"seconds": seconds, "own_mib": own, "mapped_mib": mapped}
            for seconds, own, mapped in shown
        ],
    }


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the benchmark."""
    known = parser(__doc__)
    known.add_argument("--megabytes", type=float, nargs="+", default=[1, 10, 30])
    options = known.parse_args(None if arguments is None else list(arguments))
    corpus = options.data / "corpora" / "enwiki_2014_30mb.txt.xz"
    rows = []
    for megabytes in options.megabytes:
        print(f"{megabytes:g} MB", file=sys.stderr, flush=True)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            rows.append(process.submit(fit, str(corpus), megabytes).result())
    result = {"machine": machine(), "settings": _SETTINGS | _NETWORK, "rows": rows}
    print("\n" + language_memory_table(result))
    write(options.name or "language_memory", result)


if __name__ == "__main__":
    main()
