"""Tests of models/word_vectors/loading.py."""

from __future__ import annotations

import gzip
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from gensim.models import FastText, KeyedVectors, Word2Vec

from bertvectorizer import WordVectors, load_word_vectors
from bertvectorizer.errors import (
    InvalidParameterError,
    ModelChangedError,
    ModelIntegrityError,
    ModelNotFoundError,
)
from bertvectorizer.models.word_vectors import loading as word_sources
from bertvectorizer.models.word_vectors.array_formats import write_safetensors
from bertvectorizer.models.word_vectors.disk_cache import tables_directory
from bertvectorizer.models.word_vectors.loading import FastTextSubwords, is_in_memory
from tests.files import forget_tables, rewrite

TEXT = b"tea 0.5 -1\ncup 2 3\n"
SENTENCES = [["tea", "cup", "pot"], ["tea", "teapot", "water"]] * 10


def is_sound(table: WordVectors) -> bool:
    return (table.words, table.vectors.tolist()) == (["tea", "cup"], [[0.5, -1], [2, 3]])


@pytest.fixture(scope="module")
def fasttext() -> Any:
    return FastText(
        SENTENCES, vector_size=8, min_count=1, bucket=100, min_n=3, max_n=5, epochs=1, workers=1
    ).wv


class TestFiles:
    def test_all_kinds(self, tmp_path: Path) -> None:
        frame = pd.DataFrame([[0.5, -1], [2, 3]], index=["tea", "cup"])
        vectors = frame.to_numpy()
        (tmp_path / "glove.txt").write_bytes(TEXT)
        (tmp_path / "fasttext.vec").write_bytes(b"2 2\n" + TEXT.replace(b"\n", b" \n"))
        (tmp_path / "v.gz").write_bytes(gzip.compress(TEXT))
        with zipfile.ZipFile(tmp_path / "v.zip", "w") as archive:
            archive.writestr("in/v.txt", TEXT)
        np.savez(tmp_path / "v.npz", words=["tea", "cup"], vectors=vectors)
        WordVectors(["tea", "cup"], vectors).save(tmp_path / "v.safetensors")
        own = KeyedVectors(2)
        own.add_vectors(["tea", "cup"], vectors.astype(np.float32))
        own.save_word2vec_format(tmp_path / "v.bin", binary=True)
        paths = [path for path in tmp_path.iterdir() if path.suffix]
        assert len(paths) == 7
        for path in [*paths, tmp_path / "v.zip" / "in" / "v.txt"]:
            assert is_sound(load_word_vectors(path))
            forget_tables()
            assert is_sound(load_word_vectors(str(path)))

    def test_members_of_an_archive_are_tables_of_their_own(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "v.zip", "w") as archive:
            archive.writestr("a.txt", TEXT)
            archive.writestr("b.txt", b"pot 1 1\n")
        one, other = (
            load_word_vectors(tmp_path / "v.zip" / "a.txt"),
            load_word_vectors(tmp_path / "v.zip" / "b.txt"),
        )
        assert is_sound(one)
        assert other.words == ["pot"]
        forget_tables()
        assert pickle.loads(pickle.dumps(other)).words == ["pot"]

    def test_a_faulty_file_is_never_kept(self, tmp_path: Path) -> None:
        (tmp_path / "v.txt").write_bytes(TEXT + b"pot 1\n")
        for _ in range(2):
            with pytest.raises(ModelIntegrityError, match=r"Line 3 \(byte 19\)"):
                load_word_vectors(tmp_path / "v.txt")
        assert not [path for path in tables_directory().iterdir() if path.is_dir()]

    def test_a_file_that_is_changed_while_it_is_read_is_not_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "v.txt"
        file.write_bytes(TEXT)
        read = word_sources.read_blocks

        def replaced_first(found: Any, faults: Any) -> Any:
            file.write_bytes(b"pot 1 2\n")
            return read(found, faults)

        with monkeypatch.context() as patch:
            patch.setattr(word_sources, "read_blocks", replaced_first)
            with pytest.raises(
                ModelChangedError, match=f"The file '{file}' was changed while it was read"
            ):
                load_word_vectors(file)
        file.write_bytes(TEXT)
        assert is_sound(load_word_vectors(file))


WORDS = [b"tea", b"na\xc3", b"tea", b"cup", b"pot"]
ROWS = np.array([[0.5, -1], [1, 1], [7, 7], [2, 3], [np.inf, 1]], dtype=np.float32)


def write_faulty(path: Path, *, with_damage: bool = True) -> None:
    """Write a word that is cut, one that is repeated, and with damage a number that is none."""
    n_rows = 5 if with_damage else 4
    rows = list(zip(WORDS, ROWS.tolist(), strict=True))[:n_rows]
    text = b"".join(b"%b %r %r\n" % (word, *row) for word, row in rows)
    header = b"%d 2\n" % n_rows
    arrays = [0, 1, 2, 3, 4] if with_damage else [0, 2, 3]
    words, vectors = np.array(["tea", "", "tea", "cup", "pot"])[arrays], ROWS[arrays]
    if path.suffix == ".bin":
        path.write_bytes(header + b"".join(w + b" " + np.float32(r).tobytes() for w, r in rows))
    elif path.suffix == ".vec":
        path.write_bytes(header + text)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(text))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("v.txt", text)
    elif path.suffix == ".npz":
        np.savez(path, words=words, vectors=vectors)
    elif path.suffix == ".safetensors":
        write_safetensors(path, words.tolist(), vectors)
    else:
        path.write_bytes(text)


