"""Tests of models/network/devices.py."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import pytest
import torch

from bertvectorizer.errors import InvalidParameterError, UnsupportedModelError
from bertvectorizer.models.network import devices
from bertvectorizer.models.network.devices import (
    PRECISIONS,
    check_precision,
    is_out_of_memory,
    resolve_device,
    tokens_per_batch,
)
from tests.processes import run_python

CPU = torch.device("cpu")
BEST = (
    "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
)


def has_arithmetic(precision: str) -> bool:
    if not torch.backends.mkldnn.is_available():
        return False
    ops = torch.ops.mkldnn
    return bool(
        ops._is_mkldnn_bf16_supported()
        if precision == "bfloat16"
        else ops._is_mkldnn_fp16_supported()
    )


def test_none_takes_the_best_device_there_is() -> None:
    assert resolve_device(None).type == BEST


@pytest.mark.parametrize("device", ["cpu", CPU, "cpu:0"])
def test_the_cpu_by_its_names(device: Any) -> None:
    assert resolve_device(device).type == "cpu"


@pytest.mark.parametrize("device", ["gpu", "cpu:x", "", -1.5, ["cpu"], "cuda:-1"])
def test_what_is_no_device_is_refused(device: Any) -> None:
    with pytest.raises(
        InvalidParameterError, match="'device' parameter must be None or a torch device such as"
    ):
        resolve_device(device)


@pytest.mark.parametrize(
    "device",
    [
        pytest.param(
            "cuda", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
        ),
        pytest.param(
            "mps",
            marks=pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is a GPU"),
        ),
        "cuda:99",
    ],
)
def test_a_device_that_is_not_here_is_refused_with_a_remedy(device: str) -> None:
    with pytest.raises(
        UnsupportedModelError,
        match=f"The device '{device}' is not available on this machine. Use device=None",
    ):
        resolve_device(device)


def test_float32_runs_everywhere() -> None:
    assert check_precision("float32", CPU) == "float32"
    assert check_precision("float32", torch.device("cuda")) == "float32"


@pytest.mark.parametrize("precision", ["fp32", "int4", None, 8, torch.float32])
def test_what_is_no_precision_is_refused(precision: Any) -> None:
    with pytest.raises(
        InvalidParameterError,
        match="'precision' parameter must be one of 'float32', 'bfloat16', 'float16', 'int8'",
    ):
        check_precision(precision, CPU)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_int8_off_the_cpu_is_refused(device: str) -> None:
    with pytest.raises(
        UnsupportedModelError,
        match=f"'int8' cannot be used on device '{device}': int8 runs on the CPU only",
    ):
        check_precision("int8", torch.device(device))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN")
def test_int8_on_the_cpu() -> None:
    assert check_precision("int8", CPU) == "int8"


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_on_a_cpu_only_with_such_arithmetic(precision: str) -> None:
    if has_arithmetic(precision):
        assert check_precision(precision, CPU) == precision
    else:
        with pytest.raises(
            UnsupportedModelError,
            match=f"this CPU has no {precision} arithmetic .* use 'float32' or 'int8'",
        ):
            check_precision(precision, CPU)
    assert check_precision(precision, torch.device("cuda")) == precision


def test_a_torch_without_one_dnn_has_neither_int8_nor_half_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    for precision in set(PRECISIONS) - {"float32"}:
        with pytest.raises(
            UnsupportedModelError, match=f"'{precision}' cannot be used on device 'cpu'"
        ):
            check_precision(precision, CPU)


def test_batches_shrink_as_models_widen_but_never_below_a_minimum() -> None:
    budgets = [tokens_per_batch(CPU, widest) for widest in (256, 1536, 4096, 1 << 20)]
    assert budgets == sorted(budgets, reverse=True)
    assert budgets[1] * 1536 * 4 <= 8 << 20
    assert budgets[-1] == 256
    assert tokens_per_batch(torch.device("cuda"), 4096) > budgets[0]


def test_a_real_failure_to_allocate_is_recognized() -> None:
    with pytest.raises(RuntimeError) as torch_says:
        torch.empty(1 << 55, dtype=torch.float64)
    with pytest.raises(MemoryError) as numpy_says:
        np.empty(1 << 55)
    assert is_out_of_memory(torch_says.value)
    assert is_out_of_memory(numpy_says.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("MPS backend out of memory"),
        MemoryError(),
    ],
)
def test_out_of_memory_on_every_device(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shape mismatch"),
        ValueError("out of memory"),
        KeyboardInterrupt(),
        IndexError("index"),
    ],
)
def test_other_errors_are_not_taken_for_it(error: BaseException) -> None:
    assert not is_out_of_memory(error)


PAGE_FAULTS = """
import resource, torch
from bertvectorizer.models.network.devices import keep_freed_memory
torch.set_num_threads(1)
def faults(function):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    function()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def activations():
    for mebibytes in range(1, 30):
        torch.ones(mebibytes << 18)
print(faults(keep_freed_memory), faults(activations), (435 << 20) // resource.getpagesize())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's allocator")
def test_freed_memory_is_kept_for_the_next_layer() -> None:
    """Growing activations would touch 435 MiB of fresh pages; keeping memory touches none."""
    itself, touched, all_fresh = map(int, run_python(PAGE_FAULTS).split())
    assert itself < 100
    assert touched < all_fresh / 3


FREED_MEMORY = """
import resource, torch
from bertvectorizer.models.network.devices import keep_freed_memory, return_freed_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20
keep_freed_memory()
blocks = [torch.ones(1 << 18) for _ in range(200)]  # of 1 MiB
del blocks[:-1]  # the last one lies above the others in the heap
kept = resident()
return_freed_memory()
print(kept - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's allocator")
def test_freed_memory_is_given_back_when_asked() -> None:
    assert int(run_python(FREED_MEMORY)) > 150


@pytest.mark.parametrize(
    ("multiplies", "generation", "device", "expected"),
    [
        (True, None, "cpu", "bfloat16"),
        (False, None, "cpu", "float32"),
        (True, 9, "cuda", "bfloat16"),
        (False, 7, "cuda", "float16"),
        (True, 6, "cuda", "float32"),
        (True, None, "mps", "float32"),
    ],
)
def test_the_fastest_precision_by_what_the_device_can_do(
    multiplies: bool,
    generation: int | None,
    device: str,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "multiplies_bfloat16", lambda: multiplies)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (generation, 0))
    assert check_precision("fast", torch.device(device)) == expected
    assert check_precision("auto", torch.device(device)) == "float32"
    if device == "cpu":
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
        assert check_precision("fast", CPU) == "float32", "without oneDNN there are no kernels"
