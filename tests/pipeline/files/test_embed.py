from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from bertvectorizer import BertVectorizer
from bertvectorizer.errors import InvalidTableError, InvalidTextError
from bertvectorizer.pipeline import embed_file
from bertvectorizer.pipeline.files.embed import FORMATS
from tests.full_disk import full_disk
from tests.processes import Process
from tests.tiny import ModelFactory

TEXTS = [
    "The bat flew.",
    None,
    "He hit the ball,\nhard",
    "A crane",
    '"quoted"',
    "The bat flew.",
    "old money " * 50,
    "s",
    "a",
    "x",
]

READERS: dict[str, Callable[[Path], NDArray[Any]]] = {
    ".parquet": lambda path: pd.read_parquet(path).to_numpy(),
    ".npy": np.load,
    ".csv": lambda path: pd.read_csv(path, dtype=np.float32).to_numpy(),
}


@pytest.fixture(scope="module")
def vectorizer(tiny_model: ModelFactory) -> BertVectorizer:
    return BertVectorizer(str(tiny_model("bert")), layers=[0, -1])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    pd.DataFrame({"number": range(len(TEXTS)), "text": TEXTS}).to_csv(path, index=False)
    return path


def test_all_formats_are_tried() -> None:
    assert FORMATS.keys() == READERS.keys()


@pytest.mark.parametrize("ending", READERS)
@pytest.mark.parametrize("chunk_rows", [1, 3, 5, 10, 4096])
@pytest.mark.numeric
def test_a_file_in_chunks_is_the_column_as_a_whole(
    ending: str, chunk_rows: int, table: Path, vectorizer: BertVectorizer
) -> None:
    output = table.with_suffix(f".out{ending}")
    done: list[int] = []
    rows = embed_file(
        table, "text", output, vectorizer, chunk_rows=chunk_rows, progress=done.append
    )
    assert rows == len(TEXTS) == sum(done)
    assert max(done) <= chunk_rows
    vectors = READERS[ending](output)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, vectorizer.fit_transform(TEXTS), atol=1e-5)
    assert sorted(path.name for path in table.parent.iterdir()) == ["table.csv", output.name]


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_columns_have_the_names_of_the_features(
    ending: str, table: Path, vectorizer: BertVectorizer
) -> None:
    output = table.with_suffix(f".out{ending}")
    embed_file(table, "text", output, vectorizer)
    frame = pd.read_parquet(output) if ending == ".parquet" else pd.read_csv(output)
    assert frame.columns.tolist() == vectorizer.get_feature_names_out().tolist()


def test_the_name_of_a_feature_is_no_formula(
    table: Path, vectorizer: BertVectorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"=a{number}" for number in range(64)]
    monkeypatch.setattr(BertVectorizer, "get_feature_names_out", lambda _self: names)
    embed_file(table, "text", table.with_name("out.csv"), vectorizer)
    found = pd.read_csv(table.with_name("out.csv"))
    assert found.columns.tolist() == [f"'{name}" for name in names]


@pytest.mark.parametrize("ending", READERS)
def test_no_rows(ending: str, tmp_path: Path, vectorizer: BertVectorizer) -> None:
    table, output = tmp_path / "table.csv", tmp_path / f"out{ending}"
    table.write_text("text\n", encoding="utf-8")
    assert embed_file(table, "text", output, vectorizer) == 0
    assert READERS[ending](output).shape == (0, 64)
    assert sorted(tmp_path.iterdir()) == [output, table]


def test_without_a_header_and_with_a_separator(tmp_path: Path, vectorizer: BertVectorizer) -> None:
    table, output = tmp_path / "table.txt", tmp_path / "OUT.NPY"
    table.write_text("ham;the bat\nspam;a crane\n", encoding="utf-8")
    assert embed_file(table, "1", output, vectorizer, header=False, separator=";") == 2
    np.testing.assert_allclose(
        np.load(output), vectorizer.transform(["the bat", "a crane"]), atol=1e-5
    )


def test_an_older_output_is_replaced(table: Path, vectorizer: BertVectorizer) -> None:
    output = table.with_name("out.npy")
    output.write_text("old")
    embed_file(table, "text", output, vectorizer)
    assert len(np.load(output)) == len(TEXTS)


