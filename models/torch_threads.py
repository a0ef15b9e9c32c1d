"""PyTorch's threads after a fork: the child has none of its parent's, and computes on one."""

from __future__ import annotations

import functools
import os

__all__ = ["use_one_thread_in_forks"]


@functools.cache
def use_one_thread_in_forks() -> None:
    """Let every fork of this process run PyTorch on one thread; to be called before computing.

    OpenMP does not notice that the threads of its pool are not in the child, and waits for them for
    ever. A fork of a process that has computed nothing keeps the number of its threads.
    """
    import torch

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=functools.partial(torch.set_num_threads, 1))
