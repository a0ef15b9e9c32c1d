"""Tests of models/store/sqlite.py."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bertvectorizer.errors import StoreError
from bertvectorizer.models.store.private_files import SIDE_FILES
from bertvectorizer.models.store.sqlite import Database, OtherFormatError, is_ours, journal_mode
from tests.processes import run_python

MODES = ["WAL", "TRUNCATE"]
NOBODY = 65534

needs_posix = pytest.mark.skipif(
    not hasattr(os, "getuid"), reason="owners and modes of files are POSIX's"
)
needs_root = pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0,
    reason="only root can give a file away or be somebody else",
)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of writing, whatever this machine's SQLite would be trusted with."""
    name: str = request.param
    monkeypatch.setattr("bertvectorizer.models.store.sqlite.journal_mode", lambda _version: name)
    return name


@pytest.fixture
def database(tmp_path: Path, mode: str) -> Database:
    return Database(tmp_path / "private" / "store.sqlite", durable=False)


def key(number: int) -> bytes:
    return number.to_bytes(4, "big")


def write(database: Database, *keys: bytes, data: bytes = b"data") -> None:
    database.write(dict.fromkeys(keys, data), [], {})


class TestRecords:
    def test_what_was_written_is_read(self, database: Database) -> None:
        database.write({b"k": b"one", b"l": b"two"}, [], {})
        assert database.read([b"k", b"l", b"m"]) == {b"k": b"one", b"l": b"two"}
        assert database.read([]) == {}
        assert sorted(database.keys()) == [b"k", b"l"]
        assert database.n_records() == 2

    def test_the_last_one_written_counts(self, database: Database) -> None:
        write(database, b"k", data=b"one")
        write(database, b"k", data=b"two")
        assert database.read([b"k"]) == {b"k": b"two"}
        assert database.n_records() == 1

    def test_what_was_dropped_is_gone(self, database: Database) -> None:
        write(database, b"k", b"l")
        database.drop([b"k", b"unknown"])
        assert database.keys() == [b"l"]

    def test_more_keys_than_a_query_takes(self, database: Database) -> None:
        records = {key(number): b"%d" % number for number in range(40_000)}
        database.write(records, [], {})
        assert database.read(list(records)) == records
        database.write({}, list(records), {})
        database.drop(list(records))
        assert database.n_records() == 0

    def test_another_instance_reads_it_later(self, database: Database) -> None:
        write(database, b"k")
        assert Database(database.path).read([b"k"]) == {b"k": b"data"}

    def test_what_lies_under_the_key_of_another_record_is_not_believed(
        self, database: Database
    ) -> None:
        write(database, b"k", b"l")
        database.connection().execute(
            "UPDATE records SET data = (SELECT data FROM records WHERE key = ?) WHERE key = ?",
            (b"l", b"k"),
        )
        assert database.read([b"k", b"l"]) == {b"k": b"", b"l": b"data"}

    @pytest.mark.parametrize("value", ["text", 3, 2.5])
    def test_nor_is_what_is_no_bytes(self, database: Database, value: object) -> None:
        write(database, b"k")
        database.connection().execute("UPDATE records SET data = ?", (value,))
        assert database.read([b"k"]) == {b"k": b""}

    def test_an_error_undoes_all_of_a_transaction(self, database: Database) -> None:
        write(database, b"k")

        def fail() -> None:
            with database.transaction() as connection:
                connection.execute("DELETE FROM records")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert database.read([b"k"])
        write(database, b"l")

    def test_a_sound_file_has_nothing_wrong_with_it(self, database: Database) -> None:
        write(database, *map(key, range(100)), data=bytes(5000))
        assert database.check() == []

    def test_a_file_with_a_spoilt_page_has(self, tmp_path: Path) -> None:
        database = Database(tmp_path / "store.sqlite")
        write(database, *map(key, range(200)), data=bytes(5000))
        database.connection().close()
        content = bytearray(database.path.read_bytes())
        content[3 * 16384 : 20 * 16384] = os.urandom(17 * 16384)
        database.path.write_bytes(content)
        try:
            found = Database(database.path).check()
        except sqlite3.DatabaseError as error:
            found = [str(error)]
        assert found