def broken_off(path: Path) -> None:
    path.write_text('{"text": "a"}\n{"text": "b"}\n{"text": "c"}\nrubbish\n', encoding="utf-8")


@pytest.mark.parametrize("ending", READERS)
def test_a_fault_further_down_keeps_the_rows_before_it(
    ending: str, tmp_path: Path, vectorizer: BertVectorizer
) -> None:
    table, output = tmp_path / "table.jsonl", tmp_path / f"out{ending}"
    broken_off(table)
    with pytest.raises(InvalidTableError, match="line 4"):
        embed_file(table, "text", output, vectorizer, chunk_rows=2)
    assert not output.exists()
    (part,) = output.parent.glob(f"{output.name}.part-*")
    part = part.rename(tmp_path / f"rest{ending}")
    np.testing.assert_allclose(READERS[ending](part), vectorizer.transform(["a", "b"]), atol=1e-5)


@pytest.mark.parametrize("ending", READERS)
def test_an_interrupt_in_the_middle_of_writing_leaves_whole_rows(
    ending: str, table: Path, vectorizer: BertVectorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = table.with_name(f"out{ending}")

    def stop(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_file(table, "text", output, vectorizer, chunk_rows=4, progress=stop)
    (part,) = output.parent.glob(f"{output.name}.part-*")
    part = part.rename(table.with_name(f"rest{ending}"))
    np.testing.assert_allclose(READERS[ending](part), vectorizer.transform(TEXTS[:4]), atol=1e-5)


def test_a_half_written_chunk_is_cut_off(tmp_path: Path) -> None:
    vectors = pd.DataFrame(np.arange(6, dtype=np.float32).reshape(3, 2), columns=["a", "b"])
    for ending in (".csv", ".npy"):
        path = tmp_path / f"out{ending}"
        with path.open("w+b") as file:
            writer = FORMATS[ending](file, vectors)
            writer.write(vectors)
            file.write(b"0.5,0.")
            writer.close()
        np.testing.assert_array_equal(READERS[ending](path), vectors)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("out.xlsx", r"must end in one of \.parquet, \.npy, \.csv"),
        ("out", r"must end in one of"),
        ("nowhere/out.npy", "there is no folder"),
        ("folder.npy", "it is a folder"),
        ("table.csv", "is the file to be read"),
    ],
)
def test_an_output_at_fault_is_named_before_any_work(
    output: str, message: str, table: Path
) -> None:
    table.with_name("folder.npy").mkdir()
    before = sorted(table.parent.iterdir())
    with pytest.raises(InvalidTableError, match=message) as caught:
        embed_file(
            table, "text", table.with_name("x").parent / output, BertVectorizer("no/such-model")
        )
    assert "\n" not in str(caught.value)
    assert sorted(table.parent.iterdir()) == before


def test_an_input_at_fault_is_named_before_the_model_is_loaded(table: Path) -> None:
    with pytest.raises(InvalidTableError, match="no column 'txt'"):
        embed_file(table, "txt", table.with_name("out.npy"), BertVectorizer("no/such-model"))
    assert list(table.parent.iterdir()) == [table]


