"""Tests of models/store/embedding_store.py."""

from __future__ import annotations

import copy
import hashlib
import pickle
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from numpy.typing import NDArray
from sklearn.base import clone

from bertvectorizer import BertVectorizer
from bertvectorizer.errors import InvalidParameterError, StoreError
from bertvectorizer.models.store.embedding_store import (
    KEEP,
    EmbeddingStore,
    PartNames,
    StoreStats,
    reopen,
    text_keys,
)
from bertvectorizer.models.store.records import Record, part_name
from bertvectorizer.models.store.sqlite import Database

pytestmark = pytest.mark.usefixtures("rollback_journal")

A, B, C, MERGED = map(part_name, ["a", "b", "c", "merged"])
PASSED, LAYERS, WHOLE = [A], [A, B], [A, B, C]
TEXTS = st.text(st.characters(categories=None), max_size=6)  # lone surrogates are characters, too


def vector(key: bytes, name: bytes) -> NDArray[np.float32]:
    seed = int.from_bytes(hashlib.blake2b(key + name, digest_size=8).digest(), "little")
    return np.random.default_rng(seed).random(256, dtype=np.float32)


def fetch(
    store: EmbeddingStore,
    numbers: Sequence[int],
    requested: Sequence[bytes] = (A,),
    seen: Callable[[int, Sequence[bytes]], object] = lambda _number, _names: None,
) -> list[Record]:
    """Ask a store for made-up texts, and tell ``seen`` what was computed."""
    keys = [b"%04d" % number for number in numbers]

    def compute(indices: Sequence[int], names: Sequence[bytes]) -> list[Record]:
        for index in indices:
            seen(numbers[index], names)
        return [
            Record(numbers[index], 0, np.stack([vector(keys[index], name) for name in names]))
            for index in indices
        ]

    records = store.fetch(
        keys,
        [1] * len(keys),
        PartNames(requested, PASSED, LAYERS, WHOLE),
        10,
        SimpleNamespace(encode=compute),
    )
    assert [record.n_tokens for record in records] == list(numbers)
    for key, record in zip(keys, records, strict=True):
        np.testing.assert_array_equal(record.vectors, [vector(key, name) for name in requested])
    return records


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "store.sqlite", durable=False)


class TestTextKeys:
    @given(
        st.lists(st.text(max_size=4), max_size=3),
        st.lists(st.text(max_size=4), max_size=3),
        st.lists(TEXTS, min_size=2, max_size=2),
    )
    def test_no_two_lists_of_fields_share_a_key(
        self, one: list[str], other: list[str], texts: list[str]
    ) -> None:
        (first,), (second,) = text_keys(one, texts[:1]), text_keys(other, texts[1:])
        assert (first == second) == ([*one, texts[0]] == [*other, texts[1]])

    @given(st.text(max_size=8), st.integers(0, 8), st.integers(0, 8))
    def test_nor_do_two_ways_to_cut_the_same_letters(
        self, letters: str, one: int, other: int
    ) -> None:
        keys = {
            tuple(text_keys([letters[:cut]], [letters[cut:]]))
            for cut in {min(one, len(letters)), min(other, len(letters))}
        }
        assert len(keys) == len({min(one, len(letters)), min(other, len(letters))})

    @given(st.lists(TEXTS, max_size=5))
    def test_each_text_has_the_key_that_it_has_alone(self, texts: list[str]) -> None:
        keys = text_keys(["setting"], texts)
        assert keys == [key for text in texts for key in text_keys(["setting"], [text])]
        assert len(set(keys)) == len(set(texts))
        assert {len(key) for key in keys} <= {20}

    def test_lone_surrogates_have_keys_of_their_own(self) -> None:
        assert len(set(text_keys([], ["\ud800", "\udfff", "\ufffd", "?", ""]))) == 5

    def test_keys_are_the_same_in_every_process_and_release(self) -> None:
        assert (
            text_keys(["1", "mean"], ["once"])[0].hex()
            == "185599fa2754d62681055a24ceaa329a93162bcd"
        )


