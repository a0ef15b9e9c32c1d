"""Where the network runs, in which number format, and how its memory is held."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from ...errors import UnsupportedModelError
from ...private_api import has_half_precision, int8_product, multiplies_bfloat16, pack_int8_weight
from ...validation import check_choice, invalid

if TYPE_CHECKING:
    import torch

__all__ = [
    "PRECISIONS",
    "Precision",
    "PrecisionChoice",
    "check_precision",
    "fits_in_memory",
    "int8_activation_bits",
    "is_out_of_memory",
    "keep_freed_memory",
    "resolve_device",
    "return_freed_memory",
    "tokens_per_batch",
]

Precision: TypeAlias = Literal["float32", "bfloat16", "float16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# What a parameter may be: one of these, or one that leaves the choice to this module.
PrecisionChoice: TypeAlias = Literal["float32", "bfloat16", "float16", "int8", "auto", "fast"]


def resolve_device(device: Any) -> torch.device:
    """Return the device to run on.

    Parameters
    ----------
    device : str, torch.device or None
        None picks CUDA, MPS or the CPU, in that order.

    Returns
    -------
    device : torch.device
        An available device.

    Raises
    ------
    InvalidParameterError
        If ``device`` does not name a device.
    UnsupportedModelError
        If the device is not available.

    See Also
    --------
    check_precision : Check a number format for a device.

    Examples
    --------
    >>> from bertvectorizer.models import resolve_device
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    import torch

    if device is None:
        other = "mps" if torch.backends.mps.is_available() else "cpu"
        device = "cuda" if torch.cuda.is_available() else other
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError):
        raise invalid(
            "device", "None or a torch device such as 'cpu', 'cuda', 'cuda:1' or 'mps'", device
        ) from None
    try:
        # Every kind of device passes or fails this; it also names the device that "cuda" means.
        probe = torch.empty(1, device=resolved)
        probe.tolist()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UnsupportedModelError(
            f"The device {device!r} is not available on this machine. Use device=None for an"
            f" available one. (PyTorch: {str(error).strip().partition(chr(10))[0]})"
        ) from error
    return probe.device


def check_precision(precision: Any, device: torch.device) -> Precision:
    """Return the number format that ``precision`` means on ``device``.

    Parameters
    ----------
    precision : {"float32", "bfloat16", "float16", "int8", "auto", "fast"}
        A number format; ``"auto"``, which is float32; or ``"fast"``, the fastest one that costs at
        most 0.1 point of accuracy (case "accuracy" of benchmarks/README.md). That is bfloat16 on
        processors with instructions for it (AMX, AVX512-BF16, those of Arm) and on CUDA devices of
        compute capability 8, float16 on those of 7, and float32 elsewhere.
    device : torch.device
        Where the network runs.

    Returns
    -------
    precision : {"float32", "bfloat16", "float16", "int8"}
        The number format.

    Raises
    ------
    InvalidParameterError
        If ``precision`` is not one of these.
    UnsupportedModelError
        If the device does not support it, or would be slower with it.

    See Also
    --------
    resolve_device : Find an available device.

    Examples
    --------
    >>> from bertvectorizer.models import check_precision, resolve_device
    >>> check_precision("auto", resolve_device("cpu"))
    'float32'
    """
    import torch

    choice = check_choice("precision", precision, get_args(PrecisionChoice))
    if choice == "auto":
        return "float32"
    if choice == "fast":
        return _fastest(device)
    name: Precision = choice
    reason = None
    if name == "int8":
        if device.type != "cpu":
            reason = "int8 runs on the CPU only; on a GPU use 'float16' or 'bfloat16'"
        elif not torch.backends.mkldnn.is_available():
            reason = "int8 needs a PyTorch built with oneDNN; use 'float32'"
    elif (
        name in ("bfloat16", "float16")
        and device.type == "cpu"
        and not (torch.backends.mkldnn.is_available() and has_half_precision(name))
    ):
        reason = (
            f"this CPU has no {name} arithmetic and would be slower and less exact; use"
            " 'float32' or 'int8'"
        )
    if reason:
        raise UnsupportedModelError(
            f"The precision {name!r} cannot be used on device '{device}': {reason}."
        )
    return name


def _fastest(device: torch.device) -> Precision:
    """Return the fastest number format of a device within 0.1 point of float32's accuracy.

    int8 is not among them: it costs more (case "accuracy" of benchmarks/README.md).
    """
    import torch

    if device.type == "cpu":
        has_kernels = torch.backends.mkldnn.is_available()
        return "bfloat16" if has_kernels and multiplies_bfloat16() else "float32"
    if device.type == "cuda":
        # Both run at one speed; bfloat16 has the range of float32, so that no model overflows.
        generation, _ = torch.cuda.get_device_capability(device)
        return "bfloat16" if generation >= 8 else "float16" if generation == 7 else "float32"
    return "float32"


@functools.cache
def int8_activation_bits() -> int:
    """Return the bits of activations in int8: 8 where the CPU adds their products exactly, else 7.

    Without VNNI, products are added in 16 bits. The largest sums are tried, since oneDNN may be
    kept from what a processor has.
    """
    import torch

    rows = torch.full((32, 512), 255, dtype=torch.uint8)
    weight = pack_int8_weight(torch.full((64, 512), 127, dtype=torch.int8))
    product = int8_product(rows, weight, torch.ones(64), torch.zeros(64, dtype=torch.long))
    return 8 if bool((product == 255 * 127 * 512).all()) else 7


def tokens_per_batch(device: torch.device, widest: int) -> int:
    """Return a good number of tokens in a batch; ``widest`` is the width of the widest activation.

    On a CPU that activation should fit in the last-level cache: 8 to 32 MiB of float32 were fastest
    (case "batch size" of benchmarks/README.md), and 8 needs less memory. A GPU needs large batches.
    """
    if device.type == "cpu":
        return max(256, (8 << 20) // (4 * widest))
    return 32_768


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on any device."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    signs = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in signs)


def fits_in_memory(run: Callable[[], Any], device: torch.device) -> bool:
    """Run a function; False, with the memory of the device freed, if it runs out."""
    try:
        run()
        return True
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    # Only here, since the exception keeps its memory until its block is left.
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
    return False


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library keep the memory of freed activations for the next layer.

    glibc returns large blocks to the kernel until one such block is freed; then it raises its
    threshold to that size. Fresh pages for each activation cost 15-40 % of the time (machine of
    benchmarks/README.md). Freeing one 31 MiB block, never written to, is enough, and does no harm
    with other C libraries. From then on the process keeps up to 62 MiB of freed blocks.
    """
    import torch

    torch.empty(31 << 20, dtype=torch.uint8)


def return_freed_memory() -> None:
    """Give freed memory back to the system, after a large pass whose activations are gone.

    With glibc, each thread keeps what it freed: 290 MiB after 14,000 sentences. Other C libraries
    give it back by themselves.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
