"""Batches side by side: on a CPU, each of a few threads runs batches of its own.

Threads that share every operation wait for the slowest of them hundreds of times a batch. On a busy
machine that takes more than half of the speed (case "busy" of benchmarks/README.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ..torch_threads import lock_held_by_forks

if TYPE_CHECKING:
    from torch import nn

__all__ = ["changes_itself", "n_runners", "run_side_by_side"]

_Item = TypeVar("_Item")

# Python's own lock lets one of them prepare an operation at a time; each computes on several
# threads where there are more.
_MOST_RUNNERS = 8
_beginning = lock_held_by_forks()  # while new threads set how many the process has


def n_runners(device: torch.device) -> int:
    """Return how many batches should run at a time."""
    if device.type != "cpu":
        return 1
    with _beginning:
        n_threads = torch.get_num_threads()
    each = -(-n_threads // _MOST_RUNNERS)
    return n_threads // each  # so that few are left over: 6 with 2 each of 12, not 8 with 1


def run_side_by_side(
    run: Callable[[_Item], bool], items: Iterator[_Item], count: int, done: Callable[[_Item], Any]
) -> None:
    """Call ``run`` with each item in ``count`` threads, which share the threads of PyTorch.

    ``done`` is called after each, by one thread at a time. All end after the first item for which
    ``run`` returns False or raises; the first error is raised here.
    """
    n_threads = torch.get_num_threads()
    lock = threading.Lock()
    are_ready = threading.Barrier(count + 1)
    is_over = threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            torch.get_num_threads()  # or the first operation would take that of the process
            torch.set_num_threads(max(1, n_threads // count))  # of operations of this thread
            try:
                are_ready.wait()
            except threading.BrokenBarrierError:
                return  # not all of them could begin
            while True:
                with lock:
                    if is_over.is_set() or (item := next(items, None)) is None:
                        return
                fits = run(item)
                with lock:
                    if not fits:
                        return
                    done(item)
        except BaseException as error:
            errors.append(error)
        finally:
            # The first thread that finds nothing to do ends the others after their present item.
            is_over.set()

    # A pool of Python's begins nothing once the main thread has ended, though others may go on.
    threads = [threading.Thread(target=work) for _ in range(count)]
    try:
        with _beginning:
            try:
                for thread in threads:
                    thread.start()
                are_ready.wait()
            except RuntimeError:  # the system has no more threads; nothing is done here
                are_ready.abort()
                is_over.set()
                for thread in threads:
                    if thread.is_alive():
                        thread.join()
            finally:
                torch.set_num_threads(n_threads)  # of this thread, and of those that others begin
        # Not `join`: after Ctrl-C, it would take a running thread for ended. Not without end: a
        # signal that arrives just before the wait begins is handled only after it.
        while not is_over.wait(0.1):
            pass
    finally:
        is_over.set()  # after Ctrl-C
        are_ready.abort()
        for thread in threads:
            if thread.is_alive():
                thread.join()
    if errors:
        raise errors.pop(0)


def changes_itself(model: nn.Module, config: Any, example: Callable[[int], Any]) -> bool:
    """Whether a pass changes the model, so that passes at the same time would disturb each other.

    ``example`` runs a sequence of some length. Rotary positions that depend on the longest text
    change only beyond lengths that take too long to try.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope, *rope.values()]
    if any(
        isinstance(one, dict) and one.get("rope_type") in ("dynamic", "longrope") for one in kinds
    ):
        return True
    objects, versions = _state(model)  # which stay alive, so that no other takes their place
    for length in (5, 3):
        example(length)
    others, later = _state(model)
    return (
        versions != later
        or len(objects) != len(others)
        or any(one is not other for one, other in zip(objects, others, strict=True))
    )


def _state(model: nn.Module) -> tuple[list[Any], list[int]]:
    """Return all that the modules hold, and how often the numbers of buffers were changed."""
    objects: list[Any] = []
    versions = []
    for module in model.modules():
        objects += [value for name, value in vars(module).items() if not name.startswith("_")]
        objects += module.children()
        for buffer in module.buffers(recurse=False):
            objects.append(buffer)
            versions.append(0 if buffer.is_inference() else buffer._version)
    return objects, versions
