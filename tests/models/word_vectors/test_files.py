"""Tests of models/word_vectors/files.py."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim.models import KeyedVectors, Word2Vec
from numpy.typing import NDArray

from bertvectorizer import WordVectors
from bertvectorizer.errors import (
    InvalidParameterError,
    ModelIntegrityError,
    ModelNotFoundError,
    UnsafeModelError,
)
from bertvectorizer.models.word_vectors.files import VectorFile, find, read_blocks
from tests.processes import run_python

TEXT = b"tea 0.5 -1\ncup 2 3\n"


def read(path: Any) -> tuple[list[str], NDArray[np.float32]]:
    words: list[str] = []
    matrices = []
    for block, vectors in read_blocks(find(path)):
        words += block
        matrices.append(vectors)
    return words, np.concatenate(matrices)


def is_sound(path: Any) -> bool:
    words, vectors = read(path)
    return (words, vectors.tolist()) == (["tea", "cup"], [[0.5, -1], [2, 3]])


def zipped(path: Path, method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_txt", ".txt"), content)
    return path


@pytest.fixture
def gensim_vectors() -> KeyedVectors:
    vectors = KeyedVectors(30)
    words = [f"w{n}" for n in range(700)] + ["nan", "NA", "#", "1999", "日本", "🙂", "a\u00a0b"]
    vectors.add_vectors(
        words, np.random.default_rng(3).standard_normal((len(words), 30), dtype=np.float32)
    )
    return vectors


class TestFind:
    def test_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "v.txt").write_bytes(TEXT)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        expected = VectorFile(tmp_path / "v.txt", None)
        assert (
            find("v.txt")
            == find(Path("v.txt"))
            == find("~/v.txt")
            == find(str(tmp_path / "v.txt"))
            == expected
        )
        assert str(expected) == str(tmp_path / "v.txt")

    def test_a_path_goes_on_in_an_archive(self, tmp_path: Path) -> None:
        zipped(tmp_path / "v.zip", in__a_txt=TEXT)
        file = find(tmp_path / "v.zip" / "in" / "a.txt")
        assert file == VectorFile(tmp_path / "v.zip", "in/a.txt")
        assert find(str(file)) == file

    @pytest.mark.parametrize("path", ["", None, 3, b"v.txt", ["v.txt"]])
    def test_what_is_no_path(self, path: Any) -> None:
        with pytest.raises(
            InvalidParameterError, match="'vectors' parameter must be the path of a file"
        ):
            find(path)

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        (tmp_path / "v.txt").write_bytes(TEXT)
        for name in ("w.txt", "v.txt/a", "none/a"):
            with pytest.raises(ModelNotFoundError, match=f"There is no file '{tmp_path / name}'"):
                find(tmp_path / name)

    def test_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(
            ModelNotFoundError, match=r"is a directory, and holds no .*; give the path of a file"
        ):
            find(tmp_path)


class TestFormats:
    """What a file is called does not matter: it is recognised by what it begins with."""

    @pytest.mark.parametrize("header", [b"", b"2 2\n"])
    def test_text(self, header: bytes, tmp_path: Path) -> None:
        (tmp_path / "v.bin").write_bytes(header + TEXT)
        assert is_sound(tmp_path / "v.bin")

    @pytest.mark.parametrize("n_members", [1, 2])
    @pytest.mark.parametrize("header", [b"", b"2 2\n"])
    def test_gzip(self, header: bytes, n_members: int, tmp_path: Path) -> None:
        data = header + TEXT
        parts = [data] if n_members == 1 else [data[:9], data[9:]]
        (tmp_path / "v.txt").write_bytes(b"".join(map(gzip.compress, parts)))
        assert is_sound(tmp_path / "v.txt")

    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    def test_a_zip_with_one_member(self, method: int, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "v", "w", method) as archive:
            archive.mkdir("in")
            archive.writestr("in/v.txt", TEXT)
        assert is_sound(tmp_path / "v")
        assert is_sound(tmp_path / "v" / "in" / "v.txt")

    def test_a_zip_with_several(self, tmp_path: Path) -> None:
        zipped(tmp_path / "v.zip", a_txt=b"x 1\n", in__b_txt=TEXT)
        assert is_sound(tmp_path / "v.zip" / "in" / "b.txt")
        with pytest.raises(
            ModelNotFoundError,
            match=(
                r"holds 2 files that could be meant: a\.txt, in/b\.txt\. Name one, as in"
                r" 'v\.zip/a\.txt'"
            ),
        ):
            read(tmp_path / "v.zip")
        with pytest.raises(ModelNotFoundError, match="holds 0 files that could be meant"):
            read(tmp_path / "v.zip" / "c.txt")

    def test_an_empty_zip(self, tmp_path: Path) -> None:
        with pytest.raises(
            ModelNotFoundError, match=r"holds 0 files that could be meant.*'v\.zip/vectors\.txt'"
        ):
            read(zipped(tmp_path / "v.zip"))

    @pytest.mark.parametrize("is_binary", [False, True])
    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    def test_what_gensim_writes(
        self,
        is_binary: bool,
        pack: Callable[[bytes], bytes],
        gensim_vectors: KeyedVectors,
        tmp_path: Path,
    ) -> None:
        gensim_vectors.save_word2vec_format(tmp_path / "v", binary=is_binary)
        again = KeyedVectors.load_word2vec_format(tmp_path / "v", binary=is_binary)
        (tmp_path / "w").write_bytes(pack((tmp_path / "v").read_bytes()))
        words, vectors = read(tmp_path / "w")
        assert words == again.index_to_key == gensim_vectors.index_to_key
        np.testing.assert_array_equal(vectors, again.vectors)
        np.testing.assert_array_equal(vectors, gensim_vectors.vectors)

    def test_arrays(self, tmp_path: Path) -> None:
        words, vectors = ["tea", "cup"], np.array([[0.5, -1], [2, 3]])
        np.savez(tmp_path / "v.npz", words=words, vectors=vectors)
        WordVectors(words, vectors).save(tmp_path / "v.safetensors")
        assert is_sound(tmp_path / "v.npz")
        assert is_sound(tmp_path / "v.safetensors")

    def test_a_text_that_looks_like_an_archive_at_its_end_or_beginning(
        self, tmp_path: Path
    ) -> None:
        end = io.BytesIO()
        zipfile.ZipFile(end, "w").close()
        (tmp_path / "v").write_bytes(b"PK 1 2\ntea 3 4\n" + end.getvalue() + b" 5 6\n")
        assert zipfile.is_zipfile(tmp_path / "v")
        assert read(tmp_path / "v")[0] == ["PK", "tea", end.getvalue().decode()]

    def test_real_subsets(self, shared_data: Path) -> None:
        for name, shape in {
            "glove.6B.100d.sample.txt.gz": (100, 100),
            "glove.6B.300d.sample.txt.gz": (100, 300),
            "glove.twitter.27B.25d.subset11925.txt": (11_925, 25),
            "word2vec_googlenews_300d_top1000.txt": (1000, 300),
        }.items():
            path = shared_data / "glove_subsets" / name
            data = path.read_bytes()
            lines = (
                (gzip.decompress(data) if name.endswith(".gz") else data)
                .decode()
                .splitlines()["word2vec" in name :]
            )
            words, vectors = read(path)
            assert words == [line.split(" ")[0] for line in lines]
            exact = np.array([line.split(" ")[1:] for line in lines], dtype=np.float32)
            np.testing.assert_array_max_ulp(vectors, exact, maxulp=1)
            assert vectors.shape == shape


class TestUnsafe:
    @pytest.mark.parametrize("protocol", range(2, 6))
    @pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda data: data])
    def test_pickles_are_refused_unread(
        self, protocol: int, pack: Callable[[bytes], bytes], tmp_path: Path
    ) -> None:
        class Bomb:
            def __reduce__(self) -> Any:
                return (Path.touch, (tmp_path / "exploded",))

        data = pickle.dumps(Bomb(), protocol=protocol)
        pickle.loads(data)
        assert (tmp_path / "exploded").exists()  # it works, where it is unpickled
        (tmp_path / "exploded").unlink()
        (tmp_path / "v.model").write_bytes(pack(data))
        zipped(tmp_path / "v.zip", model=data)
        for name in ("v.model", "v.zip"):
            with pytest.raises(
                UnsafeModelError,
                match=r"is a pickle, and loading a pickle can run code.*KeyedVectors\.load\(path\)",
            ):
                read(tmp_path / name)
        assert not (tmp_path / "exploded").exists()

    @pytest.mark.parametrize("protocol", range(2, 6))
    def test_gensim_s_own_files(
        self, protocol: int, gensim_vectors: KeyedVectors, tmp_path: Path
    ) -> None:
        model = Word2Vec([["tea", "cup"]] * 5, vector_size=4, min_count=1, workers=1)
        model.save(str(tmp_path / "v.model"), pickle_protocol=protocol)
        gensim_vectors.save(str(tmp_path / "v.kv"), pickle_protocol=protocol)
        for name in ("v.model", "v.kv"):
            with pytest.raises(UnsafeModelError, match="is a pickle"):
                read(tmp_path / name)

    def test_numpy_arrays_have_no_words(self, tmp_path: Path) -> None:
        np.save(tmp_path / "v.npy", np.eye(3))
        zipped(tmp_path / "v.zip", array=(tmp_path / "v.npy").read_bytes())
        for name in ("v.npy", "v.zip"):
            with pytest.raises(
                UnsafeModelError,
                match=r"is a NumPy array.*np\.savez\('table\.npz', words=words, vectors=vectors\)",
            ):
                read(tmp_path / name)

    def test_fasttext_s_binary_format(self, tmp_path: Path) -> None:
        (tmp_path / "v.bin").write_bytes(
            (793712314).to_bytes(4, "little") + (12).to_bytes(4, "little") + bytes(1000)
        )
        with pytest.raises(
            ModelIntegrityError,
            match=r"fastText model in its own binary format.*\.vec.*load_facebook_vectors",
        ):
            read(tmp_path / "v.bin")


class TestFaults:
    def test_the_line_and_byte_of_a_compressed_file(self, tmp_path: Path) -> None:
        data = TEXT + b"pot 1\n"
        (tmp_path / "v.gz").write_bytes(gzip.compress(data))
        zipped(tmp_path / "v.zip", in__v_txt=data)
        for path in (tmp_path / "v.gz", tmp_path / "v.zip"):
            name = path / "in/v.txt" if path.suffix == ".zip" else path
            with pytest.raises(
                ModelIntegrityError,
                match=rf"^Line 3 \(byte {len(TEXT)}\) of '{name}' must hold a word and 2 numbers",
            ):
                read(path)

    @pytest.mark.parametrize("data", [b"", b"\n", b"2 2\n"])
    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    def test_files_without_words(
        self, data: bytes, pack: Callable[[bytes], bytes], tmp_path: Path
    ) -> None:
        (tmp_path / "v").write_bytes(pack(data))
        with pytest.raises(
            ModelIntegrityError, match=r"holds no word vectors: it ends at byte|promises 2 words"
        ):
            read(tmp_path / "v")

    def test_every_way_to_cut_gzip_off(self, tmp_path: Path) -> None:
        whole = gzip.compress(TEXT)
        for end in range(2, len(whole)):
            (tmp_path / "v").write_bytes(whole[:end])
            with pytest.raises(
                ModelIntegrityError,
                match=r"cannot be decompressed beyond byte|holds no word vectors",
            ):
                read(tmp_path / "v")

    @pytest.mark.parametrize(
        "pack",
        [
            gzip.compress,
            lambda data: zip_bytes(data, zipfile.ZIP_STORED),
            lambda data: zip_bytes(data, zipfile.ZIP_DEFLATED),
        ],
    )
    def test_damaged_bytes_are_noticed_or_harmless(
        self, pack: Callable[[bytes], bytes], tmp_path: Path
    ) -> None:
        rng = np.random.default_rng(0)
        text = b"".join(b"w%d %f %f\n" % (n, *rng.standard_normal(2)) for n in range(50))
        (tmp_path / "v").write_bytes(text)
        words, vectors = read(tmp_path / "v")
        whole = pack(text)
        n_noticed = 0
        for at in range(0, len(whole), 5):
            spoilt = bytearray(whole)
            spoilt[at] ^= 0x55
            (tmp_path / "v").write_bytes(spoilt)
            try:
                found = read(tmp_path / "v")
            except (ModelIntegrityError, ModelNotFoundError):
                n_noticed += 1
            else:
                assert (found[0], found[1].tolist()) == (words, vectors.tolist())
        assert n_noticed > len(whole) / 10

    def test_what_follows_gzip(self, tmp_path: Path) -> None:
        (tmp_path / "v").write_bytes(gzip.compress(TEXT) + b"garbage")
        with pytest.raises(
            ModelIntegrityError, match=r"cannot be decompressed beyond byte .*Fetch it again"
        ):
            read(tmp_path / "v")

    @pytest.mark.parametrize("end", [5, 40, -30, -1])
    def test_zips_that_are_cut_off(self, end: int, tmp_path: Path) -> None:
        (tmp_path / "v").write_bytes(zip_bytes(TEXT * 20)[:end])
        with pytest.raises(ModelIntegrityError, match="cannot be read as a zip archive"):
            read(tmp_path / "v")

    def test_an_encrypted_zip(self, tmp_path: Path) -> None:
        data = bytearray(zip_bytes(TEXT))
        data[6] |= 1
        data[data.find(b"PK\x01\x02") + 8] |= 1
        (tmp_path / "v.zip").write_bytes(data)
        with pytest.raises(ModelIntegrityError, match=r"v\.zip/v\.txt' is encrypted\. Extract it"):
            read(tmp_path / "v.zip")

    def test_a_method_of_compression_that_is_unknown(self, tmp_path: Path) -> None:
        data = bytearray(zip_bytes(TEXT))
        data[data.find(b"PK\x01\x02") + 10] = 99
        (tmp_path / "v.zip").write_bytes(data)
        with pytest.raises(
            ModelIntegrityError,
            match=r"v\.zip/v\.txt' is compressed by another method than Deflate\. Extract it",
        ):
            read(tmp_path / "v.zip")

    def test_safetensors_with_a_header_that_lies(self, tmp_path: Path) -> None:
        WordVectors(["tea"], [[1.0]]).save(tmp_path / "v.safetensors")
        data = (tmp_path / "v.safetensors").read_bytes()
        for length in (0, 1, len(data), 2**31):
            (tmp_path / "v").write_bytes(length.to_bytes(8, "little") + data[8:])
            with pytest.raises(ModelIntegrityError, match="cannot be read as safetensors"):
                read(tmp_path / "v")


def zip_bytes(data: bytes, method: int = zipfile.ZIP_DEFLATED, times: int = 1) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, archive.open("v.txt", "w") as stream:
        for _ in range(times):
            stream.write(data)
    return buffer.getvalue()


def gzipped(parts: list[bytes], times: int) -> bytes:
    """Compress the same parts again and again, as fast as it goes."""
    packer = zlib.compressobj(1, wbits=31)
    return b"".join(
        [*(packer.compress(part) for _ in range(times) for part in parts), packer.flush()]
    )


MEGABYTE = 1 << 20
BOMBS = {
    "zeros": (lambda: gzipped([bytes(MEGABYTE)], 300), "longer than"),
    "line": (lambda: gzipped([b"1 " * (MEGABYTE // 2)], 300), "longer than"),
    "blank": (lambda: gzipped([b"\n" * MEGABYTE], 300), "expands to more than 100 times its size"),
    "rows": (
        lambda: gzipped([b"tea" + b" 0.25" * 25 + b"\n"] * 8000, 300),
        "repeats the word 'tea'",
    ),
    "zip": (
        lambda: zip_bytes(b"\n" * MEGABYTE, times=300),
        "expands to more than 100 times its size",
    ),
    "bzip2": (
        lambda: zip_bytes(b"\n" * MEGABYTE, zipfile.ZIP_BZIP2, times=30),
        "is compressed by another method than Deflate",
    ),
    "lzma": (
        lambda: zip_bytes(b"\n" * MEGABYTE, zipfile.ZIP_LZMA, times=30),
        "is compressed by another method than Deflate",
    ),
    "text header": (lambda: b"1000000000000 300\ntea 1 2\n", "promises 1,000,000,000,000 words"),
    "gzip header": (
        lambda: gzip.compress(b"1000000000000 2\ntea 1 2\n"),
        "promises 1,000,000,000,000 words",
    ),
    "binary header": (
        lambda: b"1000000000 300\ntea " + bytes(1200),
        "promises 1,000,000,000 words",
    ),
    "gzip of binary": (lambda: gzip.compress(b"1000000000 300\ntea " + bytes(1200)), "is cut off"),
}


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="the size of a process is read from /proc"
)
def test_bombs_are_refused_in_bounded_memory(tmp_path: Path) -> None:
    for name, (make, _) in BOMBS.items():
        (tmp_path / name).write_bytes(make())
    code = """
