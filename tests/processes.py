"""Python processes that tests start, and how tests wait for them.

No wait has a limit of its own: it ends when what it waits for has happened, and fails when the
process has died. A suite that hangs is ended by ``faulthandler_timeout`` in pyproject.toml.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
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


PR_SET_CHILD_SUBREAPER = 36  # of <linux/prctl.h>
# What fork_server.py can change after its imports; another variable needs a fresh process.
LATE_VARIABLES = {"TMPDIR"}
THREADS = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


class ForkServer:
    """An interpreter that has imported what takes seconds, and forks others, see fork_server.py."""

    def __init__(self) -> None:
        self.adopt = ctypes.CDLL(None).prctl
        self.connection, other = socket.socketpair()
        with other:
            script = Path(__file__).with_name("fork_server.py")
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", script, str(other.fileno())],
                env=os.environ | THREADS,
                stdin=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
            )
        atexit.register(self.end)

    def end(self) -> None:
        """End the server, which the end of the connection tells that the tests are done."""
        self.connection.close()
        self.process.wait()

    def fork(self, request: dict[str, Any], descriptors: list[int]) -> int:
        """Start an interpreter, as a child of this process, and return its number."""
        message = json.dumps(request).encode()
        self.adopt(PR_SET_CHILD_SUBREAPER, 1)
        socket.send_fds(self.connection, [len(message).to_bytes(8)], descriptors)
        self.connection.sendall(message)
        number = self.connection.recv(8)
        self.adopt(PR_SET_CHILD_SUBREAPER, 0)
        assert number, "the fork server has ended"
        return int.from_bytes(number)


fork_server = cache(ForkServer)


class Process(subprocess.Popen[str]):
    """``Process(*arguments of Python, **environment)``; it is killed at the end of its with block.

    Its standard error goes to a file, so that it never blocks on a full pipe. It can wait for this
    process by reading a line, and then does not outlive it. It has imported large libraries
    already, which takes seconds, unless it is to be ``fresh``, or has a variable in its environment
    that they read.
    """

    def __init__(
        self,
        *arguments: object,
        cwd: Path | None = None,
        fresh: bool = False,
        stdin: Any = subprocess.PIPE,
        stdout: Any = subprocess.PIPE,
        **environment: object,
    ) -> None:
        self._error_file = tempfile.TemporaryFile()  # noqa: SIM115
        self._fresh = fresh or sys.platform != "linux" or not environment.keys() <= LATE_VARIABLES
        settings = THREADS | {name: str(value) for name, value in environment.items()}
        super().__init__(
            [sys.executable, *map(str, arguments)],
            cwd=cwd,
            env=os.environ | settings,
            stdin=stdin,
            stdout=stdout,
            stderr=self._error_file,
            text=True,
        )

    def _execute_child(self, args: Any, *settings: Any, **more: Any) -> None:  # type: ignore[override]
        """Start the program; its environment and descriptors are where `Popen` has them."""
        cwd, environment, descriptors = settings[4], settings[5], settings[9:15]
        if self._fresh:
            super()._execute_child(args, *settings, **more)  # type: ignore[misc]
            return
        request = {"arguments": args[1:], "cwd": str(cwd or Path.cwd()), "environment": environment}
        self.pid = fork_server().fork(request, [descriptors[0], descriptors[3], descriptors[5]])
        self._child_created = True
        self._close_pipe_fds(*descriptors)  # type: ignore[attr-defined]

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
    """Run code in a process of its own, with warnings as errors, and return what it prints.

    ``environment`` may have ``fresh``, see `Process`.
    """
    with Process("-W", "error", "-c", code, *arguments, **environment) as process:
        return process.finish()


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until a condition of this process holds."""
    while not condition():
        time.sleep(0.01)
