"""Tests of models/word_vectors/disk_cache.py."""

from __future__ import annotations

import json
import os
import pickle
import signal
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from numpy.typing import NDArray

from bertvectorizer import WordVectors, load_word_vectors
from bertvectorizer.errors import ModelIntegrityError, ModelNotFoundError, StoreError
from bertvectorizer.models.word_vectors import disk_cache as word_table
from bertvectorizer.models.word_vectors.disk_cache import (
    cached_table,
    file_digest,
    tables_directory,
)
from tests.files import forget_tables, rewrite
from tests.processes import Process, run_python

WORDS = ["tea", "日本", '"q', "\ud800", "\u2028"]
VECTORS = np.arange(10, dtype=np.float32).reshape(5, 2)
KEY = "0123456789abcdef" * 2
DAY_NS = 86_400 * 10**9


class Source:
    """A table in two blocks that counts how often it is read."""

    def __init__(self) -> None:
        self.n_times = 0

    def __call__(self) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        self.n_times += 1
        yield WORDS[:3], VECTORS[:3]
        yield WORDS[3:], np.asfortranarray(VECTORS[3:])

    def kept(self, key: str = KEY, *where: str) -> WordVectors:
        return cached_table(key, (opened_again, where or ("here",)), self)

    def kept_anew(self) -> WordVectors:
        forget_tables()
        return self.kept()


def opened_again(*_: str) -> WordVectors:
    raise AssertionError("nothing is opened here")


@pytest.fixture
def source() -> Source:
    return Source()


def assert_whole(table: WordVectors) -> None:
    assert table.words == WORDS
    np.testing.assert_array_equal(table.vectors, VECTORS)


def is_mapped(table: WordVectors) -> bool:
    base: Any = table.vectors
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    return base is not None


def names() -> list[str]:
    return sorted(path.name for path in tables_directory().iterdir())


@pytest.fixture
def a_day_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The change time of a file cannot be set back, so the clock goes ahead."""
    now = time.time_ns
    monkeypatch.setattr(word_table.time, "time_ns", lambda: now() + DAY_NS)


@pytest.fixture
def n_parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that have been parsed in this process."""
    from bertvectorizer.models.word_vectors import loading as word_sources

    seen: list[str] = []
    read = word_sources.read_blocks

    def read_blocks(found: Any, faults: Any) -> Any:
        seen.append(found.path.name)
        return read(found, faults)

    monkeypatch.setattr(word_sources, "read_blocks", read_blocks)
    return seen