class TestCounters:
    def test_they_add_up_over_instances(self, database: Database) -> None:
        database.write({b"k": b"one"}, [], {"encoded": 2, "seconds": 0.25})
        Database(database.path).write({}, [], {"encoded": 1})
        assert database.counters() == {"encoded": 3, "seconds": 0.25}

    def test_they_are_exact_where_many_threads_write(self, database: Database) -> None:
        with ThreadPoolExecutor(8) as pool:
            for number in range(80):
                pool.submit(database.write, {key(number): b"data"}, [], {"encoded": 1})
        assert database.counters() == {"encoded": 80}
        assert database.n_records() == 80


class TestSize:
    def fill(self, database: Database, n: int = 200) -> None:
        for start in range(0, n, 20):
            database.write(
                {key(number): os.urandom(10_000) for number in range(start, start + 20)}, [], {}
            )

    def test_a_file_within_its_limit_is_left_alone(self, database: Database) -> None:
        self.fill(database)
        assert database.evict(database.size()) == 0
        assert database.n_records() == 200

    @pytest.mark.parametrize("max_bytes", [300_000, 1_000_000])
    def test_the_file_shrinks_below_its_limit(self, database: Database, max_bytes: int) -> None:
        self.fill(database)
        n_evicted = database.evict(max_bytes)
        assert os.stat(database.path).st_size <= max_bytes
        assert database.size() == os.stat(database.path).st_size
        assert database.n_records() == 200 - n_evicted
        assert (
            database.n_records() > 0.9 * max_bytes / 16384 - 10
        )  # a record takes a page, and ten are for everything else
        assert database.check() == []

    def test_the_least_recently_used_go_first(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = iter(range(1_000_000))
        monkeypatch.setattr("bertvectorizer.models.store.sqlite._now", lambda: next(clock))
        self.fill(database)
        database.write({}, [key(0), key(7)], {})
        n_evicted = database.evict(1_000_000)
        expected = {key(0), key(7), *(key(number) for number in range(n_evicted + 2, 200))}
        assert set(database.keys()) == expected

    def test_pages_that_others_left_empty_are_given_back(self, database: Database) -> None:
        self.fill(database)
        database.drop([key(number) for number in range(190)])
        database.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        assert os.stat(database.path).st_size > 1_000_000
        assert database.evict(500_000) == 0
        assert os.stat(database.path).st_size <= 500_000
        assert database.n_records() == 10

    def test_a_limit_smaller_than_an_empty_file_leaves_nothing_and_ends(
        self, database: Database
    ) -> None:
        self.fill(database, 20)
        assert database.evict(1) == 20
        assert database.n_records() == 0
        assert database.evict(1) == 0

    def test_clear_gives_the_space_back(self, database: Database) -> None:
        write(database, b"k")
        small = os.stat(database.path).st_size
        self.fill(database)
        database.write({}, [], {"encoded": 100})
        with database.transaction() as connection:
            connection.execute("INSERT INTO claims VALUES (?, ?)", (b"k", "somebody"))
        database.clear()
        assert (database.n_records(), database.counters()) == (0, {})
        assert database.connection().execute("SELECT count(*) FROM claims").fetchone() == (0,)
        assert os.stat(database.path).st_size <= max(small, 8 * 16384)

    def test_another_one_who_reads_is_no_hindrance(self, database: Database) -> None:
        self.fill(database)
        other = Database(database.path)
        assert len(other.read([key(number) for number in range(200)])) == 200
        database.evict(500_000)
        assert os.stat(database.path).st_size <= 500_000
        assert set(other.read([key(number) for number in range(200)])) == set(database.keys())


@needs_posix
class TestPrivacy:
    def test_directory_and_file_are_the_owner_s_from_the_first_moment(
        self, database: Database
    ) -> None:
        before = os.umask(0)
        try:
            write(database, b"k")
        finally:
            os.umask(before)
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode)
            for path in (database.path.parent, *database.path.parent.iterdir())
        }
        assert modes.pop("private") == 0o700
        assert set(modes.values()) == {0o600}

    def test_a_file_that_everyone_can_write_is_refused(self, database: Database) -> None:
        write(database, b"k")
        database.path.chmod(0o666)
        with pytest.raises(
            StoreError, match=r"can be written by every user; run: chmod o-w '.*store\.sqlite'"
        ):
            Database(database.path).read([b"k"])

    def test_a_directory_that_everyone_can_write_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o777)
        with pytest.raises(StoreError, match=r"'.*open' can be written by every user"):
            Database(tmp_path / "open" / "store.sqlite").read([b"k"])
        assert not list((tmp_path / "open").iterdir())

    def test_but_not_where_everyone_can_remove_his_own_files_only(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o1777)
        write(Database(tmp_path / "store.sqlite"), b"k")
        assert stat.S_IMODE((tmp_path / "store.sqlite").stat().st_mode) == 0o600

    @pytest.mark.parametrize("directory_mode", [0o1777, 0o775])
    def test_no_write_ahead_log_where_others_may_make_one(
        self, database: Database, directory_mode: int
    ) -> None:
        write(database, b"k")
        database.connection().close()
        database.path.parent.chmod(directory_mode)
        again = Database(database.path)
        assert again.read([b"k"]) == {b"k": b"data"}
        assert again.connection().execute("PRAGMA journal_mode").fetchone() == ("truncate",)
        names = {path.name for path in database.path.parent.iterdir()}
        assert names == {f"store.sqlite{suffix}" for suffix in ("", *SIDE_FILES)}

    def test_a_log_that_is_in_use_there_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "store.sqlite"
        write(Database(path), b"k")
        tmp_path.chmod(0o1777)
        other = sqlite3.connect(path)
        assert other.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
        other.execute("SELECT * FROM records").fetchall()
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            Database(path).read([b"k"])
        other.close()

    @needs_root
    def test_another_user_s_log_is_never_read(self, tmp_path: Path) -> None:
        """SQLite would take its pages for those of the store, and our checksums are right there."""
        forged = tmp_path / "forged.sqlite"
        write(Database(forged), b"k", data=b"true")
        path = tmp_path / "shared" / "store.sqlite"
        path.parent.mkdir()
        shutil.copy(forged, path)
        path.chmod(0o600)
        path.parent.chmod(0o1777)
        writer = sqlite3.connect(forged)
        writer.execute("PRAGMA journal_mode = WAL").fetchall()
        writer.execute("UPDATE records SET data = ?", (b"kforged",))
        writer.commit()
        shutil.copy(f"{forged}-wal", f"{path}-wal")
        writer.close()
        os.chown(f"{path}-wal", NOBODY, -1)
        with pytest.raises(StoreError, match="belongs to another user"):
            Database(path).read([b"k"])
        os.unlink(f"{path}-wal")
        assert Database(path).read([b"k"]) == {b"k": b"true"}

    @needs_root
    @pytest.mark.parametrize("name", ["", "store.sqlite"])
    def test_what_belongs_to_somebody_else_is_refused(self, database: Database, name: str) -> None:
        write(database, b"k")
        os.chown(database.path.parent / name, NOBODY, -1)
        with pytest.raises(StoreError, match=rf"belongs to another user \(uid {NOBODY}\)"):
            Database(database.path).read([b"k"])

    def test_a_directory_as_the_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="is not a file"):
            Database(tmp_path).read([b"k"])

    def test_a_link_to_nowhere_makes_no_file_there(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "target")
        with pytest.raises(OSError, match="link"):
            Database(tmp_path / "link").read([b"k"])
        assert not (tmp_path / "target").exists()

    def test_a_link_to_a_directory_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "directory").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "directory")
        with pytest.raises(StoreError, match="is not a file"):
            Database(tmp_path / "link").read([b"k"])

    @needs_root
    def test_a_link_to_a_file_of_somebody_else_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "target").write_bytes(b"")
        os.chown(tmp_path / "target", NOBODY, -1)
        (tmp_path / "link").symlink_to(tmp_path / "target")
        with pytest.raises(StoreError, match="belongs to another user"):
            Database(tmp_path / "link").read([b"k"])
        assert (tmp_path / "target").read_bytes() == b""


