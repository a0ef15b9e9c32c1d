"""Tests of models/store/single_flight.py."""

from __future__ import annotations

import hashlib
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from bertvectorizer.errors import OutOfMemoryError
from bertvectorizer.models.store.fail_safe import FailSafeCache
from bertvectorizer.models.store.records import Record, is_sound, names_in, pack, part_name
from bertvectorizer.models.store.single_flight import Lookup

pytestmark = pytest.mark.usefixtures("rollback_journal")

A, B, C, MERGED, OTHER = map(part_name, ["a", "b", "c", "merged", "other"])
WHOLE = [A, B, C]
KEYS = [b"%04d" % number for number in range(12)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def cache(path: Path) -> FailSafeCache:
    return FailSafeCache(path, None, durable=False)


def vector(key: bytes, name: bytes) -> NDArray[np.float32]:
    digest = hashlib.blake2b(key + name, digest_size=16).digest()
    return np.frombuffer(digest, dtype=np.uint8).astype(np.float32)


class Network:
    """Has numbers of its own for every key and part, and notes what it was requested for."""

    def __init__(self, keys: Sequence[bytes] = KEYS) -> None:
        self.keys = keys
        self.calls: list[tuple[list[bytes], tuple[bytes, ...]]] = []

    def __call__(self, indices: Sequence[int], names: Sequence[bytes]) -> list[Record]:
        self.calls.append(([self.keys[index] for index in indices], tuple(names)))
        return [
            Record(7, 1, np.stack([vector(self.keys[index], name) for name in names]))
            for index in indices
        ]

    def counts(self) -> Counter[tuple[bytes, bytes]]:
        """How often each part of each text was computed."""
        return Counter((key, name) for keys, names in self.calls for key in keys for name in names)


def look_up(
    cache: FailSafeCache,
    requested: Sequence[bytes],
    compute: Callable[[Sequence[int], Sequence[bytes]], list[Record]],
    keys: Sequence[bytes] = KEYS,
    *,
    sizes: Sequence[int] = (),
    chunk_tokens: int = 10**9,
    keep_whole: bool = False,
    widths: Sequence[int] | None = None,
) -> dict[bytes, Record]:
    lookup = Lookup(cache, keys, requested, WHOLE if keep_whole else (), WHOLE, widths)
    encoder = SimpleNamespace(encode=compute)
    lookup.complete(encoder, lookup.read(range(len(keys))), sizes or [1] * len(keys), chunk_tokens)
    return lookup.found


def assert_right(
    found: Mapping[bytes, Record], requested: Sequence[bytes], keys: Sequence[bytes] = KEYS
) -> None:
    assert set(found) == set(keys)
    for key, record in found.items():
        assert record[:2] == (7, 1)
        np.testing.assert_array_equal(record.vectors, [vector(key, name) for name in requested])


def held(cache: FailSafeCache, keys: Sequence[bytes] = KEYS) -> set[tuple[bytes, ...]]:
    """What the file holds of these texts."""
    rows = cache.database.read(keys)
    assert len(rows) == len(keys)
    assert all(map(is_sound, rows.values()))
    return {names_in(data) for data in rows.values()}


def spoil(cache: FailSafeCache, key: bytes) -> None:
    """Flip a bit of the last number of a text."""
    data = bytearray(cache.database.read([key])[key])
    data[-1] ^= 1
    cache.database.write({key: bytes(data)}, [], {})


class TestOneAlone:
    def test_what_is_missing_is_computed_once(self, cache: FailSafeCache) -> None:
        network = Network()
        assert_right(look_up(cache, [A], network), [A])
        assert_right(look_up(cache, [A], network), [A])
        assert network.calls == [(KEYS, (A,))]

    def test_only_what_is_missing(self, cache: FailSafeCache, path: Path) -> None:
        network = Network()
        look_up(cache, [B, A], network, KEYS[:5])
        assert_right(look_up(FailSafeCache(path, None, durable=False), [B, A], network), [B, A])
        assert network.calls == [(KEYS[:5], (B, A)), (KEYS[5:], (B, A))]

    def test_a_kept_text_is_counted_and_its_time_too(self, cache: FailSafeCache) -> None:
        network = Network()
        look_up(cache, [A], network)
        look_up(cache, [A], network)
        counted = cache.database.counters()
        assert counted["encoded"] == len(KEYS)
        assert counted["seconds"] > 0

    def test_what_is_found_does_not_hold_on_to_what_was_not_requested(
        self, cache: FailSafeCache
    ) -> None:
        found = look_up(cache, [A], Network(), keep_whole=True)
        assert {record.vectors.base is None for record in found.values()} == {True}

    def test_no_text_is_no_work(self, cache: FailSafeCache) -> None:
        network = Network([])
        assert look_up(cache, [A], network, []) == {}
        assert network.calls == []


class TestChunks:
    def test_the_longest_come_first_and_chunks_are_full(self, cache: FailSafeCache) -> None:
        network = Network()
        look_up(cache, [A], network, KEYS[:6], sizes=[1, 5, 3, 3, 1, 20], chunk_tokens=6)
        assert [keys for keys, _ in network.calls] == [
            [KEYS[5]],
            [KEYS[1]],
            [KEYS[2], KEYS[3]],
            [KEYS[0], KEYS[4]],
        ]

    def test_not_too_many_texts_at_once_however_short(self, cache: FailSafeCache) -> None:
        keys = [b"%06d" % number for number in range(5000)]
        network = Network(keys)
        assert_right(look_up(cache, [A], network, keys, sizes=[0] * 5000), [A], keys)
        assert max(len(keys) for keys, _ in network.calls) <= 2048
        assert set(network.counts().values()) == {1}

    def test_others_may_take_what_is_not_in_hand(self, cache: FailSafeCache, path: Path) -> None:
        other = FailSafeCache(path, None, durable=False)
        free = []

        class Watched(Network):
            def __call__(self, indices: Sequence[int], names: Sequence[bytes]) -> list[Record]:
                free.append(other.lease(self.keys, 99))
                other.release(free[-1])
                return super().__call__(indices, names)

        look_up(cache, [A], Watched(), KEYS[:6], chunk_tokens=2)
        assert free == [KEYS[2:], KEYS[:2] + KEYS[4:], KEYS[:4] + KEYS[6:]]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ValueError])
    def test_an_error_keeps_what_is_finished_and_frees_the_rest(
        self, cache: FailSafeCache, path: Path, error: type[BaseException]
    ) -> None:
        network = Network()

        def fail_at_the_third(indices: Sequence[int], names: Sequence[bytes]) -> list[Record]:
            if len(network.calls) == 2:
                raise error
            return network(indices, names)

        with pytest.raises(error):
            look_up(cache, [A], fail_at_the_third, chunk_tokens=4)
        assert held(cache, KEYS[:8]) == {(A,)}
        assert not cache.is_broken
        other = FailSafeCache(path, None, durable=False)
        assert other.lease(KEYS, 99) == KEYS
        other.release(KEYS)
        assert_right(look_up(other, [A], network), [A])
        assert set(network.counts().values()) == {1}

    def test_records_too_few_are_an_error_and_not_kept(self, cache: FailSafeCache) -> None:
        network = Network()
        with pytest.raises(ValueError, match="shorter"):
            look_up(cache, [A], lambda indices, names: network(indices, names)[:-1])
        assert cache.database.n_records() == 0


