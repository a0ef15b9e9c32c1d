"""What every benchmark shares: the facts of the machine, the arguments, the result files."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"

_PACKAGES = (
    "torch", "transformers", "sentence-transformers", "tokenizers", "scikit-learn", "numpy",
    "skrub", "onnxruntime", "openvino", "joblib", "diskcache",
    "gensim", "model2vec",
)  # fmt: skip
_INSTRUCTIONS = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16"
)  # fmt: skip
# Kinds of processor, by the best instructions that the products of a network have there.
KINDS = {
    "amx_bf16": "amx",
    "avx512_bf16": "avx512_bf16",
    "avx512_vnni": "avx512_vnni",
    "avx512f": "avx512",
    "avx_vnni": "avx_vnni",
    "avx2": "avx2",
}


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return an argument parser that knows ``--data`` and ``--name``."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    result.add_argument(
        "--data",
        type=Path,
        default=ROOT / ".." / "shared" / "data",
        help="folder with the data sets",
    )
    result.add_argument("--name", help="name of the result file; that of the benchmark if left out")
    return result


def peak_mib() -> float:
    """Return the largest resident memory of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would begin at the size of the process that started this one
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def machine() -> dict[str, Any]:
    """Describe the machine, without importing anything heavy."""
    model, flags = _processor()
    return {
        "processor": model,
        "instructions": [name for name in _INSTRUCTIONS if name in flags],
        "cores": (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := installed(name))},
        "commit": _commit(),
    }


def processor_kind() -> str:
    """Return the kind of this processor, in the names of `KINDS`, or that of its architecture."""
    flags = _processor()[1]
    return next((name for flag, name in KINDS.items() if flag in flags), platform.machine())


def installed(package: str) -> str | None:
    """Return the version of a package, None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def write(name: str, result: dict[str, Any]) -> None:
    """Write ``results/<name>.json``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(
        f"\nWritten: {path.relative_to(ROOT)}. `python -m benchmarks.table` puts it into"
        " benchmarks/README.md."
    )


def _processor() -> tuple[str, set[str]]:
    fields: dict[str, str] = {}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    return fields.get("model name") or platform.processor() or platform.machine(), set(
        fields.get("flags", "").split()
    )


def _commit() -> str | None:
    """Short hash of the commit, with ``+`` if files outside of ``benchmarks/results`` differ."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        changed = _git(
            "status", "--porcelain", "--", ".", ":!benchmarks/results", ":!benchmarks/README.md"
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changed else "")


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