def foreign(path: Path, *statements: str) -> None:
    other = sqlite3.connect(path)
    for statement in statements:
        other.execute(statement)
    other.commit()
    other.close()


FOREIGN = {
    "a database": ["CREATE TABLE precious (x)"],
    "one that is written ahead": ["PRAGMA journal_mode = WAL", "CREATE TABLE precious (x)"],
    "one that is vacuumed": ["PRAGMA auto_vacuum = FULL", "CREATE TABLE precious (x)"],
    "one without tables": ["PRAGMA application_id = 77"],
    "one with tables of the same names": [
        "CREATE TABLE records (key, used, size, data)",
        "PRAGMA user_version = 1",
    ],
}


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
CHANGED = {
    "a trigger": [
        "CREATE TRIGGER t AFTER INSERT ON records BEGIN UPDATE records SET data = ''; END"
    ],
    "an endless view": [
        "DROP TABLE records",
        f"CREATE VIEW records AS {ENDLESS} SELECT x AS key, x AS used, x AS size, x AS data FROM c",
    ],
    "one more table": ["CREATE TABLE more (x)"],
    "one more index": ["CREATE INDEX more ON records (data)"],
    "a missing index": ["DROP INDEX records_used"],
    "a missing table": ["DROP TABLE claims"],
    "other columns": [
        "DROP TABLE counters",
        "CREATE TABLE counters (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID",
    ],
    "a computed column": ["ALTER TABLE records ADD COLUMN more AS (length(data))"],
}