class TestParameters:
    @pytest.mark.parametrize("path", ["", None, 3, b"bytes", ["list"]])
    def test_path(self, path: Any) -> None:
        with pytest.raises(
            InvalidParameterError, match="'path' parameter must be the path of a file or directory"
        ):
            EmbeddingStore(path)

    @pytest.mark.parametrize("max_bytes", [0, -1, 1.5, "1 GB", True])
    def test_max_bytes(self, max_bytes: Any, tmp_path: Path) -> None:
        with pytest.raises(
            InvalidParameterError,
            match=r"'max_bytes' parameter must be an int in the range \[1, inf\) or None",
        ):
            EmbeddingStore(tmp_path / "s", max_bytes=max_bytes)

    @pytest.mark.parametrize("keep", ["all", "all_layer", None, True, ("requested",)])
    def test_keep(self, keep: Any, tmp_path: Path) -> None:
        with pytest.raises(
            InvalidParameterError,
            match="'keep' parameter must be one of 'requested', 'passed', 'all_layers'",
        ):
            EmbeddingStore(tmp_path / "s", keep=keep)

    @pytest.mark.parametrize("durable", [1, 0, None, "yes"])
    def test_durable(self, durable: Any, tmp_path: Path) -> None:
        with pytest.raises(
            InvalidParameterError, match="'durable' parameter must be True or False"
        ):
            EmbeddingStore(tmp_path / "s", durable=durable)

    def test_numpy_s_numbers_are_numbers(self, tmp_path: Path) -> None:
        store = EmbeddingStore(
            tmp_path / "s",
            max_bytes=np.int64(10**9),  # type: ignore[arg-type]
            durable=np.bool_(False),  # type: ignore[arg-type]
        )
        assert (type(store.max_bytes), type(store.durable)) == (int, bool)

    def test_a_directory_holds_a_file(self, tmp_path: Path) -> None:
        assert EmbeddingStore(tmp_path).path == tmp_path / "embeddings.sqlite"
        assert EmbeddingStore(str(tmp_path)).path == tmp_path / "embeddings.sqlite"

    def test_a_path_means_the_same_wherever_one_goes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert (
            EmbeddingStore("s").path
            == EmbeddingStore("~/s").path
            == EmbeddingStore(Path("s")).path
            == tmp_path / "s"
        )

    def test_its_representation_names_it(self, tmp_path: Path) -> None:
        store = EmbeddingStore(tmp_path / "s", max_bytes=10**6, keep="all_layers")
        assert (
            repr(store)
            == f"EmbeddingStore({str(tmp_path / 's')!r}, max_bytes=1000000, keep='all_layers',"
            " durable=True)"
        )

    def test_nothing_is_written_before_it_is_used(self, tmp_path: Path) -> None:
        EmbeddingStore(tmp_path / "new" / "s")
        assert list(tmp_path.iterdir()) == []


class TestCopies:
    def test_pickles_of_one_process_share_one_store(self, tmp_path: Path) -> None:
        store = EmbeddingStore(tmp_path / "s", 10**6, "all_layers", durable=False)
        one, other = pickle.loads(pickle.dumps(store)), pickle.loads(pickle.dumps(store))
        assert one is other
        assert (one.path, one.max_bytes, one.keep, one.durable) == (
            store.path,
            10**6,
            "all_layers",
            False,
        )
        assert (
            pickle.loads(
                pickle.dumps(EmbeddingStore(tmp_path / "t", 10**6, "all_layers", durable=False))
            )
            is not one
        )
        assert pickle.loads(pickle.dumps(EmbeddingStore(tmp_path / "s"))) is not one

    def test_clones_of_an_estimator_share_their_store(self, store: EmbeddingStore) -> None:
        vectorizer = BertVectorizer(store=store)
        assert clone(vectorizer).store is clone(clone(vectorizer)).store
        assert copy.deepcopy(store) is store
        assert copy.copy(store).path == store.path

    def test_a_used_store_is_pickled_like_an_unused_one(self, store: EmbeddingStore) -> None:
        before = pickle.dumps(store), joblib.hash(store)
        fetch(store, range(5))
        assert (pickle.dumps(store), joblib.hash(store)) == before
        assert len(before[0]) < 1000

    def test_a_copy_finds_what_the_original_wrote(self, store: EmbeddingStore) -> None:
        computed: list[int] = []
        fetch(store, range(5))
        fetch(
            pickle.loads(pickle.dumps(store)),
            range(7),
            seen=lambda number, _names: computed.append(number),
        )
        assert computed == [5, 6]

    def test_reopening_gives_the_same_store(self, tmp_path: Path) -> None:
        assert reopen(tmp_path / "s") is reopen(tmp_path / "s")
        assert reopen(tmp_path / "s") is not reopen(tmp_path / "t")