class TestKept:
    def test_made_once_and_mapped(self, source: Source) -> None:
        tables = [source.kept(), source.kept(), source.kept_anew(), source.kept_anew()]
        assert source.n_times == 1
        assert tables[0] is tables[1]
        for table in tables:
            assert_whole(table)
            assert is_mapped(table)
            assert table.fingerprint == KEY
            assert not table.vectors.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            tables[0].vectors[0, 0] = 1

    def test_nothing_else_is_left_in_the_directory(self, source: Source) -> None:
        source.kept()
        assert names() in ([KEY], [KEY, f"{KEY}.lock"])
        assert sorted(path.name for path in (tables_directory() / KEY).iterdir()) == [
            "facts.json",
            "vectors.f32",
            "words.json",
        ]

    def test_few_tables_are_open(self, source: Source) -> None:
        for number in range(10):
            source.kept(f"{number:032x}")
        assert len(word_table._open_tables) == word_table._MAX_OPEN
        assert source.n_times == 10
        source.kept(f"{0:032x}")
        assert source.n_times == 10

    def test_the_same_content_at_another_path_is_opened_from_there(self, source: Source) -> None:
        one, other = source.kept(KEY, "one"), source.kept(KEY, "other")
        assert source.n_times == 1
        assert (one.__reduce__()[1], other.__reduce__()[1]) == (("one",), ("other",))

    def test_an_error_of_the_source_leaves_nothing(self) -> None:
        def blocks() -> Iterator[tuple[list[str], NDArray[np.float32]]]:
            yield WORDS, VECTORS
            raise ModelIntegrityError("line 6")

        for _ in range(2):
            with pytest.raises(ModelIntegrityError, match="line 6"):
                cached_table(KEY, (opened_again, ()), blocks)
        assert names() in ([], [f"{KEY}.lock"])

    def test_threads_make_it_once(self, source: Source) -> None:
        with ThreadPoolExecutor(8) as pool:
            for table in pool.map(lambda _: source.kept(), range(16)):
                assert_whole(table)
        assert source.n_times == 1

    @pytest.mark.parametrize("name", ["facts.json", "words.json", "vectors.f32"])
    @pytest.mark.parametrize("damage", ["gone", "empty", "cut", "longer", "garbage", "directory"])
    def test_damaged_files_are_made_anew(self, name: str, damage: str, source: Source) -> None:
        source.kept()
        path = tables_directory() / KEY / name
        content = path.read_bytes()
        path.unlink()
        if damage == "directory":
            path.mkdir()
        elif damage != "gone":
            path.write_bytes(
                {
                    "empty": b"",
                    "cut": content[:-1],
                    "longer": content + b"]",
                    "garbage": b"\xff" * 7,
                }[damage]
            )
        with pytest.warns(UserWarning, match=f"{KEY}' are damaged: .* made anew from their source"):
            assert_whole(source.kept_anew())
        assert source.n_times == 2
        assert_whole(source.kept_anew())
        assert source.n_times == 2

    @pytest.mark.parametrize(
        "facts",
        [
            [],
            "x",
            3,
            {},
            {"digest": 3},
            {"digest": "", "n_words": None, "n_dims": 2},
            {"digest": "", "n_words": 5, "n_dims": 2},
            {"digest": "", "n_words": 5, "n_dims": 1e400},
        ],
    )
    def test_facts_that_are_none(self, facts: Any, source: Source) -> None:
        source.kept()
        (tables_directory() / KEY / "facts.json").write_text(json.dumps(facts))
        with pytest.warns(UserWarning, match="are damaged"):
            assert_whole(source.kept_anew())
        assert source.n_times == 2

    def test_one_without_digests_is_of_an_earlier_version(self, source: Source) -> None:
        source.kept()
        facts = tables_directory() / KEY / "facts.json"
        facts.write_text(json.dumps({"n_words": 5, "n_dims": 2}))
        assert_whole(source.kept_anew())
        assert source.n_times == 2
        assert "digest" in json.loads(facts.read_bytes())

    def test_subwords_are_made_of_the_table(self, source: Source) -> None:
        seen = []

        def subwords(words: list[str], vectors: Any) -> Any:
            seen.append((words, vectors.tolist()))
            return "subwords"

        assert cached_table(KEY, (opened_again, ()), source, subwords).subwords == "subwords"  # type: ignore[comparison-overlap]
        assert seen == [(WORDS, VECTORS.tolist())]


