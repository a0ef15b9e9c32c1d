"""Tests of the connections of models/store/sqlite.py: threads and forks."""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bertvectorizer.models.store.sqlite import Connections
from tests.processes import run_python

MODES = ["WAL", "TRUNCATE"]


def connect() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


class TestThreads:
    def test_each_has_one_of_its_own(self) -> None:
        connections = Connections()
        mine = connections.get(connect)
        assert connections.get(connect) is mine
        with connections.using(connect) as used, connections.using(connect) as nested:
            assert used is nested is mine
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(connections.get, connect).result() is not mine

    def test_an_error_of_opening_or_of_use_leaves_nothing_locked(self) -> None:
        connections = Connections()

        def fail() -> sqlite3.Connection:
            raise OSError("no such file")

        for _ in range(2):
            with pytest.raises(OSError, match="no such file"), connections.using(fail):
                pass
        with pytest.raises(KeyboardInterrupt), connections.using(connect):
            raise KeyboardInterrupt
        with connections.using(connect) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


# SQLite waits for nobody, so that a lock that a fork only believes in is an error at once.
PRELUDE = """
import os, sqlite3, sys, threading, time, warnings
from pathlib import Path
from bertvectorizer.models.store import sqlite as module
connections = module
warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
module._BUSY_SECONDS = float(sys.argv[3])
module.journal_mode = lambda version: sys.argv[2]
database = module.Database(Path(sys.argv[1], "store.sqlite"), durable=False)

def fork(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    return child

def end(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def write(name):
    database.write({name.encode(): b"data"}, [], {"writes": 1})
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")
@pytest.mark.parametrize("mode", MODES)
class TestFork:
    def test_it_waits_for_a_transaction_of_another_thread(self, mode: str, tmp_path: Path) -> None:
        code = """
begun, forks, order = threading.Event(), threading.Event(), []
os.register_at_fork(before=forks.set)

def work():
    with database.transaction() as connection:
        begun.set()
        forks.wait()
        for _ in range(100):
            connection.execute("INSERT OR REPLACE INTO counters VALUES ('thread', 1)")
            time.sleep(0.001)
        database.n_records()  # one that is inside may go on
        order.append("committed")

write("parent")
thread = threading.Thread(target=work)
thread.start()
begun.wait()
child = fork(lambda: (write("child"), connections._inherited == [] or os._exit(2)))
order.append("forked")
assert end(child) == 0
thread.join()
write("parent again")
print(order, database.counters(), database.check())
"""
        assert run_python(PRELUDE + code, tmp_path, mode, 0) == (
            "['committed', 'forked'] {'thread': 1.0, 'writes': 3.0} []\n"
        )

    def test_busy_threads_neither_hold_it_up_nor_spoil_its_children(
        self, mode: str, tmp_path: Path
    ) -> None:
        code = """
stop = threading.Event()

def work(name):
    while not stop.is_set():
        write(name)
        database.read([name.encode()])

threads = [threading.Thread(target=work, args=(f"thread {n}",)) for n in range(3)]
for thread in threads:
    thread.start()
children = [fork(lambda: write("child")) for _ in range(20)]
ends = [end(child) for child in children]
stop.set()
for thread in threads:
    thread.join()
print(set(ends), database.check())
"""
        assert run_python(PRELUDE + code, tmp_path, mode, 60) == "{0} []\n"

    def test_a_thread_that_forks_inside_a_transaction_waits_for_none(
        self, mode: str, tmp_path: Path
    ) -> None:
        code = """
with database.transaction() as connection:
    connection.execute("INSERT INTO counters VALUES ('parent', 1)")
    child = fork(lambda: connections._inherited == [connection] or os._exit(2))
    assert end(child) == 0
assert end(fork(lambda: write("child"))) == 0
print(database.counters())
"""
        printed = run_python(PRELUDE + code, tmp_path, mode, 0)
        assert printed == "{'parent': 1.0, 'writes': 1.0}\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")
def test_a_child_holds_locks_of_its_own(tmp_path: Path) -> None:
    """Nobody may end the use of a write-ahead log, and remove it, while a child uses it."""
    code = """
write("parent")  # its connection stays open, and idle
(ready, is_ready), (done, is_done) = os.pipe(), os.pipe()
child = fork(lambda: (database.keys(), os.write(is_ready, b"1"), os.read(done, 1)))
os.read(ready, 1)
for owner in connections._owners:
    if owner.connection is not None:
        owner.connection.close()
try:
    other = sqlite3.connect(database.path, timeout=0)
    print(other.execute("PRAGMA journal_mode = TRUNCATE").fetchall())
except sqlite3.OperationalError as error:
    print(error)
os.write(is_done, b"1")
assert end(child) == 0
"""
    assert run_python(PRELUDE + code, tmp_path, "WAL", 0) == "database is locked\n"