class TestFetch:
    @pytest.mark.parametrize("keep", KEEP)
    def test_what_was_requested_comes_in_the_order_requested(
        self, tmp_path: Path, keep: str
    ) -> None:
        store = EmbeddingStore(tmp_path / "s", keep=keep, durable=False)
        for numbers in ([3, 1, 2], [2, 5, 1, 4, 3], []):
            for requested in ([A], [C, A], [MERGED, B]):
                fetch(store, numbers, requested)
                fetch(EmbeddingStore(tmp_path / "s", keep=keep), numbers, requested)

    def test_memory_does_not_answer_for_other_parts(self, store: EmbeddingStore) -> None:
        computed: list[Sequence[bytes]] = []
        for requested in ([A], [B], [A], [B, A], [A, B]):
            fetch(store, [1], requested, lambda _number, names: computed.append(names))
        assert computed == [[A], [B, C]]

    def test_what_this_process_used_last_need_not_be_read_again(
        self, store: EmbeddingStore
    ) -> None:
        fetch(store, range(5))
        Database(store.path).drop([b"%04d" % number for number in range(5)])
        fetch(store, range(5), seen=lambda *_: pytest.fail("this was remembered"))


def test_clear_leaves_a_store_alone_that_somebody_writes_to(
    store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertvectorizer.models.store.sqlite._BUSY_SECONDS", 0.1)
    fetch(store, range(3))
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="is in use and is left alone: database is locked"):
            EmbeddingStore(store.path).clear()
        other.execute("ROLLBACK")
    assert store.stats.texts == 3


class TestKeep:
    """A is a layer on the way to B, with B's pooling; C is a layer under another pooling."""

    @pytest.mark.parametrize(
        ("keep", "computed"),
        [("requested", [[B], [A, C]]), ("passed", [[B, A], [C]]), ("all_layers", [[B, A, C]])],
    )
    def test_what_is_computed_for_a_sweep(
        self, tmp_path: Path, keep: str, computed: list[list[bytes]]
    ) -> None:
        seen: list[Sequence[bytes]] = []
        for requested in ([B], [A], [C], [A, B, C]):
            # Another instance each time: nothing is remembered.
            fetch(
                EmbeddingStore(tmp_path / "s", keep=keep),
                [1],
                requested,
                lambda _number, names: seen.append(names),
            )
        assert seen == computed

    def test_less_is_kept_where_space_is_short(self, tmp_path: Path) -> None:
        seen: list[Sequence[bytes]] = []
        for requested in ([B], [A], [C]):
            store = EmbeddingStore(tmp_path / "s", max_bytes=300_000, keep="passed", durable=False)
            assert store.stats.bytes > 300_000 / 4
            fetch(store, [1], requested, lambda _number, names: seen.append(names))
        assert seen == [[B], [A], [C]]

    def test_all_layers_are_kept_however_short_space_is(self, tmp_path: Path) -> None:
        seen: list[Sequence[bytes]] = []
        store = EmbeddingStore(tmp_path / "s", max_bytes=300_000, keep="all_layers", durable=False)
        for requested in ([B], [A], [C]):
            fetch(store, [1], requested, lambda _number, names: seen.append(names))
        assert seen == [[B, A, C]]