class TestFurtherParts:
    def test_a_text_requested_with_other_parts_is_kept_whole(self, cache: FailSafeCache) -> None:
        network = Network()
        for requested in ([A], [B], [A], [B], [C], [C, B, A]):
            assert_right(look_up(cache, requested, network), requested)
        assert network.calls == [(KEYS, (A,)), (KEYS, (B, C))]
        assert held(cache) == {(A, B, C)}

    @pytest.mark.parametrize("first", [A, MERGED])
    def test_no_part_is_computed_twice_nor_lost_in_whatever_order(
        self, cache: FailSafeCache, first: bytes
    ) -> None:
        network = Network()
        others = [part for part in (A, MERGED, B, OTHER) if part != first]
        for requested in (
            [first],
            [others[0]],
            [first],
            [others[0]],
            [others[1]],
            [others[2]],
            [first],
            [*others, first],
        ):
            assert_right(look_up(cache, requested, network), requested)
        assert network.counts() == {
            (key, name): 1 for key in KEYS for name in (A, B, C, MERGED, OTHER)
        }
        assert {frozenset(names) for names in held(cache)} == {frozenset([A, B, C, MERGED, OTHER])}

    def test_a_merged_part_of_a_whole_text_is_computed_alone(self, cache: FailSafeCache) -> None:
        network = Network()
        look_up(cache, [A], network, keep_whole=True)
        look_up(cache, [B, MERGED], network)
        assert network.calls == [(KEYS, (A, B, C)), (KEYS, (MERGED,))]
        assert held(cache) == {(A, B, C, MERGED)}

    def test_texts_that_hold_the_same_are_computed_together(self, cache: FailSafeCache) -> None:
        network = Network()
        look_up(cache, [A], network, KEYS[:3])
        look_up(cache, [B], network, KEYS[3:6])
        network.calls.clear()
        assert_right(look_up(cache, [A, C], network), [A, C])
        assert network.calls == [(KEYS[:3], (C, B)), (KEYS[3:6], (A, C)), (KEYS[6:], (A, C))]

    def test_keeping_the_whole_requests_once(self, cache: FailSafeCache) -> None:
        network = Network()
        for requested in ([B], [A], [C, A], [B]):
            assert_right(look_up(cache, requested, network, keep_whole=True), requested)
        assert network.calls == [(KEYS, (B, A, C))]

    def test_a_merged_part_is_kept_beside_the_whole(self, cache: FailSafeCache) -> None:
        network = Network()
        for requested in ([MERGED, B], [A], [MERGED]):
            assert_right(look_up(cache, requested, network, keep_whole=True), requested)
        assert network.calls == [(KEYS, (MERGED, B, A, C))]