class TestWhatIsNoneOfOurs:
    @pytest.mark.parametrize("kind", FOREIGN)
    @pytest.mark.usefixtures("mode")
    def test_a_database_of_something_else_is_refused_and_left_as_it_was(
        self, kind: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "other.sqlite"
        foreign(path, *FOREIGN[kind])
        path.chmod(0o600)
        content = path.read_bytes()
        with pytest.raises(
            StoreError,
            match=r"'.*other\.sqlite' is a database of something else\. Choose another path",
        ):
            Database(path).read([b"k"])
        assert path.read_bytes() == content
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.usefixtures("mode")
    @pytest.mark.parametrize(
        "content", [b"a letter" * 1000, b"hi", b"SQLite format 3\0" + bytes(84)]
    )
    def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(
        self, tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / "letter.txt"
        path.write_bytes(content)
        with pytest.raises(sqlite3.DatabaseError):
            Database(path).read([b"k"])
        assert path.read_bytes() == content

    def test_a_newer_format_is_refused_and_left_as_it_was(self, database: Database) -> None:
        write(database, b"k")
        database.connection().execute("PRAGMA user_version = 99")
        database.connection().close()
        content = database.path.read_bytes()
        with pytest.raises(
            StoreError,
            match=(
                r"has format 99, and this release knows format 1\. .* bertvectorizer store clear"
                r" '.*'"
            ),
        ):
            Database(database.path).read([b"k"])
        assert database.path.read_bytes() == content

    @pytest.mark.parametrize("kind", CHANGED)
    def test_other_tables_than_ours_are_refused_and_left_as_they_were(
        self, database: Database, kind: str
    ) -> None:
        write(database, b"k")
        database.connection().close()
        foreign(database.path, *CHANGED[kind])
        content = database.path.read_bytes()
        with pytest.raises(
            OtherFormatError,
            match=r"has other tables than this release makes\. .* bertvectorizer store clear '.*'",
        ):
            Database(database.path).read([b"k"])
        assert database.path.read_bytes() == content

    def test_a_store_is_known_by_its_first_bytes_whatever_became_of_the_rest(
        self, database: Database, tmp_path: Path
    ) -> None:
        write(database, b"k")
        database.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        content = database.path.read_bytes()
        for damaged in (content, content[:100], content[:100] + os.urandom(5000), b""):
            (tmp_path / "damaged").write_bytes(damaged)
            assert is_ours(tmp_path / "damaged")
        for other in (b"a letter" * 100, b"x", content[:60], content[:68] + bytes(32)):
            (tmp_path / "other").write_bytes(other)
            assert not is_ours(tmp_path / "other")

    def test_an_empty_file_becomes_a_store(self, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        write(Database(tmp_path / "empty"), b"k")
        assert Database(tmp_path / "empty").keys() == [b"k"]


class TestSettings:
    @pytest.mark.parametrize(
        ("version", "expected"),
        [
            ((3, 7, 0), "TRUNCATE"),
            ((3, 40, 1), "TRUNCATE"),
            ((3, 44, 5), "TRUNCATE"),
            ((3, 44, 6), "WAL"),
            ((3, 45, 0), "TRUNCATE"),
            ((3, 50, 6), "TRUNCATE"),
            ((3, 50, 7), "WAL"),
            ((3, 51, 0), "TRUNCATE"),
            ((3, 51, 2), "TRUNCATE"),
            ((3, 51, 3), "WAL"),
            ((3, 52, 0), "WAL"),
            ((4, 0, 0), "WAL"),
        ],
    )
    def test_write_ahead_only_where_its_corruption_race_is_mended(
        self, version: tuple[int, int, int], expected: str
    ) -> None:
        assert journal_mode(version) == expected

    def test_the_mode_is_in_force(self, database: Database, mode: str) -> None:
        write(database, b"k")
        assert database.connection().execute("PRAGMA journal_mode").fetchone() == (mode.lower(),)

    @pytest.mark.parametrize(("durable", "expected"), [(True, 2), (False, 0)])
    def test_durable_waits_for_the_disk(self, tmp_path: Path, durable: bool, expected: int) -> None:
        database = Database(tmp_path / "store.sqlite", durable)
        assert database.connection().execute("PRAGMA synchronous").fetchone() == (expected,)

    def test_a_directory_is_made_with_all_above_it(self, tmp_path: Path) -> None:
        database = Database(tmp_path / "a" / "b" / "store.sqlite")
        write(database, b"k")
        assert database.path.is_file()

    def test_nothing_is_made_before_it_is_needed(self, tmp_path: Path) -> None:
        Database(tmp_path / "private" / "store.sqlite")
        assert not list(tmp_path.iterdir())


class TestManyAtOnce:
    def test_eight_threads(self, database: Database) -> None:
        def work(worker: int) -> bool:
            right = True
            for number in range(10):
                mine = key(100 * worker + number)
                database.write({mine: mine, b"shared": mine}, [mine], {"writes": 1})
                found = database.read([mine, b"shared"])
                right &= found[mine] == mine and len(found[b"shared"]) == 4
            return right

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(work, range(8))) == [True] * 8
        assert database.n_records() == 81
        assert database.counters() == {"writes": 80}

    def test_every_thread_has_a_connection_of_its_own(self, database: Database) -> None:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(database.connection).result() is not database.connection()
        assert database.connection() is database.connection()

    @pytest.fixture
    def writing(self, database: Database) -> Iterator[Callable[[], None]]:
        """An open transaction with writes in another thread, which ends on a signal."""
        write(database, b"k", data=b"old")
        begun, may_end = threading.Event(), threading.Event()

        def work() -> None:
            with database.transaction() as connection:
                connection.execute("UPDATE records SET data = ?", (b"knew",))  # beside its key
                begun.set()
                assert may_end.wait()

        with ThreadPoolExecutor(1) as pool:
            written = pool.submit(work)
            assert begun.wait()

            def end() -> None:
                may_end.set()
                written.result()

            yield end
            may_end.set()

    def test_a_reader_does_not_wait_for_a_writer_and_sees_what_was_before(
        self, database: Database, writing: Callable[[], None]
    ) -> None:
        assert database.read([b"k"]) == {b"k": b"old"}
        writing()
        assert database.read([b"k"]) == {b"k": b"new"}

    def test_nor_does_one_who_opens_the_file_only_then(
        self, database: Database, writing: Callable[[], None]
    ) -> None:
        late = Database(database.path)
        assert late.read([b"k"]) == {b"k": b"old"}
        writing()
        assert late.read([b"k"]) == {b"k": b"new"}

    @pytest.mark.parametrize("name", MODES)
    def test_eight_processes_that_open_a_new_file_at_once(
        self, name: str, tmp_path: Path, run_at_once: Callable[..., list[str]]
    ) -> None:
        program = (
            "import os, sys\n"
            "from pathlib import Path\n"
            "from bertvectorizer.models.store import sqlite as database\n"
            "database.journal_mode = lambda version: sys.argv[2]\n"
            "directory, worker = Path(sys.argv[1]), sys.argv[3].encode()\n"
            "print('ready', flush=True)\n"
            "sys.stdin.readline()\n"
            "file = database.Database(directory / 'new' / 'store.sqlite', durable=False)\n"
            "for number in range(10):\n"
            "    file.write({worker + b'%d' % number: worker}, [], {'writes': 1})\n"
            "assert file.read([worker + b'9'])\n"
        )
        run_at_once(program, [(tmp_path, name, number) for number in range(8)])
        database = Database(tmp_path / "new" / "store.sqlite")
        assert database.n_records() == 80
        assert database.counters() == {"writes": 80}
        assert database.check() == []


FORK = (
    "import os, sqlite3, sys\n"
    "from pathlib import Path\n"
    "from bertvectorizer.models.store import sqlite as database\n"
    "database.journal_mode = lambda version: sys.argv[2]\n"
    "file = database.Database(Path(sys.argv[1]) / 'store.sqlite')\n"
    "def write(key):\n"
    "    file.write({key: b'data'}, [], {'writes': 1})\n"
    "def in_a_fork(work):\n"
    "    child = os.fork()\n"
    "    if child == 0:\n"
    "        try:\n"
    "            work()\n"
    "        except BaseException as error:\n"
    "            print(repr(error), flush=True)\n"
    "            os._exit(1)\n"
    "        os._exit(0)\n"
    "    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")
@pytest.mark.parametrize("name", MODES)
class TestFork:
    def test_a_fork_opens_a_connection_of_its_own(self, name: str, tmp_path: Path) -> None:
        program = (
            FORK + "write(b'parent')\n"
            "theirs = file.connection()\n"
            "def work():\n"
            "    assert file.connection() is not theirs\n"
            "    assert file.connection() is file.connection()\n"
            "    assert file.read([b'parent'])\n"
            "    write(b'child')\n"
            "assert in_a_fork(work) == 0\n"
            "assert in_a_fork(lambda: in_a_fork(lambda: write(b'grandchild'))) == 0\n"
            "write(b'parent again')\n"
            "print(sorted(file.keys()), file.counters(), file.check())\n"
        )
        expected = (
            f"{sorted([b'child', b'grandchild', b'parent', b'parent again'])} {{'writes': 4.0}}"
            " []\n"
        )
        assert run_python(program, tmp_path, name) == expected

    def test_a_fork_s_end_does_not_end_the_parent_s_transaction(
        self, name: str, tmp_path: Path
    ) -> None:
        """POSIX drops a process's file locks with the first descriptor closed; forks differ."""
        program = (
            FORK + "write(b'k')\n"
            "def work():\n"
            "    file.read([b'k'])\n"
            "    try:\n"
            "        sqlite3.connect(file.path, timeout=0).execute('BEGIN IMMEDIATE')\n"
            "    except sqlite3.OperationalError as error:\n"
            "        print(error, flush=True)\n"
            "with file.transaction() as connection:\n"
            "    connection.execute('DELETE FROM counters')\n"
            "    assert in_a_fork(work) == 0\n"
            "    assert in_a_fork(work) == 0\n"
            "print(file.counters())\n"
        )
        assert run_python(program, tmp_path, name) == "database is locked\ndatabase is locked\n{}\n"
