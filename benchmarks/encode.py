"""Speed, memory and exactness of encoding, side by side.

Every contender runs in its own process; they take turns.

Run ``python -m benchmarks.encode``; README.md says what each number means.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bertvectorizer.models.checkpoint.source import DEFAULT_MODEL, locate
from bertvectorizer.private_api import multiplies_bfloat16

from .common import ROOT, installed, machine, parser, processor_kind, write
from .engines import Contender, ModelSetup, contender
from .network import Network, token_counts
from .table import encode_table
from .texts import TextSamples
from .worker import WorkerProcess

BASELINE = "sentence-transformers"

EXACT = [contender(BASELINE), contender("skrub", requires=("skrub",)), contender("bertvectorizer")]
EXPORTED = [
    contender(engine, precision, requires=(engine, "onnx"))
    for engine, precisions in {
        "onnxruntime": ("float32", "int8"),
        "openvino": ("float32", "bfloat16"),
    }.items()
    for precision in precisions
]
ON_CPU = [
    one
    for one in (
        *EXACT[:2],
        *EXPORTED,
        contender(BASELINE, "bfloat16"),
        EXACT[2],
        contender("bertvectorizer", "bfloat16"),
        contender("bertvectorizer", "int8"),
    )
    if one.precision != "bfloat16" or multiplies_bfloat16()
]
ON_CUDA = [
    contender(engine, precision)
    for engine in (BASELINE, "bertvectorizer")
    for precision in ("float16", "bfloat16")
]


@dataclass(frozen=True)
class Case:
    """Texts, and who encodes them.

    Attributes
    ----------
    name, remark : str
    texts : list of str
    contenders : list of Contender
    is_plain : bool
        False where a contender may do less work than a plain run of the whole network over every
        text.
    """

    name: str
    remark: str
    texts: list[str]
    contenders: list[Contender]
    is_plain: bool = True


def cases(samples: TextSamples, sizes: dict[str, int], device: str) -> Iterator[Case]:
    """Yield the cases of a device."""
    contenders = ON_CPU if device == "cpu" else ON_CUDA
    yield Case(
        "short", "whole sentences of 18 to 22 words", samples.short(sizes["short"]), contenders
    )
    yield Case("mixed", "3 to 250 words, log-uniform", samples.mixed(sizes["mixed"]), contenders)
    yield Case("long", "the first 250 words of reviews", samples.long(sizes["long"]), contenders)
    if device != "cpu":
        return
    early = [
        contender(BASELINE),
        contender("bertvectorizer"),
        contender("bertvectorizer", layers=3),
    ]
    yield Case(
        "early stop",
        "the short texts again; layer 3 of 6 is requested",
        samples.short(sizes["short"]),
        early,
        is_plain=False,
    )
    yield Case(
        "duplicates",
        "short texts, each five times, shuffled",
        samples.repeated(sizes["short"]),
        EXACT,
        is_plain=False,
    )
    budgets = [
        contender("bertvectorizer", batch_tokens=tokens) for tokens in (340, 1365, 5460, 21840)
    ]
    yield Case(
        "batch size",
        "the mixed texts, by tokens in a batch",
        samples.mixed(sizes["mixed"]),
        [contender(BASELINE), *budgets],
    )


def run(case: Case, rounds: int, setup: ModelSetup) -> dict[str, Any]:
    """Run one case: load everything, one round to warm up, then the counted rounds."""
    contenders = [one for one in case.contenders if all(map(installed, one.requires))]
    for missing in case.contenders:
        if missing not in contenders:
            print(
                f"{case.name}: {missing.name} is left out, not installed:"
                f" {', '.join(missing.requires)}",
                file=sys.stderr,
            )
    with ExitStack() as stack:
        workers = {one.name: stack.enter_context(WorkerProcess(one, setup)) for one in contenders}
        loaded = {
            name: worker.call("set_texts", texts=case.texts) for name, worker in workers.items()
        }
        ruler = workers[next(one.name for one in contenders if one.engine == "bertvectorizer")]
        seconds: dict[str, list[float]] = {name: [] for name in workers}
        gemm: list[float] = []
        for number in range(rounds + 1):
            print(f"{case.name}: round {number} of {rounds}", file=sys.stderr)
            gemm.append(ruler.call("gemm"))
            for name, worker in workers.items():
                seconds[name].append(worker.call("encode"))
        measured = {
            name: {
                "seconds": seconds[name][1:],
                "loaded_mib": loaded[name],
                "peak_mib": worker.call("peak"),
                "device_peak_mib": worker.call("device_peak") if setup.device != "cpu" else None,
                "vectors": _vectors(worker),
            }
            for name, worker in workers.items()
        }
        facts = ruler.call("facts")
    lengths = token_counts(Path(setup.model), case.texts)
    flops = Network.of(Path(setup.model)).flops(lengths) if case.is_plain else None
    return {
        "name": case.name,
        "remark": case.remark,
        "texts": len(case.texts),
        "tokens": int(lengths.sum()),
        "gemm_flops_per_second": gemm[1:],
        "rows": _rows(measured, len(lengths), int(lengths.sum()), flops, gemm[1:]),
        "facts": facts,
    }


def _vectors(worker: WorkerProcess) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "vectors.npy")
        worker.call("save", path=path)
        return np.load(path).astype(np.float32)


def _rows(
    measured: dict[str, dict[str, Any]],
    n_texts: int,
    n_tokens: int,
    flops: float | None,
    gemm: list[float],
) -> list[dict[str, Any]]:
    """Compare each with sentence-transformers in float32, or else in its fastest precision."""
    baseline = measured.get(f"{BASELINE} float32") or min(
        (row for name, row in measured.items() if name.startswith(BASELINE)),
        key=lambda row: median(row["seconds"]),
    )
    expected = baseline["vectors"]
    rows = []
    for name, row in measured.items():
        seconds, vectors = row["seconds"], row["vectors"]
        is_other = "layers=" in name
        rows.append(
            {
                "contender": name,
                **{key: value for key, value in row.items() if key != "vectors"},
                "texts_per_second": n_texts / median(seconds),
                "tokens_per_second": n_tokens / median(seconds),
                "ratio": median(
                    theirs / own for theirs, own in zip(baseline["seconds"], seconds, strict=True)
                ),
                "share_of_gemm": (
                    median(flops / own / rate for own, rate in zip(seconds, gemm, strict=True))
                    if flops
                    else None
                ),
                "largest_difference": (
                    None if is_other else float(np.abs(vectors - expected).max())
                ),
                "least_cosine": None if is_other else _least_cosine(vectors, expected),
            }
        )
    return rows


def _least_cosine(vectors: np.ndarray, expected: np.ndarray) -> float:
    norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((vectors * expected).sum(axis=1) / norms).min())


@contextmanager
def _place(device: str, onnx: bool) -> Iterator[ModelSetup]:
    """Find the model, and write it as ONNX in another process."""
    model = str(locate(DEFAULT_MODEL, local_files_only=True))
    with tempfile.TemporaryDirectory() as folder:
        setup = ModelSetup(model, str(Path(folder) / "model.onnx"), device)
        if onnx:
            code = (
                f"from benchmarks.engines import export_onnx; export_onnx({setup.model!r},"
                f" {setup.onnx!r})"
            )
            subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
        yield setup


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the benchmark."""
    known = parser(__doc__)
    known.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    known.add_argument("--rounds", type=int, default=5, help="counted rounds after one to warm up")
    known.add_argument("--short", type=int, default=400, help="number of short texts")
    known.add_argument("--mixed", type=int, default=120, help="number of mixed texts")
    known.add_argument("--long", type=int, default=36, help="number of long texts")
    known.add_argument("--cases", nargs="+", help="names of the cases to run; all if left out")
    options = known.parse_args(None if arguments is None else list(arguments))
    sizes = {kind: getattr(options, kind) for kind in ("short", "mixed", "long")}
    chosen = [
        case
        for case in cases(TextSamples(options.data), sizes, options.device)
        if not options.cases or case.name in options.cases
    ]
    needed = list(chain.from_iterable(case.contenders for case in chosen))
    exported = [one for one in EXPORTED if one in needed and all(map(installed, one.requires))]
    with _place(options.device, onnx=bool(exported)) as setup:
        done = [run(case, options.rounds, setup) for case in chosen]
    result = {
        "machine": {**machine(), **done[0]["facts"]},
        "settings": {"device": options.device, "rounds": options.rounds, "model": DEFAULT_MODEL},
        "cases": [{key: value for key, value in case.items() if key != "facts"} for case in done],
    }
    print("\n" + encode_table(result))
    write(
        options.name or f"encode-{processor_kind() if options.device == 'cpu' else options.device}",
        result,
    )


if __name__ == "__main__":
    main()
