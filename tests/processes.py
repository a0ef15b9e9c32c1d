"""Python processes that tests start, and how tests wait for them.

No wait has a limit of its own: it ends when what it waits for has happened, and fails when the
process has died. A suite that hangs is ended by ``faulthandler_timeout`` in pyproject.toml.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Python code that refuses every socket, and lists the attempts in ``opened``.
WATCH_SOCKETS = """
import sys
opened = []
def watch(event, arguments):
    if event in ("socket.__new__", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        opened.append(event)
        raise PermissionError(event)
sys.addaudithook(watch)
"""


class Process(subprocess.Popen[str]):
    """``Process(*arguments of Python, **environment)``; it is killed at the end of its with block.

    Its standard error goes to a file, so that it never blocks on a full pipe. It can wait for this
    process by reading a line, and then does not outlive it.
    """

    def __init__(self, *arguments: object, cwd: Path | None = None, **environment: object) -> None:
        self._error_file = tempfile.TemporaryFile()  # noqa: SIM115
        settings = {"OMP_NUM_THREADS": "1"} | {
            name: str(value) for name, value in environment.items()
        }
        super().__init__(
            [sys.executable, *map(str, arguments)],
            cwd=cwd,
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._error_file,
            text=True,
        )

    def __exit__(self, *error: Any) -> None:
        self.kill()
        super().__exit__(*error)
        self._error_file.close()

    @property
    def error_output(self) -> str:
        """What it has written to standard error."""
        file = self._error_file.fileno()  # pread leaves the position, which the process shares
        return os.pread(file, os.fstat(file).st_size, 0).decode()

    def read_line(self) -> str:
        """Wait for the next line that it prints."""
        assert self.stdout is not None
        line = self.stdout.readline()
        assert line, f"the process ended with {self.wait()}: {self.error_output}"
        return line.removesuffix("\n")

    def go_on(self) -> None:
        """Let it go on that waits by reading a line."""
        assert self.stdin is not None
        self.stdin.write("\n")
        self.stdin.flush()

    def finish(self, *, expect: int | None = 0) -> str:
        """Wait for its end and return the rest of what it has printed."""
        printed, _ = self.communicate()
        assert expect in (None, self.returncode), f"{self.returncode}: {printed}{self.error_output}"
        return printed


def run_python(code: str, *arguments: object, **environment: Any) -> str:
    """Run code in a process of its own, with warnings as errors, and return what it prints."""
    with Process("-W", "error", "-c", code, *arguments, **environment) as process:
        return process.finish()


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until a condition of this process holds."""
    while not condition():
        time.sleep(0.01)
