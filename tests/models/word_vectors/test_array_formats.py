"""Tests of models/word_vectors/array_formats.py."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from bertvectorizer.errors import InvalidParameterError, ModelIntegrityError, UnsafeModelError
from bertvectorizer.models.word_vectors.array_formats import (
    read_npz,
    read_safetensors,
    write_safetensors,
)

WORDS = ["tea", "日本", "🙂", "nan", '"q', "a b", "\u2028"]
VECTORS = np.random.default_rng(0).standard_normal((len(WORDS), 4), dtype=np.float32)


def listed(words: Any) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(words).encode(), dtype=np.uint8)


def npz(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    with zipfile.ZipFile(path) as archive:
        return read_npz(archive, path)


def npz_of(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(array: Any, header: str | None = None) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    if header is None:
        return buffer.getvalue()
    data = np.asarray(array).tobytes()
    padded = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + data


class TestSafetensors:
    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "v.safetensors"
        write_safetensors(path, [*WORDS[:-1], "\ud800"], VECTORS)
        words, vectors = read_safetensors(path)
        assert words == [*WORDS[:-1], "\ud800"]
        np.testing.assert_array_equal(vectors, VECTORS)

    def test_what_cannot_be_written_leaves_the_former_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "v.safetensors"
        write_safetensors(path, WORDS, VECTORS)
        before = path.read_bytes()

        def fail(tensors: object, file: str) -> None:
            Path(file).write_bytes(b"half")
            raise SafetensorError("I/O error: No space left on device")

        monkeypatch.setattr("safetensors.numpy.save_file", fail)
        with pytest.raises(InvalidParameterError, match=r"'path' parameter .* No space left"):
            write_safetensors(path, WORDS, 2 * VECTORS)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]
        with pytest.raises(InvalidParameterError, match="there is no folder"):
            write_safetensors(tmp_path / "none" / "v.safetensors", WORDS, VECTORS)

    def test_columns_of_another_order_in_memory(self, tmp_path: Path) -> None:
        write_safetensors(tmp_path / "v.safetensors", WORDS, np.asfortranarray(VECTORS))
        np.testing.assert_array_equal(read_safetensors(tmp_path / "v.safetensors")[1], VECTORS)

    @pytest.mark.parametrize("kind", ["vectors", "embeddings", "embedding"])
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
    def test_other_names_and_types(self, kind: str, dtype: Any, tmp_path: Path) -> None:
        save_file({kind: np.eye(2, dtype=dtype), "words": listed(["a", "b"])}, tmp_path / "v")
        words, vectors = read_safetensors(tmp_path / "v")
        assert (words, vectors.dtype, vectors.tolist()) == (
            ["a", "b"],
            np.float32,
            [[1, 0], [0, 1]],
        )

    @pytest.mark.parametrize("names", [["vectors"], ["words"], ["weights", "words"]])
    def test_other_tensors(self, names: list[str], tmp_path: Path) -> None:
        save_file({name: np.eye(2, dtype=np.float32) for name in names}, tmp_path / "v")
        with pytest.raises(
            ModelIntegrityError, match="must hold the tensors 'vectors' and 'words'"
        ):
            read_safetensors(tmp_path / "v")

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (listed(["a"]), "a row for each of the 1 words"),
            (listed(["a", "a"]), "a sequence of distinct words"),
            (listed(["a", ""]), "none of them empty"),
            (listed(["a", 3]), "a sequence of str"),
            (listed({"a": 1, "b": 2}), "a sequence of str"),
            (listed(5), "a sequence of str"),
            (listed([]), "at least one word"),
            (listed(["a", "b"])[:-1].copy(), "a JSON list in utf-8 bytes"),
            (np.array([255, 254], dtype=np.uint8), "a JSON list in utf-8 bytes"),
            (np.frombuffer(b"[" * 100_000, dtype=np.uint8), "a JSON list in utf-8 bytes"),
        ],
    )
    def test_words_that_are_none(self, words: Any, expected: str, tmp_path: Path) -> None:
        save_file({"vectors": np.eye(2, dtype=np.float32), "words": words}, tmp_path / "v")
        with pytest.raises(ModelIntegrityError, match=expected):
            read_safetensors(tmp_path / "v")

    def test_numbers_that_are_not_finite(self, tmp_path: Path) -> None:
        write_safetensors(
            tmp_path / "v", ["a", "b"], np.array([[1, 2], [np.nan, 4]], dtype=np.float32)
        )
        with pytest.raises(ModelIntegrityError, match=r"holds no table of word vectors.*row 1"):
            read_safetensors(tmp_path / "v")

    def test_every_way_to_cut_it_off(self, tmp_path: Path) -> None:
        write_safetensors(tmp_path / "v", WORDS, VECTORS)
        data = (tmp_path / "v").read_bytes()
        for end in range(0, len(data), 7):
            (tmp_path / "cut").write_bytes(data[:end])
            with pytest.raises(ModelIntegrityError, match="cannot be read as safetensors"):
                read_safetensors(tmp_path / "cut")

    @pytest.mark.parametrize("shape", [[10**9, 10**6], [2, 3], [-1, 4], [2**63, 2**63]])
    @pytest.mark.parametrize("n_bytes", [16, 10**15])
    def test_a_header_that_lies(self, shape: list[int], n_bytes: int, tmp_path: Path) -> None:
        header = json.dumps(
            {"vectors": {"dtype": "F32", "shape": shape, "data_offsets": [0, n_bytes]}}
        ).encode()
        (tmp_path / "v").write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
        with pytest.raises(ModelIntegrityError, match="cannot be read as safetensors"):
            read_safetensors(tmp_path / "v")


class TestNpz:
    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    @pytest.mark.parametrize("kind", ["vectors", "embeddings", "embedding"])
    @pytest.mark.parametrize("is_bytes", [False, True])
    def test_words_and_vectors(self, save: Any, kind: str, is_bytes: bool, tmp_path: Path) -> None:
        words = np.array([word.encode() for word in WORDS] if is_bytes else WORDS)
        save(tmp_path / "v.npz", words=words, **{kind: VECTORS}, more=np.zeros(3))
        found, vectors = npz(tmp_path / "v.npz")
        assert found == WORDS
        np.testing.assert_array_equal(vectors, VECTORS)
        assert vectors.flags.c_contiguous

    def test_columns_of_another_order_or_type(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "v.npz", words=WORDS, vectors=np.asfortranarray(VECTORS.astype(">f8")))
        _, vectors = npz(tmp_path / "v.npz")
        np.testing.assert_array_equal(vectors, VECTORS)
        assert vectors.dtype == np.float32

    @pytest.mark.parametrize("members", [{"words": 1}, {"vectors": 1}, {"arr_0": 1, "arr_1": 1}])
    def test_other_arrays(self, members: dict[str, Any], tmp_path: Path) -> None:
        np.savez(tmp_path / "v.npz", **members)
        with pytest.raises(
            ModelIntegrityError, match=r"must hold the arrays 'words' and 'vectors'\. It holds"
        ):
            npz(tmp_path / "v.npz")

    @pytest.mark.parametrize(
        ("words", "vectors", "expected"),
        [
            (["a"], np.eye(2), "a row for each of the 1 words"),
            (["a", "a"], np.eye(2), "distinct words"),
            (["a", ""], np.eye(2), "none of them empty"),
            ([1, 2], np.eye(2), "a sequence of str"),
            ([["a"], ["b"]], np.eye(2), "a sequence of str"),
            ("a", np.eye(1), "a sequence of str"),
            ([b"a", b"\xff"], np.eye(2), "must be utf-8"),
            (["a", "b"], np.eye(2) * 1j, "a matrix of numbers"),
            (["a", "b"], np.array([[1, 2], [3, np.inf]]), "row 1"),
            (["a", "b"], np.array([["x"], ["y"]]), "a matrix of numbers"),
        ],
    )
    def test_what_is_no_table(
        self, words: Any, vectors: Any, expected: str, tmp_path: Path
    ) -> None:
        np.savez(tmp_path / "v.npz", words=np.array(words), vectors=vectors)
        with pytest.raises(ModelIntegrityError, match=expected):
            npz(tmp_path / "v.npz")

    @pytest.mark.parametrize("member", ["words", "vectors"])
    def test_objects_are_never_unpickled(self, member: str, tmp_path: Path) -> None:
        class Bomb:
            def __reduce__(self) -> Any:
                return (Path.touch, (tmp_path / "exploded",))

        pickle.loads(pickle.dumps(Bomb()))
        assert (tmp_path / "exploded").exists()  # it works, where it is unpickled
        (tmp_path / "exploded").unlink()
        array = np.empty(2, dtype=object)
        array[:] = [Bomb(), Bomb()]
        np.savez(
            tmp_path / "v.npz", **({"words": ["a", "b"], "vectors": np.eye(2)} | {member: array})
        )
        with pytest.raises(
            UnsafeModelError,
            match=rf"'{member}\.npy' .*holds pickled objects.*np\.array\(words, dtype=str\)",
        ):
            npz(tmp_path / "v.npz")
        assert not (tmp_path / "exploded").exists()

    @pytest.mark.parametrize(
        "header",
        [
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000000), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, -2), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (), }",
            "{'descr': '|V0', 'fortran_order': False, 'shape': (1000000000000,), }",
            "{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': 'many', }",
            "{'descr': 'tea', 'fortran_order': False, 'shape': (2, 2), }",
            "{'descr': '<f4', 'shape': (2, 2), }",
            "__import__('os')",
            "((((((((((",
            "(" * 110,
            "'''",
            "",
        ],
    )
    @pytest.mark.parametrize("member", ["words", "vectors"])
    @pytest.mark.filterwarnings("ignore:Reading `.npy`")
    def test_a_header_that_lies(self, header: str, member: str, tmp_path: Path) -> None:
        content = {"words": npy(["a", "b"]), "vectors": npy(np.eye(2))} | {
            member: npy(np.eye(2, dtype=np.float32), header)
        }
        with pytest.raises(ModelIntegrityError, match=rf"The array '{member}\.npy' of"):
            npz(npz_of(tmp_path / "v.npz", **content))

    @pytest.mark.parametrize("kind", ["|V0", "<U0"])
    def test_any_number_of_nothings(self, kind: str, tmp_path: Path) -> None:
        empty = npy(
            np.empty(0),
            f"{{'descr': '{kind}', 'fortran_order': False, 'shape': (1000000000000,), }}",
        )
        with pytest.raises(ModelIntegrityError, match="promises 128 bytes and has 128"):
            npz(npz_of(tmp_path / "v.npz", words=empty, vectors=npy(np.eye(2))))

    @pytest.mark.parametrize("version", [b"\x00\x00", b"\x09\x00", b"\x02\x00", b"\x03\x00"])
    def test_another_version(self, version: bytes, tmp_path: Path) -> None:
        content = bytearray(npy(np.eye(2)))
        content[6:8] = version
        with pytest.raises(ModelIntegrityError, match=r"'vectors\.npy' of .* cannot be read"):
            npz(npz_of(tmp_path / "v.npz", words=npy(["a", "b"]), vectors=bytes(content)))

    def test_newer_versions_of_the_format(self, tmp_path: Path) -> None:
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.eye(2), version=(2, 0))
        assert npz(npz_of(tmp_path / "v.npz", words=npy(["a", "b"]), vectors=buffer.getvalue()))[
            1
        ].tolist() == [[1, 0], [0, 1]]

    @pytest.mark.parametrize(
        ("words", "vectors", "expected"),
        [
            (["a"], np.zeros((5 << 20, 1)), r"'vectors\.npy' .*no array is so easy to compress"),
            (np.zeros(1 << 19, dtype="<U1"), np.eye(2), r"'words\.npy' .* easy to compress"),
            (["a" * 20_000], np.eye(1), "items of 80,000 bytes, and no word is longer"),
            (np.zeros(200_000, dtype="<U1"), np.eye(2), "a row for each of the 200,000 words"),
            (["a"], np.zeros((1, 65_537), dtype="u1"), "at most 65,536"),
        ],
    )
    def test_sizes_are_limited_before_anything_is_read(
        self,
        words: Any,
        vectors: NDArray[Any],
        expected: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        np.savez_compressed(tmp_path / "v.npz", words=words, vectors=vectors)
        assert (tmp_path / "v.npz").stat().st_size < 100_000

        def refuse(*_: Any, **__: Any) -> None:
            raise AssertionError("an array was read")

        monkeypatch.setattr(np.lib.format, "read_array", refuse)
        with pytest.raises(ModelIntegrityError, match=expected):
            npz(tmp_path / "v.npz")

    def test_a_bomb(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "v.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("words.npy", npy(np.zeros(200_000_000, dtype=np.uint8)))
            archive.writestr("vectors.npy", npy(np.eye(2)))
        with pytest.raises(ModelIntegrityError, match="no array is so easy to compress"):
            npz(tmp_path / "v.npz")

    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    def test_every_damaged_byte_is_noticed_or_harmless(self, method: int, tmp_path: Path) -> None:
        path = tmp_path / "v.npz"
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("words.npy", npy(WORDS))
            archive.writestr("vectors.npy", npy(VECTORS))
        whole = path.read_bytes()
        n_noticed = 0
        with zipfile.ZipFile(path) as archive:
            for at in range(0, archive.start_dir, 3):
                spoilt = bytearray(whole)
                spoilt[at] ^= 0xFF
                path.write_bytes(spoilt)
                try:
                    words, vectors = npz(path)
                except ModelIntegrityError:
                    n_noticed += 1
                else:
                    assert (words, vectors.tolist()) == (WORDS, VECTORS.tolist())
        assert n_noticed > 20

    def test_an_encrypted_one(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "v.npz", words=WORDS, vectors=VECTORS)
        data = bytearray((tmp_path / "v.npz").read_bytes())
        at = data.find(b"PK\x01\x02")
        while at >= 0:
            data[at + 8] |= 1
            at = data.find(b"PK\x01\x02", at + 1)
        (tmp_path / "v.npz").write_bytes(data)
        with pytest.raises(ModelIntegrityError, match="is encrypted"):
            npz(tmp_path / "v.npz")