@pytest.mark.skipif(
    os.name != "posix" or not Path("/dev/full").exists(),
    reason="needs /dev/full, a device that is always full",
)
@pytest.mark.parametrize("ending", [".npy", ".csv", ".parquet"])
def test_a_full_disk_is_one_line(
    ending: str, table: Path, vectorizer: BertVectorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = table.with_name(f"out{ending}")
    full_disk(monkeypatch)
    with pytest.raises(InvalidTableError, match="cannot be written: ") as caught:
        embed_file(table, "text", output, vectorizer)
    assert "\n" not in str(caught.value)
    assert not output.exists()


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root writes everywhere")
def test_a_write_protected_folder(table: Path) -> None:
    folder = table.with_name("locked")
    folder.mkdir(mode=0o500)
    with pytest.raises(InvalidTableError, match="write-protected"):
        embed_file(table, "text", folder / "out.npy", BertVectorizer("no/such-model"))


@pytest.mark.parametrize("name", ["table.parquet", "table.jsonl"])
@pytest.mark.parametrize("missing", ["empty", "error"])
def test_a_row_at_fault_is_that_of_the_file(
    name: str, missing: str, tmp_path: Path, tiny_model: ModelFactory
) -> None:
    texts: list[Any] = (
        ["a", "b", "c", None, "e"] if missing == "error" else [None, None, None, ["d"], ["e"]]
    )
    frame = pd.DataFrame({"words": texts})
    if name.endswith("parquet"):
        frame.to_parquet(tmp_path / name)
    else:
        frame.to_json(tmp_path / name, orient="records", lines=True)
    vectorizer = BertVectorizer(str(tiny_model("bert")), missing=missing)
    with pytest.raises(
        InvalidTextError,
        match=rf"row 3 \(counted from 0\) of column 'words' of the file '.*{name}'",
    ) as caught:
        embed_file(tmp_path / name, "words", tmp_path / "out.npy", vectorizer, chunk_rows=2)
    assert "astype" not in str(caught.value)
    assert ("missing='error'" in str(caught.value)) == (missing == "error")


class Warner(BertVectorizer):
    """Warns at each call, with the number of its texts."""

    def transform(self, X: Any) -> NDArray[np.float32]:
        warnings.warn(f"{len(X)} of {len(X)} texts", UserWarning, stacklevel=2)
        warnings.warn("a slow device", UserWarning, stacklevel=2)
        return super().transform(X)


@pytest.mark.parametrize(
    ("chunk_rows", "note"),
    [(10, "10 of 10 texts"), (4, "In 3 chunks of rows, in the first of them: 4 of 4 texts")],
)
def test_warnings_come_once(
    chunk_rows: int, note: str, table: Path, vectorizer: BertVectorizer
) -> None:
    with pytest.warns(UserWarning, match="texts|device") as caught:
        embed_file(
            table,
            "text",
            table.with_name("out.npy"),
            Warner(vectorizer.model_name),
            chunk_rows=chunk_rows,
        )
    assert [str(warning.message) for warning in caught] == [note, "a slow device"]


def test_a_column_of_numbers(tmp_path: Path, vectorizer: BertVectorizer) -> None:
    table = tmp_path / "table.parquet"
    pd.DataFrame({"text": [1, 2]}).to_parquet(table)
    with pytest.raises(InvalidTextError, match="Got int 1 in row 0"):
        embed_file(table, "text", tmp_path / "out.npy", vectorizer)
    assert list(tmp_path.iterdir()) == [table]


STOPS = """
from bertvectorizer import BertVectorizer
from bertvectorizer.cli.app import main

transform, chunks = BertVectorizer.transform, []

def transform_and_stop(self, X):
    chunks.append(X)
    if len(chunks) == 4:
        print("stopped", flush=True)
        input()
    return transform(self, X)

BertVectorizer.transform = transform_and_stop
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_keeps_the_rows_that_are_done(tmp_path: Path, vectorizer: BertVectorizer) -> None:
    texts = [f"the old crane flew in the night {number}" for number in range(1250)]
    table, output = tmp_path / "table.csv", tmp_path / "out.parquet"
    table.write_text("\n".join(["text", *texts]), encoding="utf-8")
    command = ["-c", STOPS, "embed", table, "--text", "text", "-o", output]
    options = ["--model", vectorizer.model_name, "--layers", "0,-1", "--chunk-rows", "250"]
    with Process(*command, *options) as process:
        assert process.read_line() == "stopped"
        process.send_signal(signal.SIGINT)
        process.finish(expect=130)
        errors = process.error_output
    assert "Traceback" not in errors
    (part,) = tmp_path.glob("out.parquet.part-*")
    rest = pd.read_parquet(part).to_numpy()
    assert errors.strip() == f"Interrupted: {len(rest):,} rows are kept in {part}"
    assert len(rest) == 750
    np.testing.assert_allclose(rest, vectorizer.transform(texts[:750]), atol=1e-5)
    assert not output.exists()
