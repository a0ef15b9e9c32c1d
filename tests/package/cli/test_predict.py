"""``bertvectorizer predict``; what it predicts is tested beside ``train``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pandas as pd
import pytest

from bertvectorizer.pipeline.saving.pipeline_file import load_pipeline, save_pipeline
from tests.package.cli.command import Result, Run, assert_one_line
from tests.processes import Process, wait_until

ROWS = [("the old bat flew", "animal"), ("he hit the ball", "thing")] * 5


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    pd.DataFrame(ROWS, columns=["text", "sense"]).to_csv(path, index=False)
    return path


@pytest.fixture
def trained(table: Path) -> Path:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(*zip(*ROWS, strict=True))
    save_pipeline(pipeline, table.with_name("model.skops"), text="text", target="sense")
    return table.with_name("model.skops")


def test_predict_names_what_is_wrong(trained: Path, table: Path, tmp_path: Path, run: Run) -> None:
    assert_one_line(
        run("predict", trained, tmp_path / "none.csv", "-o", tmp_path / "out.csv"),
        "There is no file",
        "none.csv",
    )
    assert_one_line(
        run("predict", trained, table, "-o", tmp_path / "out.csv", "--text", "txt"),
        "no column 'txt'",
    )
    assert_one_line(run("predict", trained, table, "-o", table), "is the file to be read")
    assert_one_line(
        run("predict", trained, table, "-o", tmp_path / "out.csv", "--model", "no/such"),
        "--model 'no/such' replaces a transformer, but the pipeline has none",
    )
    assert_one_line(
        run("predict", trained, table, "-o", tmp_path / "out.npy"),
        "must end in one of .csv, .parquet, .jsonl",
    )
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": "a"}\n{"text": "b"}\nrubbish\n', encoding="utf-8")
    result = run("predict", trained, broken, "-o", tmp_path / "out.csv", "--chunk-rows", "2")
    (part,) = tmp_path.glob("out.csv.part-*")
    assert_one_line(result, "line 3 is no JSON", f"2 rows are kept in {part}")


def test_columns_are_kept_and_probabilities_left_out(trained: Path, table: Path, run: Run) -> None:
    output = table.with_name("out.csv")
    words = ["predict", trained, table, "-o", output]
    for more, columns in (
        (["--keep", "sense", "--keep", "text", "--no-proba"], ["sense", "text", "sense_"]),
        (["--no-probabilities"], ["text", "sense"]),
        (["--proba"], ["text", "sense", "probability_animal", "probability_thing"]),
    ):
        assert run(*words, *more).code == 0
        assert pd.read_csv(output).columns.tolist() == ["row", *columns]
    assert_one_line(run(*words, "--keep", "id"), "no column 'id'")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "xlsx"])
def test_standard_input_and_output(kind: str, trained: Path, table: Path, run: Run) -> None:
    source = table.with_name(f"source.{kind}")
    frame = pd.DataFrame(ROWS, columns=["text", "sense"])
    if kind == "csv":
        source = table
    elif kind == "parquet":
        frame.to_parquet(source)
    elif kind == "xlsx":
        pytest.importorskip("openpyxl", reason="needs the extra excel")
        frame.to_excel(source, index=False)
    else:
        frame.to_json(source, orient="records", lines=True)
    command = ["-m", "bertvectorizer", "predict", trained, "-", "-o", "-"]
    output, piped = table.with_name("out.csv"), table.with_name("piped.csv")
    with (
        source.open("rb") as stdin,
        piped.open("wb") as stdout,
        Process(*command, stdin=stdin, stdout=stdout) as process,
    ):
        process.finish()
        assert process.error_output == "10 rows written to standard output\n"
    assert run("predict", trained, source, "-o", output).code == 0
    assert piped.read_bytes() == output.read_bytes()


def test_a_reader_that_stops_is_no_traceback(trained: Path, tmp_path: Path) -> None:
    table = tmp_path / "long.csv"
    table.write_text("text\n" + "the old bat flew\n" * 20_000, encoding="utf-8")
    with Process("-m", "bertvectorizer", "predict", trained, table, "-o", "-") as process:
        process.read_line()
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait() == 1
        assert "rror" not in process.error_output


@pytest.mark.skipif(sys.platform == "win32", reason="signals end processes at once there")
@pytest.mark.parametrize(
    ("name", "ending"), [("SIGINT", "csv"), ("SIGTERM", "parquet"), ("SIGHUP", "csv")]
)
def test_a_signal_keeps_the_rows_done_and_says_where(
    name: str, ending: str, trained: Path, tmp_path: Path
) -> None:
    output, temporary = tmp_path / f"out.{ending}", tmp_path / "temporary"
    temporary.mkdir()
    table = "text\n" + "the old bat flew\n" * 100_000
    command = ["-m", "bertvectorizer", "predict", trained, "-", "-o", output, "--chunk-rows", "10"]
    number = getattr(signal, name)
    # A suite that runs in the background may ignore some signals, which processes inherit.
    before = signal.signal(number, signal.SIG_DFL)
    process = Process(*command, TMPDIR=temporary)
    signal.signal(number, before)
    with process:
        assert process.stdin is not None
        process.stdin.write(table)
        process.stdin.close()
        process.stdin = None
        wait_until(lambda: process.poll() is not None or list(tmp_path.glob("out.*.part-*")))
        (draft,) = tmp_path.glob("out.*.part-*")
        wait_until(lambda: process.poll() is not None or draft.stat().st_size > 1000)
        process.send_signal(number)
        process.finish(expect=130)
        said = process.error_output
    frame = pd.read_csv(draft) if ending == "csv" else pd.read_parquet(draft)
    assert said == f"Interrupted: {len(frame):,} rows are kept in {draft}\n"
    assert frame["row"].tolist() == list(range(len(frame)))
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full device")
@pytest.mark.parametrize("words", [["--version"], ["predict", "--help"], ["predict"]])
def test_standard_output_that_is_full_is_one_line(
    words: list[str], trained: Path, table: Path
) -> None:
    words = ["predict", str(trained), str(table), "-o", "-"] if words == ["predict"] else words
    with (
        open("/dev/full", "wb") as full,
        Process("-m", "bertvectorizer", *words, stdout=full, PYTHONUNBUFFERED="") as process,
    ):
        process.finish(expect=2)
        result = Result(2, "", process.error_output)
    assert_one_line(result, "No space left on device")


def test_an_interrupt_is_one_line(
    trained: Path, table: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_anything: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bertvectorizer.pipeline.predict_file", stop)
    result = run("predict", trained, table, "-o", table.with_name("out.csv"))
    assert result == Result(130, "", "Interrupted: nothing was written\n")


def test_word_vectors_that_were_moved(table: Path, tmp_path: Path, run: Run) -> None:
    from sklearn.dummy import DummyClassifier
    from sklearn.pipeline import make_pipeline

    from bertvectorizer import StaticVectorizer
    from bertvectorizer.cli.predict import _configure

    glove, moved, model = tmp_path / "glove.txt", tmp_path / "moved.txt", tmp_path / "model.skops"
    glove.write_text("bat 1 0\nball 0 1\n", encoding="utf-8")
    vectorizer = StaticVectorizer(glove)
    pipeline = make_pipeline(vectorizer, DummyClassifier()).fit(*zip(*ROWS, strict=True))
    save_pipeline(pipeline, model, text="text", target="sense")
    glove.rename(moved)
    words = ["predict", model, table, "-o", tmp_path / "out.csv"]
    assert "'predict': --vectors" in run(*words).err
    assert_one_line(run(*words, "--model", moved), "replaces a transformer", "has none")
    assert run(*words, "--vectors", moved).code == 0
    vectorizer.vectors = "distill:nobody/nothing"
    save_pipeline(pipeline, model, text="text", target="sense")
    assert_one_line(run(*words, "--vectors", moved), "replaces a file of word vectors", "has none")
    saved = load_pipeline(model)
    _configure(saved, "somebody/something", None, local_files_only=False, store=None)
    assert saved.pipeline[0].vectors == "distill:somebody/something"