import resource, sys
from pathlib import Path
import numpy, pyarrow.csv
from bertvectorizer.errors import ModelError
from bertvectorizer.models.word_vectors.files import find, read_blocks
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (900 << 20),) * 2)  # what is allocated, used or not
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        for _ in read_blocks(find(path)):
            pass
    except ModelError as error:
        print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    *lines, kilobytes = run_python(
        code, *(tmp_path / name for name in BOMBS), ARROW_DEFAULT_MEMORY_POOL="system"
    ).splitlines()
    assert int(kilobytes) < 270 << 10  # most hold 300 megabytes, or promise more
    assert len(lines) == len(BOMBS)
    for line, (name, (_, expected)) in zip(lines, BOMBS.items(), strict=True):
        assert str(tmp_path / name) in line
        assert expected in line


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zip_bytes])
def test_a_file_of_nothing_but_one_word(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    (tmp_path / "v").write_bytes(pack(b"tea"))
    with pytest.raises(
        ModelIntegrityError,
        match=r"^Line 1 \(byte 0\) of '.*' must hold a word and its numbers: 'tea'",
    ):
        read(tmp_path / "v")


def test_files_are_closed(tmp_path: Path) -> None:
    (tmp_path / "v.gz").write_bytes(gzip.compress(TEXT))
    zipped(tmp_path / "v.zip", v_txt=TEXT)
    (tmp_path / "v.txt").write_bytes(TEXT)
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    for name in ("v.gz", "v.zip", "v.txt"):
        assert is_sound(tmp_path / name)
    assert not before or len(os.listdir("/proc/self/fd")) == len(before)
