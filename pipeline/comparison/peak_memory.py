"""How much memory this process takes at most."""

from __future__ import annotations

import math
import re
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["forget_peak", "read_peak"]

_MIB = 1 << 20


def forget_peak() -> None:
    """Measure from now on, where the system allows that (Linux); elsewhere the peak is that of the whole life of the process."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def read_peak() -> float:
    """Return the most memory that this process has taken, in MiB; NaN where the system does not
    say.

    Examples
    --------
    >>> read_peak() > 1
    True
    """
    with suppress(OSError):
        match = re.search(
            r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii")
        )
        if match:
            return int(match[1]) / 1024
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (_MIB if sys.platform == "darwin" else 1024)