class TestDamage:
    def test_a_damaged_text_is_computed_anew_with_a_warning(self, cache: FailSafeCache) -> None:
        network = Network()
        look_up(cache, [A], network)
        for key in KEYS[:3]:
            spoil(cache, key)
        with pytest.warns(
            UserWarning,
            match=r"^3 text\(s\) in the store '.*' were damaged; they are encoded anew\.$",
        ) as caught:
            assert_right(look_up(cache, [A], network), [A])
        assert len(caught) == 1
        assert network.calls == [(KEYS, (A,)), (KEYS[:3], (A,))]
        assert_right(look_up(cache, [A], network), [A])
        assert held(cache) == {(A,)}

    @pytest.mark.parametrize("requested", [[A], [B]])
    def test_a_record_of_another_width_is_damaged(
        self, cache: FailSafeCache, requested: list[bytes]
    ) -> None:
        """Whether it holds what is requested, or would be extended."""
        wide = pack(Record(7, 1, np.zeros((1, 32), dtype=np.float32)), [A])
        cache.database.write(dict.fromkeys(KEYS[:3], wide), [], {})
        with pytest.warns(UserWarning, match=r"3 text\(s\) in the store .* were damaged"):
            found = look_up(cache, requested, Network(), widths=[16] * len(KEYS))
        assert_right(found, requested)
        assert_right(look_up(cache, requested, Network(), widths=[16] * len(KEYS)), requested)

    def test_damage_to_a_part_that_is_not_requested_is_not_built_upon(
        self, cache: FailSafeCache
    ) -> None:
        network = Network()
        look_up(cache, [A, B], network)
        spoil(cache, KEYS[0])  # the last number of B
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert_right(look_up(cache, [A], network), [A])
        with pytest.warns(UserWarning, match="damaged"):
            assert_right(look_up(cache, [A, C], network), [A, C])
        assert network.calls[1:] == [(KEYS[:1], (A, C)), (KEYS[1:], (C,))]
        assert_right(look_up(cache, [A, C], network), [A, C])
        assert held(cache, KEYS[1:]) == {(A, B, C)}

    @pytest.mark.parametrize("data", [b"", b"short", b"\xff" * 300])
    def test_what_is_no_record_at_all_counts_as_damaged(
        self, cache: FailSafeCache, data: bytes
    ) -> None:
        network = Network()
        cache.database.write(dict.fromkeys(KEYS, data), [], {})
        with pytest.warns(UserWarning, match=r"^12 text\(s\)"):
            assert_right(look_up(cache, [A], network), [A])
        assert held(cache) == {(A,)}


