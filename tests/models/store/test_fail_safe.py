"""Tests of models/store/fail_safe.py."""

from __future__ import annotations

import os
import sqlite3
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bertvectorizer.models.store.fail_safe import FailSafeCache
from bertvectorizer.models.store.sqlite import Database
from tests.processes import run_python

GIVEN_UP = r"The store '.*' cannot be used, so texts are encoded without it: "
PRELUDE = (
    "import os, sys\n"
    "from pathlib import Path\n"
    "from bertvectorizer.models.store import fail_safe as module\n"
    "module._FLUSH_SECONDS = 1e9\n"
    "cache = module.FailSafeCache(Path(sys.argv[1]), None, durable=True)\n"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes wait until they are read, however slow the machine."""
    monkeypatch.setattr("bertvectorizer.models.store.fail_safe._FLUSH_SECONDS", 1e9)


def open_cache(path: Path, max_bytes: int | None = None, durable: bool = False) -> FailSafeCache:
    return FailSafeCache(path, max_bytes, durable)


class TestWhileItWorks:
    def test_what_was_written_is_read_here_and_elsewhere(self, path: Path) -> None:
        one = open_cache(path)
        one.write({b"k": b"data"}, encoded=1, seconds=0.5)
        assert one.read([b"k", b"l"]) == open_cache(path).read([b"k", b"l"]) == {b"k": b"data"}
        assert one.database.counters() == {"encoded": 1, "seconds": 0.5}
        assert one.read([]) == {}

    def test_a_written_record_is_no_longer_leased(self, path: Path) -> None:
        one, other = open_cache(path), open_cache(path)
        assert one.lease([b"k", b"l"], 9) == [b"k", b"l"]
        one.write({b"k": b"data"})
        assert other.lease([b"k", b"l"], 9) == [b"k"]
        one.release([b"k", b"l"])
        assert other.lease([b"k", b"l"], 9) == [b"k", b"l"]

    def test_the_file_stays_within_its_limit(self, path: Path) -> None:
        one = open_cache(path, max_bytes=500_000)
        for number in range(100):
            one.write({b"%d" % number: os.urandom(20_000)})
            assert path.stat().st_size <= 500_000
        assert one.read([b"99"])
        assert not one.read([b"0"])

    def test_what_is_used_stays_longest(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = iter(range(1_000_000))
        monkeypatch.setattr("bertvectorizer.models.store.sqlite._now", lambda: next(clock))
        one = open_cache(path, max_bytes=500_000)
        for number in range(100):
            one.write({b"%d" % number: os.urandom(20_000)})
            one.note([b"0"])
        assert one.read([b"0"])
        assert not one.read([b"1"])

    def test_damage_is_dropped_and_reported_once(self, path: Path) -> None:
        one = open_cache(path)
        one.write({b"k": b"data", b"l": b"data", b"m": b"data"})
        with pytest.warns(
            UserWarning, match=r"2 text\(s\) in the store '.*' were damaged; they are encoded anew"
        ) as caught:
            one.drop_damaged([b"k", b"l"])
        assert len(caught) == 1
        one.drop_damaged([b"m"])
        assert one.database.n_records() == 0
        assert not one.is_broken

    def test_letting_go_writes_down_and_frees_all(self, path: Path) -> None:
        one = open_cache(path)
        one.lease([b"k"], 1)
        one.note([], hits=3)
        one.close()
        assert open_cache(path).database.counters() == {"hits": 3}
        assert open_cache(path).lease([b"k"], 1) == [b"k"]


class TestNotes:
    @pytest.mark.usefixtures("no_hurry")
    def test_where_commits_are_slow_they_wait_for_each_other(self, path: Path) -> None:
        one = open_cache(path, durable=True)
        for _ in range(3):
            one.note([b"k"], hits=2, misses=1)
        assert Database(path).counters() == {}
        one.flush()
        assert Database(path).counters() == {"hits": 6, "misses": 3}
        one.flush()
        assert Database(path).counters() == {"hits": 6, "misses": 3}

    @pytest.mark.usefixtures("no_hurry")
    def test_they_go_with_the_next_write(self, path: Path) -> None:
        one = open_cache(path, durable=True)
        one.note([], hits=2)
        one.write({b"k": b"data"}, encoded=1)
        assert Database(path).counters() == {"hits": 2, "encoded": 1}

    @pytest.mark.usefixtures("no_hurry")
    def test_where_commits_are_fast_they_are_written_at_once(self, path: Path) -> None:
        open_cache(path).note([], hits=2)
        assert Database(path).counters() == {"hits": 2}

    @pytest.mark.parametrize("durable", [True, False])
    def test_they_are_exact_where_threads_meet(self, path: Path, durable: bool) -> None:
        one = open_cache(path, durable=durable)

        def work(worker: int) -> None:
            for number in range(25):
                one.note([], hits=1, misses=2)
                if number % 5 == 0:
                    one.write({b"%d %d" % (worker, number): b"data"}, encoded=1)
                if number % 7 == 0:
                    one.flush()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        one.flush()
        assert one.database.counters() == {"hits": 200, "misses": 400, "encoded": 40}

    def test_they_are_written_down_when_the_process_ends(self, path: Path) -> None:
        run_python(PRELUDE + "cache.note([], hits=7)\nprint(cache.database.counters())\n", path)
        assert Database(path).counters() == {"hits": 7}

    def test_a_process_that_noted_nothing_makes_no_file(self, path: Path) -> None:
        run_python(PRELUDE, path)
        assert not path.exists()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")
    def test_a_fork_does_not_write_down_its_parent_s(self, path: Path) -> None:
        program = (
            PRELUDE + "cache.note([], hits=1)\n"
            "child = os.fork()\n"
            "cache.note([], hits=10)\n"
            "cache.flush()\n"
            "if child == 0:\n"
            "    os._exit(0)\n"
            "os.waitpid(child, 0)\n"
        )
        run_python(program, path)
        assert Database(path).counters() == {"hits": 21}


class TestWhenItFails:
    def test_one_warning_and_then_silence(self, tmp_path: Path) -> None:
        one = open_cache(tmp_path)
        with pytest.warns(
            UserWarning, match=GIVEN_UP + r"'.*' is not a file\. Choose another path\.$"
        ) as caught:
            assert one.read([b"k"]) == {}
        assert len(caught) == 1
        assert Path(caught[0].filename) == Path(__file__)
        assert one.is_broken
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert one.read([b"k"]) == {}
            one.write({b"k": b"data"}, encoded=1)
            one.note([b"k"], hits=1)
            one.release([b"k"])
            one.flush()
            one.close()
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.usefixtures("no_hurry")
    @pytest.mark.parametrize("action", ["read", "write", "lease", "flush"])
    def test_whatever_comes_first_gives_it_up(self, action: str, path: Path) -> None:
        path.write_bytes(b"a letter" * 1000)
        one = open_cache(path, durable=True)
        one.note([], hits=1)
        actions: dict[str, Callable[[], object]] = {
            "read": lambda: one.read([b"k"]),
            "write": lambda: one.write({b"k": b"data"}),
            "lease": lambda: one.lease([b"k"], 1),
            "flush": one.flush,
        }
        with pytest.warns(UserWarning, match=GIVEN_UP + "file is not a database"):
            actions[action]()
        assert one.is_broken
        assert path.read_bytes() == b"a letter" * 1000

    @pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners and modes of files are POSIX's")
    @pytest.mark.parametrize("mode", [0o000, 0o200, 0o400])
    def test_a_file_that_may_not_be_read_or_written(self, mode: int) -> None:
        program = (
            "import os, sys, shutil, tempfile, warnings\n"
            "from pathlib import Path\n"
            "from bertvectorizer.models.store.fail_safe import FailSafeCache\n"
            "if os.getuid() == 0:\n"
            "    os.setgroups([]); os.setgid(65534); os.setuid(65534)  # whom modes bind\n"
            "path = Path(tempfile.mkdtemp()) / 'store.sqlite'\n"
            "try:\n"
            "    first = FailSafeCache(path, None, True)\n"
            "    first.write({b'k': b'data'})\n"
            "    first.close()\n"
            "    path.chmod(int(sys.argv[1]))\n"
            "    cache = FailSafeCache(path, None, True)\n"
            "    with warnings.catch_warnings(record=True) as caught:\n"
            "        warnings.simplefilter('always')\n"
            "        found = cache.read([b'k'])\n"
            "        cache.write({b'l': b'data'})\n"
            "        assert cache.lease([b'k', b'l'], 2) == [b'k', b'l']\n"
            "    print(found, cache.is_broken, len(caught), caught[0].message)\n"
            "finally:\n"
            "    shutil.rmtree(path.parent)\n"
        )
        found = {b"k": b"data"} if mode == 0o400 else {}
        assert run_python(program, mode).startswith(f"{found} True 1 The store '")

    def test_without_a_file_all_that_is_requested_may_be_computed(self, tmp_path: Path) -> None:
        one = open_cache(tmp_path)
        with pytest.warns(UserWarning, match=GIVEN_UP):
            assert one.lease([b"k", b"l", b"m"], 2) == [b"k", b"l"]
        assert one.lease([b"k", b"l", b"m"], 9) == [b"k", b"l", b"m"]

    def test_what_it_had_leased_is_free_for_others(self, path: Path) -> None:
        """Otherwise others would wait while this process lives, which can write nothing more."""
        one, other = open_cache(path), open_cache(path)
        one.lease([b"k"], 1)
        assert other.lease([b"k"], 1) == []
        with pytest.warns(UserWarning, match=GIVEN_UP + "disk I/O error"), one.guard:
            self.fail()
        one.release([b"k"])
        assert other.lease([b"k"], 1) == [b"k"]

    @staticmethod
    def fail() -> None:
        raise sqlite3.OperationalError("disk I/O error")

    def test_no_notes_pile_up(self, tmp_path: Path) -> None:
        one = open_cache(tmp_path)
        with pytest.warns(UserWarning, match=GIVEN_UP):
            one.read([b"k"])
        for _ in range(10):
            one.note([b"k"], hits=1)
            one.write({b"k": b"data"}, encoded=1)
        assert not one._notes

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, AssertionError])
    def test_an_interrupt_or_a_mistake_of_ours_is_not_swallowed(
        self, error: type[BaseException], path: Path
    ) -> None:
        one = open_cache(path)

        def fail() -> None:
            raise error

        with pytest.raises(error), one.guard:
            fail()
        assert not one.is_broken
