"""Threads and forks: the child has none of its parent's threads, and computes on one."""

from __future__ import annotations

import functools
import os
import threading

__all__ = ["lock_held_by_forks", "use_one_thread_in_forks"]


def lock_held_by_forks() -> threading.RLock:
    """Return a lock that a fork waits for and holds, so that the child does not find it taken.

    It would wait for a thread that it does not have.
    """
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )
    return lock


@functools.cache
def use_one_thread_in_forks() -> None:
    """Let every fork of this process run PyTorch on one thread; to be called before computing.

    OpenMP does not notice that the threads of its pool are not in the child, and waits for them for
    ever. A fork of a process that has computed nothing keeps the number of its threads.
    """
    import torch

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=functools.partial(torch.set_num_threads, 1))
