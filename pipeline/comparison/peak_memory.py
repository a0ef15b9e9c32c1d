"""Peak memory of this process."""

from __future__ import annotations

import math
import re
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["read_peak", "reset_peak"]


def reset_peak() -> None:
    """Start measuring anew where the system can (Linux); elsewhere the peak is that since start."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def read_peak() -> float:
    """Return the peak memory of this process in MiB; NaN where the system does not report it.

    Examples
    --------
    >>> read_peak() > 1
    True
    """
    with suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="ascii")
        if match := re.search(r"VmHWM:\s+(\d+) kB", status):
            return int(match[1]) / 1024
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)