class TestStats:
    def test_they_count_over_all_who_used_the_file(self, store: EmbeddingStore) -> None:
        fetch(store, range(5))
        fetch(store, range(8))
        other = EmbeddingStore(store.path)
        fetch(other, range(10))
        for one in (store, other):
            stats = one.stats
            assert stats[:5] == (13, 10, 10, 10, store.path.stat().st_size)
            assert stats.seconds_saved > 0
            assert one.read_stats() == stats

    def test_nothing_was_saved_where_nothing_was_encoded(self, store: EmbeddingStore) -> None:
        stats = store.stats
        assert stats == StoreStats(0, 0, 0, 0, store.path.stat().st_size, 0.0)

    def test_a_text_encoded_for_a_further_part_is_one_text_encoded_twice(
        self, store: EmbeddingStore
    ) -> None:
        fetch(store, range(4), [A])
        fetch(store, range(4), [B])
        fetch(store, range(4), [C])
        assert store.stats[:4] == (4, 8, 8, 4)

    def test_a_file_that_cannot_be_read_gives_zeros_and_a_warning_or_an_error(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "letter").write_bytes(b"a letter" * 1000)
        with pytest.raises(StoreError, match=r"'.*letter' cannot be read: file is not a database"):
            EmbeddingStore(tmp_path / "letter").read_stats()
        store = EmbeddingStore(tmp_path / "letter")
        with pytest.warns(UserWarning, match="cannot be used"):
            assert store.stats == (0, 0, 0, 0, 0, 0)


class TestVerify:
    def test_a_sound_store_has_nothing_wrong(self, store: EmbeddingStore) -> None:
        fetch(store, range(300), [A, B])
        assert store.verify() == []

    @pytest.mark.parametrize("index", [0, 10, -1])
    def test_a_flipped_bit_is_found(self, store: EmbeddingStore, index: int) -> None:
        fetch(store, range(300), [A])
        database = Database(store.path)
        data = bytearray(database.read([b"0123"])[b"0123"])
        data[index] ^= 0x10
        database.write({b"0123": bytes(data)}, [], {})
        assert store.verify() == [f"text {b'0123'.hex()} is damaged"]

    def test_a_file_that_cannot_be_read_is_an_error_with_a_remedy(self, tmp_path: Path) -> None:
        (tmp_path / "letter").write_bytes(b"a letter" * 1000)
        with pytest.raises(
            StoreError,
            match=(
                r"The store '.*letter' cannot be read: file is not a database\. .*bertvectorizer"
                r" store clear '.*letter'"
            ),
        ):
            EmbeddingStore(tmp_path / "letter").verify()


class TestClear:
    def test_everything_is_forgotten(self, store: EmbeddingStore) -> None:
        fetch(store, range(100))
        size = store.path.stat().st_size
        store.clear()
        assert store.stats == StoreStats(0, 0, 0, 0, store.path.stat().st_size, 0.0)
        assert store.path.stat().st_size < size
        computed: list[int] = []
        fetch(store, range(3), seen=lambda number, _names: computed.append(number))
        assert computed == [0, 1, 2]

    def test_a_store_that_was_given_up_can_be_used_again(self, store: EmbeddingStore) -> None:
        fetch(store, range(3))
        Database(store.path).connection().execute("PRAGMA user_version = 99")
        store = EmbeddingStore(store.path)
        with pytest.warns(UserWarning, match="has format 99"):
            fetch(store, range(3))
        store.clear()
        fetch(store, range(3))
        assert store.stats[:4] == (0, 3, 3, 3)
        assert store.verify() == []

    @pytest.mark.parametrize("damage", [b"\0" * 20, b"\xff" * 20_000])
    def test_a_damaged_store_makes_room_for_an_empty_one(
        self, store: EmbeddingStore, damage: bytes
    ) -> None:
        fetch(store, range(300), [A, B])
        content = bytearray(store.path.read_bytes())
        content[100 : 100 + len(damage)] = damage
        path = store.path.with_name("damaged.sqlite")
        path.write_bytes(content)
        for suffix in ("-journal", "-wal", "-shm"):
            path.with_name(path.name + suffix).write_bytes(b"left behind")
        store = EmbeddingStore(path)
        store.clear()
        fetch(store, range(3))
        assert store.stats[:4] == (0, 3, 3, 3)
        assert store.verify() == []

    def test_what_is_no_store_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "letter").write_bytes(b"a letter" * 1000)
        other = sqlite3.connect(tmp_path / "other.sqlite")
        other.execute("CREATE TABLE precious (x)")
        other.commit()
        other.close()
        for name in ("letter", "other.sqlite"):
            content = (tmp_path / name).read_bytes()
            with pytest.raises(
                StoreError, match="does not look like a store of bertvectorizer and is left alone"
            ):
                EmbeddingStore(tmp_path / name).clear()
            assert (tmp_path / name).read_bytes() == content