NAMES = ["v.txt", "v.vec", "v.bin", "v.gz", "v.zip", "v.npz", "v.safetensors"]


class TestOnError:
    @pytest.mark.parametrize("name", NAMES)
    def test_sound_rows_are_read_and_the_others_counted(self, name: str, tmp_path: Path) -> None:
        file = tmp_path / name
        write_faulty(file)
        with pytest.raises(ModelIntegrityError):
            load_word_vectors(file)
        with pytest.warns(
            UserWarning,
            match=f"3 faulty rows of '{file}' are left out.* The first: (Line [23]|Word 2|Row 1) ",
        ):
            table = load_word_vectors(file, on_error="skip")
        assert is_sound(table)
        assert table.n_skipped == 3
        forget_tables()
        again = load_word_vectors(file, on_error="skip")  # cached, without another warning
        assert is_sound(again)
        assert again.n_skipped == 3
        assert again.fingerprint == table.fingerprint
        forget_tables()
        assert pickle.loads(pickle.dumps(again)).n_skipped == 3
        with pytest.raises(ModelIntegrityError):
            load_word_vectors(file)

    @pytest.mark.parametrize("name", NAMES)
    def test_words_that_no_text_could_look_up_are_left_out(self, name: str, tmp_path: Path) -> None:
        file = tmp_path / name
        write_faulty(file, with_damage=False)
        with pytest.raises(ModelIntegrityError):
            load_word_vectors(file, on_error="raise")
        with pytest.warns(UserWarning, match=rf"rows of '{file}' are left out"):
            table = load_word_vectors(file)
        assert is_sound(table)
        assert table.n_skipped == (1 if name.endswith(("npz", "safetensors")) else 2)
        with pytest.raises(ModelIntegrityError):
            load_word_vectors(file, on_error="raise")

    def test_the_error_names_the_remedy(self, tmp_path: Path) -> None:
        write_faulty(tmp_path / "v.txt")
        with pytest.raises(
            ModelIntegrityError, match=r"not utf-8 .*: '.*'\. on_error='skip' leaves such rows out"
        ):
            load_word_vectors(tmp_path / "v.txt", on_error="raise")

    @pytest.mark.parametrize("text", [TEXT, b"2 2\n" + TEXT])
    def test_a_sound_file_is_read_as_ever(self, text: bytes, tmp_path: Path) -> None:
        (tmp_path / "v.txt").write_bytes(text)
        table = load_word_vectors(tmp_path / "v.txt", on_error="skip")
        assert is_sound(table)
        assert table.n_skipped == 0

    @pytest.mark.parametrize(
        "data", [b"na\xc3 1 2\n", b"9 2\n" + TEXT, b"2 2\ntea " + bytes(8) + b"cup ", b"tea\ncup\n"]
    )
    def test_a_file_that_is_no_table_is_still_an_error(self, data: bytes, tmp_path: Path) -> None:
        (tmp_path / "v").write_bytes(data)
        with pytest.raises(ModelIntegrityError):
            load_word_vectors(tmp_path / "v", on_error="skip")

    @pytest.mark.parametrize("on_error", ["ignore", None, True])
    def test_other_choices(self, on_error: Any) -> None:
        with pytest.raises(
            InvalidParameterError,
            match="'on_error' parameter must be one of 'auto', 'raise', 'skip'",
        ):
            load_word_vectors(WordVectors(["tea"], [[1.0]]), on_error=on_error)