class TestLittleMemory:
    def test_what_was_requested_is_computed_alone_where_the_whole_does_not_fit(
        self, cache: FailSafeCache
    ) -> None:
        network = Network()

        def compute(indices: Sequence[int], names: Sequence[bytes]) -> list[Record]:
            if len(names) > 1:
                raise OutOfMemoryError("no room for more than one layer")
            return network(indices, names)

        for requested in ([A], [B]):
            assert_right(look_up(cache, requested, compute, keep_whole=True), requested)
        assert {name for _, name in network.counts()} == {A, B}
        with pytest.raises(OutOfMemoryError, match="no room"):
            look_up(cache, [A, B, C], compute, [b"another text"])


class TestWithoutAFile:
    def test_all_is_computed_after_one_warning(self, tmp_path: Path) -> None:
        network = Network()
        with pytest.warns(
            UserWarning, match="cannot be used, so texts are encoded without it"
        ) as caught:
            assert_right(
                look_up(FailSafeCache(tmp_path, None, durable=False), [A], network, chunk_tokens=5),
                [A],
            )
        assert len(caught) == 1
        assert set(network.counts().values()) == {1}

    def test_one_that_waits_goes_on_alone_when_the_file_fails(
        self, cache: FailSafeCache, path: Path
    ) -> None:
        other = FailSafeCache(path, None, durable=False)
        assert other.lease(KEYS[:6], 6) == KEYS[:6]
        network = Network()

        def spoil_the_file(indices: Sequence[int], names: Sequence[bytes]) -> list[Record]:
            path.write_bytes(b"a letter" * 10_000)
            return network(indices, names)

        with pytest.warns(
            UserWarning, match="cannot be used, so texts are encoded without it"
        ) as caught:
            assert_right(look_up(cache, [A], spoil_the_file), [A])
        assert len(caught) == 1