class AnyOrder(RuleBasedStateMachine):
    """Put, get, evict, drop, damage, reopen and clear, beside a dict of what must be there.

    A fetch is both put and get. The numbers of a text depend on its key, so that no wrong
    one goes unnoticed."""

    max_bytes: ClassVar[int | None] = None
    numbers = st.lists(st.integers(0, 29), min_size=1, max_size=10, unique=True)
    parts = st.lists(st.sampled_from([A, B, C, MERGED]), min_size=1, max_size=3, unique=True)

    @initialize(keep=st.sampled_from(KEEP))
    def begin(self, keep: str) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.keep = keep
        self.stores = [self.another(), self.another()]
        self.forget_all()

    def another(self) -> EmbeddingStore:
        return EmbeddingStore(self.directory / "s", self.max_bytes, self.keep, durable=False)

    def forget_all(self) -> None:
        self.must_be_there: dict[int, set[bytes]] = {number: set() for number in range(30)}
        self.n_asked = self.n_encoded = 0
        self.is_damaged = False

    def database(self) -> Database:
        return Database(self.directory / "s", durable=False)

    @rule(which=st.integers(0, 1), numbers=numbers, parts=parts)
    def fetch(self, which: int, numbers: list[int], parts: list[bytes]) -> None:
        computed: dict[int, Sequence[bytes]] = {}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fetch(
                self.stores[which],
                numbers,
                parts,
                lambda number, names: computed.update({number: names}),
            )
        assert all("were damaged" in str(warning.message) for warning in caught)
        assert self.is_damaged or not caught
        for number, names in computed.items():
            if self.max_bytes is None:
                assert not self.must_be_there[number] & set(names), "this was computed before"
                self.must_be_there[number] |= set(names)
        self.n_asked += len(numbers)
        self.n_encoded += len(computed)

    @rule(which=st.integers(0, 1))
    def reopen(self, which: int) -> None:
        self.stores[which] = self.another()

    @rule(numbers=numbers)
    def drop(self, numbers: list[int]) -> None:
        self.database().drop([b"%04d" % number for number in numbers])
        for number in numbers:
            self.must_be_there[number] = set()

    @rule(max_bytes=st.integers(1, 400_000))
    def evict(self, max_bytes: int) -> None:
        database = self.database()
        n_evicted = database.evict(max_bytes)
        for number in range(30) if n_evicted else ():
            if not database.read([b"%04d" % number]):
                self.must_be_there[number] = set()

    @rule(number=st.integers(0, 29), index=st.integers(0, 10**6))
    def damage(self, number: int, index: int) -> None:
        key = b"%04d" % number
        for data in self.database().read([key]).values():
            damaged = bytearray(data)
            damaged[index % len(data)] ^= 1 << index % 8
            self.database().write({key: bytes(damaged)}, [], {})
            self.must_be_there[number] = set()
            self.is_damaged = True

    @rule(which=st.integers(0, 1))
    def clear(self, which: int) -> None:
        self.stores[which].clear()
        self.stores[1 - which] = self.another()
        self.forget_all()

    @invariant()
    def all_is_counted_and_sound(self) -> None:
        stats = self.stores[0].stats
        assert (stats.hits + stats.misses, stats.encoded) == (self.n_asked, self.n_encoded)
        assert self.is_damaged or self.stores[1].verify() == []

    def teardown(self) -> None:
        shutil.rmtree(self.directory)


class AnyOrderInLittleSpace(AnyOrder):
    """The same with space for ten texts: evicted ones are computed again, never exchanged."""

    max_bytes = 250_000

    @invariant()
    def the_file_is_small(self) -> None:
        assert self.stores[0].stats.bytes <= 250_000


class TestAnyOrder(AnyOrder.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(max_examples=40, stateful_step_count=20)


class TestAnyOrderInLittleSpace(AnyOrderInLittleSpace.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(max_examples=25, stateful_step_count=20)