class TestDigests:
    """No number of a table that is kept is served unless it is the one that was written."""

    @pytest.fixture(autouse=True)
    def small_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(word_table, "_BLOCK_BYTES", 16)  # two rows; the last has one

    @pytest.mark.parametrize("name", ["facts.json", "words.json", "vectors.f32"])
    def test_every_flipped_bit_is_noticed(self, name: str, source: Source) -> None:
        source.kept()
        path = tables_directory() / KEY / name
        whole = path.read_bytes()
        for byte in range(len(whole)):
            spoilt = bytearray(whole)
            spoilt[byte] ^= 1 << byte % 8
            path.write_bytes(spoilt)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                assert_whole(source.kept_anew())
            # A name of "digest" that is spoilt may stand for an earlier version.
            assert len(caught) == 1 or name == "facts.json"
            assert path.read_bytes() == whole

    @pytest.mark.parametrize("row", range(5))
    def test_vectors_are_compared_when_they_are_read(self, row: int, source: Source) -> None:
        source.kept()
        path = tables_directory() / KEY / "vectors.f32"
        spoilt = bytearray(path.read_bytes())
        spoilt[8 * row] ^= 1
        path.write_bytes(spoilt)
        table = source.kept_anew()
        for other in range(5):
            if other // 2 != row // 2:
                np.testing.assert_array_equal(table[WORDS[other]], VECTORS[other])
        assert source.n_times == 1
        with pytest.warns(UserWarning, match=f"block {row // 2} of vectors.f32 differs"):
            np.testing.assert_array_equal(table[WORDS[row]], VECTORS[row])
        assert source.n_times == 2
        assert_whole(table)
        assert is_mapped(table)
        assert_whole(source.kept_anew())

    def test_one_process_makes_it_anew_for_all(self, source: Source) -> None:
        source.kept()
        path = tables_directory() / KEY / "vectors.f32"
        path.write_bytes(bytes(40))
        forget_tables()
        tables = [source.kept(KEY, "one"), source.kept(KEY, "other")]
        with pytest.warns(UserWarning, match="are damaged") as caught:
            vectors = [table.vectors for table in tables]
        assert len(caught) == 1
        for found in vectors:
            np.testing.assert_array_equal(found, VECTORS)
        assert source.n_times == 2

    def test_a_disk_that_damages_whatever_is_written(
        self, source: Source, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Forgetful(word_table._Digests):
            def add(self, vectors: NDArray[np.float32]) -> None:
                super().add(vectors + 1)

        monkeypatch.setattr(word_table, "_Digests", Forgetful)
        with pytest.warns(UserWarning, match="cannot be read although it was written"):
            table = source.kept()
        assert_whole(table)
        assert not is_mapped(table)

    def test_a_damaged_table_whose_file_is_gone(self, tmp_path: Path) -> None:
        file = tmp_path / "v.txt"
        file.write_text("tea 1 2\ncup 3 4\n")
        table = load_word_vectors(file)
        forget_tables()
        (vectors,) = tables_directory().glob("*/vectors.f32")
        vectors.write_bytes(bytes(16))
        table = load_word_vectors(file)
        file.unlink()
        with (
            pytest.warns(UserWarning, match="are damaged"),
            pytest.raises(ModelNotFoundError, match=f"There is no file '{file}'"),
        ):
            table["tea"]

    @pytest.mark.usefixtures("a_day_later")
    def test_the_digest_of_a_file_has_one_of_its_own(self, tmp_path: Path) -> None:
        file = tmp_path / "v"
        file.write_bytes(b"a")
        before = file_digest(file)
        (note,) = tables_directory().glob("*.digest")
        kept = note.read_text()
        for position in range(len(kept)):
            note.write_text(kept[:position] + "x" + kept[position + 1 :])
            forget_tables()
            assert file_digest(file) == before


class TestDisk:
    def test_a_directory_that_cannot_be_made(
        self, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from huggingface_hub import constants

        (tmp_path / "file").write_text("in the way")
        monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "file" / "below"))
        with pytest.warns(
            UserWarning,
            match=r"cannot be cached in '.*file.below.*', so they are read into memory: .*\.$",
        ) as caught:
            table = source.kept()
        assert len(caught) == 1
        assert_whole(table)
        assert not is_mapped(table)
        assert not table.vectors.flags.writeable
        assert source.kept() is table  # without another warning
        assert source.n_times == 1

    @pytest.mark.parametrize("n_rows", [300_000, 3_000_000])
    def test_a_full_disk(
        self, n_rows: int, small_disk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(small_disk))
        vectors = np.arange(n_rows, dtype=np.float32).reshape(-1, 100)

        def blocks() -> Iterator[tuple[list[str], NDArray[np.float32]]]:
            for start in range(0, len(vectors), 7):
                yield (
                    [f"w{row}" for row in range(start, min(start + 7, len(vectors)))],
                    vectors[start : start + 7],
                )

        with pytest.warns(
            UserWarning, match="cannot be cached in .*No space left on device"
        ) as caught:
            table = cached_table(KEY, (opened_again, ()), blocks)
        assert len(caught) == 1
        np.testing.assert_array_equal(table.vectors, vectors)
        assert names() in ([], [f"{KEY}.lock"])

    def test_a_disk_without_room_for_the_words_alone(
        self, small_disk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(small_disk))
        words = [f"{row:01000d}" for row in range(1500)]
        vectors = np.ones((1500, 2), dtype=np.float32)
        with pytest.warns(UserWarning, match="No space left on device"):
            table = cached_table(KEY, (opened_again, ()), lambda: [(words, vectors)])
        assert table.words == words
        assert names() in ([], [f"{KEY}.lock"])

    def test_what_cannot_be_read_although_it_was_written(
        self, source: Source, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(word_table, "_open", lambda _directory, is_whole=False: None)
        with pytest.warns(UserWarning, match="cannot be read although it was written"):
            assert_whole(source.kept())

    def test_store_errors_are_os_errors(self) -> None:
        assert issubclass(StoreError, OSError)


MAKER = """
import sys, time
from pathlib import Path
import numpy as np
from bertvectorizer.models.word_vectors.disk_cache import cached_table

count, stop_at, sleep = Path(sys.argv[1]), int(sys.argv[2]), time.sleep

def sleep_aloud(seconds):  # for the lock, which another process holds
    print("waits", flush=True)
    time.sleep = sleep
    sleep(seconds)

def blocks():
    with open(count, "a") as file:
        file.write("x")
    for start in range(0, 50_000, 1000):
        if start == stop_at:
            print("stopped", flush=True)
            input()
        words = [f"w{row}" for row in range(start, start + 1000)]
        yield words, np.full((1000, 20), start, dtype=np.float32)

time.sleep = sleep_aloud
table = cached_table("k" * 32, (print, ()), blocks)
assert len(table) == 50_000 and table.vectors[-1, 0] == 49_000
print(len(table))
"""


def start_maker(count: Path, stop_at: int = -1) -> Process:
    return Process("-W", "error", "-c", MAKER, count, stop_at)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
class TestProcesses:
    def test_several_at_once_make_it_once(self, tmp_path: Path) -> None:
        with ExitStack() as stack:
            first = stack.enter_context(start_maker(tmp_path / "count", 10_000))
            assert first.read_line() == "stopped"
            others = [stack.enter_context(start_maker(tmp_path / "count")) for _ in range(2)]
            assert [other.read_line() for other in others] == ["waits"] * 2
            first.go_on()
            assert [maker.finish() for maker in (first, *others)] == ["50000\n"] * 3
        assert (tmp_path / "count").read_text() == "x"

    @pytest.mark.parametrize("n_rows", [0, 10_000])
    def test_what_a_killed_one_leaves_is_no_table(self, n_rows: int, tmp_path: Path) -> None:
        with start_maker(tmp_path / "count", n_rows) as maker:
            assert maker.read_line() == "stopped"
            (vectors,) = tables_directory().glob("*/vectors.f32")
            assert (vectors.stat().st_size > 0) == (n_rows > 0)
            with start_maker(tmp_path / "count") as waiting:
                assert waiting.read_line() == "waits"
                maker.kill()
                assert maker.finish(expect=-signal.SIGKILL) == ""
                assert waiting.finish() == "50000\n"
        assert (tmp_path / "count").read_text() == "xx"
        assert [path.name for path in tables_directory().iterdir() if path.is_dir()] == ["k" * 32]

    def test_another_process_opens_it_unparsed(self, tmp_path: Path) -> None:
        file = tmp_path / "v.txt"
        file.write_text("tea 1 2\ncup 3 4\n")
        load_word_vectors(file)
        code = """
import sys
import bertvectorizer.models.word_vectors.loading as sources
sources.read_blocks = None
table = sources.load_word_vectors(sys.argv[1])
print(table["cup"].tolist(), type(table.vectors.base).__name__)
"""
        assert run_python(code, file) == "[3.0, 4.0] memmap\n"

    def test_workers_open_it_again_and_share_its_pages(self, tmp_path: Path) -> None:
        file = tmp_path / "v.txt"
        file.write_text("".join(f"w{row} {row} 1\n" for row in range(5000)))
        table = load_word_vectors(file)
        found = joblib.Parallel(n_jobs=2, backend="loky")(
            joblib.delayed(seen_by_a_worker)(table, word) for word in ["w7", "w4999"]
        )
        joblib.externals.loky.get_reusable_executor().shutdown(wait=True)
        assert [(vector, mapped) for vector, mapped, _ in found] == [
            ([7, 1], True),
            ([4999, 1], True),
        ]
        assert os.getpid() not in [pid for *_, pid in found]


def seen_by_a_worker(table: WordVectors, word: str) -> tuple[list[float], bool, int]:
    base: Any = table.vectors
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    return table[word].tolist(), base is not None, os.getpid()


class TestFileDigest:
    def test_it_tells_contents_and_members_apart(self, tmp_path: Path) -> None:
        one, other, same = tmp_path / "1", tmp_path / "2", tmp_path / "3"
        one.write_bytes(b"a")
        other.write_bytes(b"b")
        same.write_bytes(b"a")
        assert file_digest(one) == file_digest(same) != file_digest(other)
        assert (
            len(
                {
                    file_digest(one),
                    file_digest(one, ""),
                    file_digest(one, "m"),
                    file_digest(one, "m", "n"),
                    file_digest(one, "mn"),
                }
            )
            == 5
        )
        assert len(file_digest(one)) == 32

    @pytest.fixture
    def n_hashed(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        seen: list[int] = []
        own = word_table.hashlib.file_digest

        def counted(file: Any, kind: Any) -> Any:
            seen.append(1)
            return own(file, kind)

        monkeypatch.setattr(word_table.hashlib, "file_digest", counted)
        return seen

    @pytest.mark.usefixtures("a_day_later")
    def test_a_settled_file_is_hashed_once(self, tmp_path: Path, n_hashed: list[int]) -> None:
        file = tmp_path / "v"
        file.write_bytes(b"a")
        assert file_digest(file) == file_digest(file) != file_digest(file, "m")
        assert len(n_hashed) == 1

    @pytest.mark.usefixtures("a_day_later")
    def test_a_settled_file_is_hashed_once_though_nothing_can_be_kept(
        self, tmp_path: Path, n_hashed: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "v").write_bytes(b"a")
        monkeypatch.setattr(
            "huggingface_hub.constants.HF_ASSETS_CACHE", str(tmp_path / "v")
        )  # a file, no directory
        assert file_digest(tmp_path / "v") == file_digest(tmp_path / "v")
        assert len(n_hashed) == 1

    def test_a_fresh_one_each_time(self, tmp_path: Path, n_hashed: list[int]) -> None:
        file = tmp_path / "v"
        file.write_bytes(b"a")
        assert file_digest(file) == file_digest(file)
        assert len(n_hashed) == 2
        assert not tables_directory().exists()

    @pytest.mark.usefixtures("a_day_later")
    def test_a_change_in_place_is_noticed_though_size_and_time_are_the_same(
        self, tmp_path: Path
    ) -> None:
        file = tmp_path / "v"
        file.write_bytes(b"a")
        digest = file_digest(file)
        rewrite(file, b"b")
        assert file_digest(file) != digest
        file.write_bytes(b"a")
        assert file_digest(file) == digest

    @pytest.mark.usefixtures("a_day_later")
    @pytest.mark.parametrize("note", [b"", b"0" * 31, b"x" * 32, b"\xff" * 32, b"0" * 33])
    def test_a_damaged_note_is_not_believed(
        self, note: bytes, tmp_path: Path, n_hashed: list[int]
    ) -> None:
        file = tmp_path / "v"
        file.write_bytes(b"a")
        digest = file_digest(file)
        (kept,) = tables_directory().glob("*.digest")
        kept.write_bytes(note)
        forget_tables()
        assert file_digest(file) == digest == file_digest(file)
        assert len(n_hashed) == 2

    @pytest.mark.usefixtures("a_day_later")
    def test_where_notes_cannot_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from huggingface_hub import constants

        (tmp_path / "v").write_bytes(b"a")
        monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "v" / "below"))
        assert file_digest(tmp_path / "v") == file_digest(tmp_path / "v")

    def test_a_name_that_is_no_utf_8(self, tmp_path: Path) -> None:
        file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
        try:
            file.write_bytes(b"a")
        except OSError:
            pytest.skip("this file system has no such names")
        assert len(file_digest(file)) == 32