class TestManyAtOnce:
    def test_one_that_waits_gets_what_another_one_wrote(
        self, cache: FailSafeCache, path: Path, waits: threading.Event
    ) -> None:
        other, network = FailSafeCache(path, None, durable=False), Network()
        assert other.lease(KEYS[:2], 2) == KEYS[:2]
        from_elsewhere = Network()
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(look_up, cache, [A], network)
            done.add_done_callback(lambda _: waits.set())
            waits.wait()
            assert not done.done()
            other.release(KEYS[:2])
            look_up(other, [A], from_elsewhere, KEYS[:2])
            assert_right(done.result(), [A])
        assert (network.counts() + from_elsewhere.counts()) == {(key, A): 1 for key in KEYS}

    @pytest.mark.parametrize("chunk_tokens", [1, 6, 10**9])
    def test_what_another_one_gave_up_is_taken_over(
        self, cache: FailSafeCache, path: Path, chunk_tokens: int, waits: threading.Event
    ) -> None:
        other, network = FailSafeCache(path, None, durable=False), Network()
        assert other.lease(KEYS[:2], 2) == KEYS[:2]
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(
                look_up, cache, [A], network, sizes=[5] * len(KEYS), chunk_tokens=chunk_tokens
            )
            done.add_done_callback(lambda _: waits.set())
            waits.wait()
            assert not done.done()
            other.close()
            assert_right(done.result(), [A])
        assert network.counts() == {(key, A): 1 for key in KEYS}

    @pytest.mark.parametrize("n_caches", [1, 8])
    def test_threads_compute_each_text_once(self, path: Path, n_caches: int) -> None:
        caches = [FailSafeCache(path, None, durable=False) for _ in range(n_caches)]
        networks = [Network() for _ in range(8)]
        everyone_is_here = threading.Barrier(8)

        def work(number: int) -> dict[bytes, Record]:
            everyone_is_here.wait()
            return look_up(caches[number % n_caches], [A], slowly(networks[number]), chunk_tokens=2)

        with ThreadPoolExecutor(8) as pool:
            for found in pool.map(work, range(8)):
                assert_right(found, [A])
        assert sum((network.counts() for network in networks), Counter()) == {
            (key, A): 1 for key in KEYS
        }

    def test_threads_that_ask_for_different_parts_compute_each_once(self, path: Path) -> None:
        requested = [[A], [B], [MERGED], [C, A], [A], [OTHER, B], [B, C], [MERGED]]
        networks = [Network() for _ in requested]
        everyone_is_here = threading.Barrier(8)

        def work(number: int) -> dict[bytes, Record]:
            everyone_is_here.wait()
            return look_up(
                FailSafeCache(path, None, durable=False),
                requested[number],
                slowly(networks[number]),
                chunk_tokens=3,
            )

        with ThreadPoolExecutor(8) as pool:
            for parts, found in zip(requested, pool.map(work, range(8)), strict=True):
                assert_right(found, parts)
        assert sum((network.counts() for network in networks), Counter()) == {
            (key, name): 1 for key in KEYS for name in (A, B, C, MERGED, OTHER)
        }

    def test_processes_compute_each_text_once(
        self, path: Path, run_at_once: Callable[..., list[str]]
    ) -> None:
        program = (
            "import sys, time\nimport numpy as np\nfrom pathlib import Path\n"
            "from bertvectorizer.models.store.single_flight import Lookup\n"
            "from bertvectorizer.models.store.records import Record\n"
            "from bertvectorizer.models.store.fail_safe import FailSafeCache\n"
            "keys = [b'%04d' % number for number in range(100)]\n"
            "class Encoder:\n"
            "    def encode(self, indices, parts):\n"
            "        time.sleep(0.005 * len(indices))\n"
            "        print(*indices, flush=True)\n"
            "        return [Record(index, 0, np.full((len(parts), 4), index, dtype=np.float32))"
            " for index in indices]\n"
            "print('ready', flush=True)\nsys.stdin.readline()\n"
            "cache = FailSafeCache(Path(sys.argv[1]), None, False)\n"
            "lookup = Lookup(cache, keys, [b'8 bytes.'], (), [b'8 bytes.'])\n"
            "lookup.complete(Encoder(), lookup.read(range(100)), [1] * 100, 4)\n"
            "assert all(record.vectors.tolist() == [[float(key)] * 4]"
            " for key, record in lookup.found.items())\n"
            "assert len(lookup.found) == 100\n"
        )
        printed = run_at_once(program, [(path,)] * 4)
        computed = [int(index) for output in printed for index in output.split()]
        assert sorted(computed) == list(range(100))


def slowly(network: Network) -> Callable[[Sequence[int], Sequence[bytes]], list[Record]]:
    def compute(indices: Sequence[int], names: Sequence[bytes]) -> list[Record]:
        time.sleep(0.01)
        return network(indices, names)

    return compute
