"""Tests of models/store/leases.py."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from bertvectorizer.models.store.leases import Leases
from bertvectorizer.models.store.sqlite import Database
from tests.processes import Process, run_python, wait_until

KEYS = [b"1", b"2", b"3", b"4"]
PRELUDE = (
    "import os, signal, sys\n"
    "from pathlib import Path\n"
    "from bertvectorizer.models.store.leases import Leases\n"
    "from bertvectorizer.models.store.sqlite import Database\n"
    "leases = Leases(Database(Path(sys.argv[1])))\n"
)

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


def leases(path: Path) -> Leases:
    return Leases(Database(path, durable=False))


def locks(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.lock"))


@contextmanager
def owner_elsewhere(
    path: Path, program: str = "print(leases.take([b'1', b'2'], 2), flush=True); input()"
) -> Iterator[Process]:
    """A process of its own that has leased the first two keys."""
    with Process("-c", PRELUDE + program, path) as owner:
        assert owner.read_line() == "[b'1', b'2']"
        yield owner


def take_when_free(mine: Leases, keys: list[bytes]) -> list[bytes]:
    taken: list[bytes] = []
    wait_until(lambda: taken.extend(mine.take(keys, len(keys))) or taken)
    return taken


class TestOwners:
    def test_two_share_the_work(self, path: Path) -> None:
        one, other = leases(path), leases(path)
        assert one.take(KEYS, 3) == KEYS[:3]
        assert other.take(KEYS, 3) == KEYS[3:]
        assert other.take(KEYS[:3], 3) == []

    def test_what_is_given_back_is_free(self, path: Path) -> None:
        one, other = leases(path), leases(path)
        one.take(KEYS, 4)
        one.release(KEYS[1:3])
        assert other.take(KEYS, 9) == KEYS[1:3]

    def test_keys_are_leased_in_their_order(self, path: Path) -> None:
        assert leases(path).take([b"3", b"1", b"2"], 2) == [b"3", b"1"]

    def test_nobody_gives_back_what_another_one_leased(self, path: Path) -> None:
        """A written key is free at once: others may lease a further part of it."""
        database = Database(path, durable=False)
        one, other, third = Leases(database), leases(path), leases(path)
        one.take(KEYS[:2], 2)
        database.write({b"1": b"data"}, [], {})
        assert other.take(KEYS, 1) == [b"1"]
        one.release(KEYS[:2])
        assert third.take(KEYS, 9) == KEYS[1:]

    def test_one_that_has_leased_nothing_has_nothing_to_give_back(self, path: Path) -> None:
        one = leases(path)
        one.take(KEYS, 4)
        leases(path).release(KEYS)
        assert leases(path).take(KEYS, 4) == []

    def test_a_written_record_is_no_longer_leased(self, path: Path) -> None:
        database = Database(path, durable=False)
        one = Leases(database)
        one.take(KEYS, 4)
        database.write({b"1": b"data"}, [], {})
        assert leases(path).take(KEYS, 4) == [b"1"]

    def test_letting_go_frees_all(self, path: Path) -> None:
        one = leases(path)
        one.take(KEYS, 4)
        one.close()
        assert locks(path) == []
        assert leases(path).take(KEYS, 4) == KEYS
        one.close()

    def test_one_that_let_go_may_lease_again(self, path: Path) -> None:
        one = leases(path)
        one.take(KEYS[:1], 1)
        one.close()
        assert one.take(KEYS, 2) == KEYS[:2]
        assert leases(path).take(KEYS, 9) == KEYS[2:]

    def test_one_that_is_forgotten_lets_go(self, path: Path) -> None:
        one = leases(path)
        one.take(KEYS, 4)
        del one
        assert locks(path) == []
        assert leases(path).take(KEYS, 4) == KEYS

    def test_the_lock_is_the_owner_s_alone(self, path: Path) -> None:
        one = leases(path)
        one.take(KEYS, 1)
        (lock,) = locks(path)
        assert lock.stat().st_mode & 0o777 == 0o600


class TestThreads:
    def test_each_key_goes_to_one_of_them(self, path: Path) -> None:
        one = leases(path)
        keys = [b"%d" % number for number in range(100)]
        everyone_is_here = threading.Barrier(8)

        def work(_worker: int) -> list[bytes]:
            everyone_is_here.wait()
            taken = one.take(keys, 10)
            everyone_is_here.wait()  # what a thread has left behind, it may lease again
            return taken

        with ThreadPoolExecutor(8) as pool:
            taken = [key for keys in pool.map(work, range(8)) for key in keys]
        assert len(taken) == 80
        assert set(Counter(taken).values()) == {1}

    def test_what_an_interrupt_left_behind_its_thread_may_lease_again(self, path: Path) -> None:
        one = leases(path)
        one.take(KEYS[:2], 2)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(one.take, KEYS, 9).result() == KEYS[2:]
        assert one.take(KEYS, 9) == KEYS[:2]


class TestDeath:
    def test_a_killed_owner_s_leases_are_free(self, path: Path) -> None:
        with owner_elsewhere(path) as owner:
            mine = leases(path)
            assert mine.take(KEYS, 9) == KEYS[2:]
            owner.kill()
            owner.wait()
            assert take_when_free(mine, KEYS[:2]) == KEYS[:2]
        assert len(locks(path)) == 1

    def test_an_owner_that_ends_leaves_no_lock(self, path: Path) -> None:
        with owner_elsewhere(path, "print(leases.take([b'1', b'2'], 2), flush=True)") as owner:
            owner.finish()
        assert locks(path) == []
        assert leases(path).take(KEYS, 9) == KEYS

    @pytest.mark.parametrize("name", ["store.sqlite", "st[o]re*.sqlite"])
    def test_locks_of_the_dead_are_swept_and_those_of_the_living_are_not(
        self, name: str, tmp_path: Path
    ) -> None:
        path = tmp_path / name
        living = leases(path)
        living.take(KEYS[2:], 2)
        (theirs,) = locks(path)
        with owner_elsewhere(path) as owner:
            owner.kill()
        (dead,) = set(locks(path)) - {theirs}
        for lock in (theirs, dead):
            os.utime(lock, (0, 0))
        mine = leases(path)
        assert mine.take(KEYS, 9) == KEYS[:2]
        assert theirs in locks(path)
        assert dead not in locks(path)

    def test_a_lock_that_is_no_file_of_this_user_counts_for_nothing(self, path: Path) -> None:
        """Where others may make files, they could hold such a lock for ever."""
        with owner_elsewhere(path) as owner:
            (lock,) = locks(path)
            lock.rename(path.parent / "elsewhere")  # still held
            lock.symlink_to(path.parent / "elsewhere")
            assert leases(path).take(KEYS[:2], 2) == KEYS[:2]
            owner.kill()

    def test_a_lock_that_was_just_made_is_not_swept(self, path: Path) -> None:
        leases(path).take(KEYS, 1)
        fresh = path.with_name(f"{path.name}.{'0' * 32}.lock")
        fresh.touch()
        mine = leases(path)
        mine.take(KEYS, 1)
        assert fresh in locks(path)


FORK = (
    PRELUDE + "def in_a_fork(work):\n"
    "    child = os.fork()\n"
    "    if child == 0:\n"
    "        try:\n"
    "            work()\n"
    "        finally:\n"
    "            sys.stdout.flush()\n"
    "            os._exit(0)\n"
    "    assert os.waitpid(child, 0)[1] == 0\n"
)


@needs_fork
class TestForks:
    def test_a_fork_is_another_owner(self, path: Path) -> None:
        program = (
            FORK + "print(leases.take([b'1'], 1), flush=True)\n"
            "def work():\n"
            "    leases.release([b'1'])\n"
            "    print(leases.take([b'1', b'2'], 9))\n"
            "in_a_fork(work)\n"
        )
        assert run_python(program, path) == "[b'1']\n[b'2']\n"

    @pytest.mark.parametrize(
        "end",
        [
            "pass",
            "leases.close()",
            "del globals()['leases']",
            "os.kill(os.getpid(), signal.SIGKILL)",
        ],
    )
    def test_its_end_frees_its_own_leases_and_none_of_its_parent_s(
        self, end: str, path: Path
    ) -> None:
        program = (
            FORK.replace("assert os.waitpid(child, 0)[1] == 0", "os.waitpid(child, 0)")
            + "leases.take([b'1'], 1)\n"
            "def work():\n"
            f"    leases.take([b'1', b'2'], 9); {end}\n"
            "in_a_fork(work)\n"
            "print(Leases(Database(Path(sys.argv[1]))).take([b'1', b'2'], 9))\n"
        )
        assert run_python(program, path) == "[b'2']\n"

    def test_a_fork_that_lives_on_does_not_hold_its_dead_parent_s_leases(self, path: Path) -> None:
        program = (
            "print(leases.take([b'1', b'2'], 2), flush=True)\nchild = os.fork()\nif child:\n   "
            " print(child, flush=True)\nsys.stdin.read()\n"
        )
        with owner_elsewhere(path, program) as owner:
            child = int(owner.read_line())
            try:
                mine = leases(path)
                assert mine.take(KEYS[:2], 2) == []
                owner.kill()
                owner.wait()
                assert take_when_free(mine, KEYS[:2]) == KEYS[:2]
            finally:
                os.kill(child, signal.SIGKILL)