class TestPickles:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "v.txt"
        path.write_bytes(TEXT)
        return path

    @pytest.mark.parametrize("forget", [False, True])
    def test_the_file_is_opened_again(self, file: Path, forget: bool) -> None:
        table = load_word_vectors(file)
        data = pickle.dumps(table)
        if forget:
            forget_tables()
        again = pickle.loads(data)
        assert (again is table) == (not forget)
        assert is_sound(again)

    def test_relative_paths_are_resolved_where_they_were(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(file.parent)
        data = pickle.dumps(load_word_vectors(file.name))
        monkeypatch.chdir("/")
        forget_tables()
        assert is_sound(pickle.loads(data))

    def test_a_change_is_an_error(self, file: Path) -> None:
        data = pickle.dumps(load_word_vectors(file))
        rewrite(file, TEXT.replace(b"3", b"4"))
        with pytest.raises(
            ModelChangedError, match=f"The word vectors in '{file}' are not those that were pickled"
        ):
            pickle.loads(data)
        file.write_bytes(TEXT)
        assert is_sound(pickle.loads(data))

    def test_so_is_a_file_that_is_gone(self, file: Path) -> None:
        data = pickle.dumps(load_word_vectors(file))
        file.unlink()
        with pytest.raises(
            ModelNotFoundError, match=f"There is no file '{file}' .* bring it back .* set_params"
        ):
            pickle.loads(data)

    def test_a_copy_stands_for_itself(self, file: Path) -> None:
        load_word_vectors(file)
        copy = file.with_name("copy.txt")
        copy.write_bytes(TEXT)
        data = pickle.dumps(load_word_vectors(copy))
        file.unlink()
        assert is_sound(pickle.loads(data))


class TestObjects:
    def test_word_vectors_are_taken_as_they_are(self) -> None:
        table = WordVectors(["tea"], [[1.0]])
        assert load_word_vectors(table) is table

    def test_gensim_s_keyed_vectors(self) -> None:
        own = Word2Vec(SENTENCES, vector_size=5, min_count=1, workers=1).wv
        table = load_word_vectors(own)
        assert table.words == own.index_to_key
        np.testing.assert_array_equal(table.vectors, own.vectors)
        assert not np.shares_memory(table.vectors, own.vectors)  # its owner may go on training
        assert table.subwords is None

    def test_fasttext_gives_unseen_words_vectors(self, fasttext: Any) -> None:
        table = load_word_vectors(fasttext)
        assert table.words == fasttext.index_to_key
        for word in ["tea", "teapots", "x", "waters"]:
            np.testing.assert_array_equal(table[word], fasttext.get_vector(word))
        found, known = FastTextSubwords(fasttext).vectors(["teapots", "", "\ud800", "日本"])
        assert known.tolist() == [True, False, True, True]
        np.testing.assert_array_equal(found[0], fasttext.get_vector("teapots"))
        assert np.isfinite(found).all()
        again = pickle.loads(pickle.dumps(table))
        np.testing.assert_array_equal(again["teapots"], table["teapots"])

    def test_words_too_short_for_a_part_are_unknown(self) -> None:
        for sizes in ({"min_n": 6, "max_n": 7}, {"max_n": 0}):
            own = FastText(
                SENTENCES, vector_size=4, min_count=1, bucket=10, epochs=1, workers=1, **sizes
            ).wv
            found, known = FastTextSubwords(own).vectors(["zz", "tea"])
            assert known.tolist() == [False, True]
            assert not found[0].any()

    @pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "object", "Float64"])
    def test_frames(self, dtype: str) -> None:
        frame = pd.DataFrame([[1, -1], [2, 3]], index=["tea", "nan"], columns=["a", 0]).astype(
            dtype
        )
        table = load_word_vectors(frame)
        assert (table.words, table.vectors.tolist()) == (["tea", "nan"], [[1, -1], [2, 3]])

    @pytest.mark.parametrize(
        ("frame", "expected"),
        [
            (pd.DataFrame([[1.0], [2.0]]), "words as its index"),
            (pd.DataFrame([[1.0], [2.0]], index=["a", "a"]), "distinct words"),
            (pd.DataFrame([[1.0], [2.0]], index=["a", None]), "words as its index"),
            (pd.DataFrame([[1.0], [None]], index=["a", "b"]), "row 1 has others"),
            (
                pd.DataFrame({"word": ["a", "b"], "x": [1.0, 2.0]}, index=["a", "b"]),
                "a matrix of numbers",
            ),
            (
                pd.DataFrame([[1.0]], index=pd.MultiIndex.from_tuples([("a", "b")])),
                "words as its index",
            ),
            (pd.DataFrame(index=["a"]), "at least one column"),
            (pd.DataFrame(), "at least one word"),
        ],
    )
    def test_frames_that_are_no_tables(self, frame: pd.DataFrame, expected: str) -> None:
        with pytest.raises(
            InvalidParameterError, match=f"^The 'vectors' parameter.* must .*{expected}"
        ):
            load_word_vectors(frame)

    @pytest.mark.parametrize(
        "vectors",
        [
            None,
            3,
            ["tea"],
            np.eye(2),
            {"tea": [1.0]},
            b"v.txt",
            pl.DataFrame({"a": [1.0]}),
            pd.Series([1.0], index=["tea"]),
        ],
    )
    def test_what_is_none_of_these(self, vectors: Any) -> None:
        with pytest.raises(
            InvalidParameterError,
            match=rf"'vectors' parameter must be .*Got {type(vectors).__name__} instead\.$",
        ):
            load_word_vectors(vectors)

    def test_a_model_instead_of_its_vectors(self) -> None:
        model = Word2Vec(SENTENCES, vector_size=5, min_count=1, workers=1)
        with pytest.raises(
            InvalidParameterError, match=r"Got Word2Vec instead\. Give its vectors, model\.wv\."
        ):
            load_word_vectors(model)

    def test_names_and_objects(self) -> None:
        assert not any(
            map(is_in_memory, ["v.txt", Path("v.txt"), "distill:x", WordVectors(["tea"], [[1.0]])])
        )
        assert all(map(is_in_memory, [pd.DataFrame(), KeyedVectors(2), None, 3]))
