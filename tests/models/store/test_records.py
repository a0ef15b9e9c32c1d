"""Tests of models/store/records.py."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from bertvectorizer.models.store.records import (
    DamagedRecordError,
    Record,
    extend,
    is_sound,
    names_in,
    pack,
    part_name,
    unpack,
)

COUNTS = st.integers(0, 2**32 - 1)
NAMES = [part_name(str(number)) for number in range(8)]
# NaN with and without a payload, -0.0, infinities, the smallest and the largest subnormal.
PECULIAR = np.array(
    [0x7FC00000, 0xFFC0BEEF, 0x7F800001, 0x80000000, 0x7F800000, 0xFF800000, 1, 0x007FFFFF],
    dtype=np.uint32,
)


def bits(vectors: NDArray[np.float32]) -> list[list[int]]:
    result: list[list[int]] = np.ascontiguousarray(vectors).view(np.uint32).tolist()
    return result


def vectors(n_parts: int, width: int = 8) -> st.SearchStrategy[NDArray[np.float32]]:
    """Every pattern of bits that a float32 can have, the peculiar ones often."""
    numbers = st.one_of(st.sampled_from(PECULIAR.tolist()), st.integers(0, 2**32 - 1))
    return hnp.arrays(np.uint32, (n_parts, width), elements=numbers).map(
        lambda array: array.view(np.float32)
    )


def record(n_parts: int = 2, first: int = 0) -> Record:
    return Record(7, 1, (first + np.arange(4 * n_parts, dtype=np.float32)).reshape(n_parts, 4))


class TestRoundTrip:
    @given(st.integers(1, 6).flatmap(vectors), COUNTS, COUNTS, st.randoms())
    def test_what_comes_back_is_bit_for_bit_what_was_put_in(
        self, put: NDArray[np.float32], n_tokens: int, n_lost: int, random: Any
    ) -> None:
        names = NAMES[: len(put)]
        data = pack(Record(n_tokens, n_lost, put), names)
        assert names_in(data) == tuple(names)
        assert is_sound(data)
        order = random.sample(range(len(put)), random.randint(1, len(put)))
        back = unpack(data, [names[index] for index in order])
        assert back is not None
        assert back[:2] == (n_tokens, n_lost)
        assert back.vectors.dtype == np.float32
        assert bits(back.vectors) == bits(put[order])

    def test_peculiar_numbers_keep_their_bits(self) -> None:
        back = unpack(pack(Record(1, 0, PECULIAR.view(np.float32)[None]), NAMES[:1]), NAMES[:1])
        assert back is not None
        assert bits(back.vectors) == [PECULIAR.tolist()]

    @pytest.mark.parametrize("width", [1, 32, 384, 1024])
    def test_any_width(self, width: int) -> None:
        put = np.random.default_rng(0).normal(size=(3, width)).astype(np.float32)
        back = unpack(pack(Record(1, 0, put), NAMES[:3]), NAMES[:3])
        assert back is not None
        np.testing.assert_array_equal(back.vectors, put)

    def test_vectors_that_do_not_lie_in_a_row_are_packed_alike(self) -> None:
        put = np.arange(24, dtype=np.float32).reshape(8, 3).T
        assert pack(Record(1, 0, put), NAMES[:3]) == pack(Record(1, 0, np.array(put)), NAMES[:3])

    def test_the_bytes_are_the_same_on_every_machine(self) -> None:
        big_endian = np.array([[1.0, -2.0]], dtype=">f4")
        data = pack(Record(7, 1, big_endian), [b"8 bytes."])
        assert (
            data.hex()
            == "de74ea5c"
            + "07000000010000000100000002000000"
            + b"8 bytes.".hex()
            + "562687c3"
            + "0000803f"
            + "000000c0"
        )


class TestMissingParts:
    def test_a_part_that_is_not_held_gives_none(self) -> None:
        data = pack(record(2), NAMES[:2])
        assert unpack(data, [NAMES[2]]) is None
        assert unpack(data, [NAMES[0], NAMES[2]]) is None

    def test_names_of_all_parts_that_a_large_model_has_differ(self) -> None:
        words = [
            f"{layer}  {pooling}" for layer in range(200) for pooling in ("cls", "mean", "max")
        ]
        names = {part_name(one) for one in words}
        assert len(names) == len(words)
        assert {len(name) for name in names} == {8}


class TestExtend:
    @given(st.integers(1, 4).flatmap(vectors), st.integers(1, 4).flatmap(vectors))
    def test_old_parts_stay_bit_for_bit_and_new_ones_follow(
        self, old: NDArray[np.float32], new: NDArray[np.float32]
    ) -> None:
        names, more = NAMES[: len(old)], NAMES[4 : 4 + len(new)]
        data = extend(pack(Record(7, 1, old), names), Record(7, 1, new), more)
        assert names_in(data) == (*names, *more)
        assert is_sound(data)
        back = unpack(data, [*names, *more])
        assert back is not None
        assert back[:2] == (7, 1)
        assert bits(back.vectors) == bits(np.concatenate([old, new]))

    def test_it_is_as_if_all_had_been_packed_at_once(self) -> None:
        both = np.concatenate([record(2).vectors, record(3, 50).vectors])
        assert extend(pack(record(2), NAMES[:2]), record(3, 50), NAMES[2:5]) == pack(
            Record(7, 1, both), NAMES[:5]
        )

    def test_damage_to_an_old_part_is_not_sealed_by_a_new_checksum(self) -> None:
        damaged = bytearray(pack(record(2), NAMES[:2]))
        damaged[-1] ^= 1  # the last number of the second part
        data = extend(bytes(damaged), record(1, 50), NAMES[2:3])
        assert not is_sound(data)
        with pytest.raises(DamagedRecordError):
            unpack(data, NAMES[1:2])
        assert unpack(data, [NAMES[0], NAMES[2]]) is not None

    def test_a_damaged_header_is_not_extended(self) -> None:
        with pytest.raises(DamagedRecordError):
            extend(b"\0" + pack(record(2), NAMES[:2])[1:], record(1), NAMES[2:3])


class TestDamage:
    def test_every_single_flipped_bit_is_noticed(self) -> None:
        data = extend(pack(record(2), NAMES[:2]), record(1, 50), NAMES[2:3])
        for index in range(8 * len(data)):
            damaged = bytearray(data)
            damaged[index // 8] ^= 1 << index % 8
            assert not is_sound(bytes(damaged))
            with pytest.raises(DamagedRecordError):
                unpack(bytes(damaged), NAMES[:3])

    @given(st.integers(1, 4).flatmap(vectors), st.data())
    def test_a_flipped_bit_is_noticed_whatever_the_numbers(
        self, put: NDArray[np.float32], draw: st.DataObject
    ) -> None:
        damaged = bytearray(pack(Record(7, 1, put), NAMES[: len(put)]))
        index = draw.draw(st.integers(0, 8 * len(damaged) - 1))
        damaged[index // 8] ^= 1 << index % 8
        with pytest.raises(DamagedRecordError):
            unpack(bytes(damaged), NAMES[: len(put)])

    def test_a_record_cut_at_any_length_is_noticed(self) -> None:
        data = pack(record(2), NAMES[:2])
        for length in range(len(data)):
            assert not is_sound(data[:length])
            with pytest.raises(DamagedRecordError):
                unpack(data[:length], NAMES[:1])

    @pytest.mark.parametrize("width", [0, 3, 5, 8])
    def test_vectors_of_another_width_are_noticed(self, width: int) -> None:
        data = pack(record(2), NAMES[:2])
        assert is_sound(data, 4)
        assert unpack(data, NAMES[:1], 4) is not None
        assert not is_sound(data, width)
        for names in (NAMES[:1], NAMES[2:3]):
            with pytest.raises(DamagedRecordError, match=f"have 4 numbers, not {width}"):
                unpack(data, names, width)

    def test_bytes_too_many_are_noticed(self) -> None:
        assert not is_sound(pack(record(2), NAMES[:2]) + b"\0")

    def test_parts_that_are_sound_can_be_had_from_a_damaged_record(self) -> None:
        damaged = bytearray(pack(record(2), NAMES[:2]))
        damaged[-1] ^= 1
        back = unpack(bytes(damaged), NAMES[:1])
        assert back is not None
        assert bits(back.vectors) == bits(record(2).vectors[:1])
        assert not is_sound(bytes(damaged))

    def test_numbers_that_changed_places_are_noticed(self) -> None:
        data = pack(record(2), NAMES[:2])
        with pytest.raises(DamagedRecordError, match="its numbers are damaged"):
            unpack(data[:-32] + data[-16:] + data[-32:-16], NAMES[:2])

    @pytest.mark.parametrize("data", ["text", None, 3, 2.5, b"", bytearray(100)])
    def test_what_is_no_bytes_at_all_is_noticed(self, data: Any) -> None:
        assert not is_sound(data)
        for read in (names_in, lambda value: unpack(value, NAMES[:1])):
            with pytest.raises(DamagedRecordError, match="it is not a record"):
                read(data)

    @pytest.mark.parametrize(
        ("n_parts", "width"), [(0, 4), (2**32 - 1, 1), (1, 2**32 - 1), (2**32 - 1, 2**32 - 1)]
    )
    def test_a_header_that_lies_under_a_right_checksum_is_noticed(
        self, n_parts: int, width: int
    ) -> None:
        rest = struct.pack("<IIII", 7, 1, n_parts, width) + bytes(100)
        with pytest.raises(DamagedRecordError, match="its header is damaged"):
            unpack(zlib.crc32(rest).to_bytes(4, "little") + rest, NAMES[:1])