class TestFiles:
    def test_parsed_once(self, tmp_path: Path, n_parsed: list[str]) -> None:
        file = tmp_path / "v.txt"
        file.write_text("tea 1 2\n")
        (tmp_path / "same.txt").write_text("tea 1 2\n")
        for path in (file, file, tmp_path / "same.txt"):
            assert load_word_vectors(path)["tea"].tolist() == [1, 2]
        forget_tables()
        assert is_mapped(load_word_vectors(file))
        assert n_parsed == ["v.txt"]

    def test_a_change_is_noticed(self, tmp_path: Path, n_parsed: list[str]) -> None:
        file = tmp_path / "v.txt"
        file.write_text("tea 1 2\n")
        one = load_word_vectors(file)
        rewrite(file, b"tea 3 4\n")
        other = load_word_vectors(file)
        assert (one["tea"].tolist(), other["tea"].tolist()) == ([1, 2], [3, 4])
        assert one.fingerprint != other.fingerprint
        assert len(n_parsed) == 2

    def test_a_pickle_holds_no_numbers(self, tmp_path: Path) -> None:
        file = tmp_path / "v.txt"
        file.write_text("".join(f"w{row} {row} 1\n" for row in range(5000)))
        table = load_word_vectors(file)
        data = pickle.dumps(table)
        assert len(data) < 1000
        forget_tables()
        again = pickle.loads(data)
        assert (again.fingerprint, again["w7"].tolist(), is_mapped(again)) == (
            table.fingerprint,
            [7, 1],
            True,
        )

    def test_no_warning_where_all_is_well(self, source: Source) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            source.kept()


@pytest.mark.skipif(os.name != "posix", reason="there are no such permissions")
def test_others_may_read_a_table_where_the_umask_allows_it(source: Source) -> None:
    before = os.umask(0o022)
    try:
        source.kept()
    finally:
        os.umask(before)
    assert (tables_directory() / KEY).stat().st_mode & 0o777 == 0o755
    assert (tables_directory() / KEY / "vectors.f32").stat().st_mode & 0o777 == 0o644
