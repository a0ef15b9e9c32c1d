from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bertvectorizer.models.store.session_store import session_store
from bertvectorizer.pipeline import default_features, fit_pipeline
from bertvectorizer.pipeline.comparison.target import read_target
from bertvectorizer.pipeline.saving.pipeline_file import load_pipeline, save_pipeline
from tests.package.cli.command import Result, Run, assert_one_line
from tests.tiny import ModelFactory, save_model

KINDS = [
    ("the old bat flew", "animal"),
    ("he hit the ball", "thing"),
    ("a crane, of the river", "animal"),
    ("=money in the bank", "thing"),
]
ROWS = [(f"{text} n{number}", sense) for number in range(5) for text, sense in KINDS]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    pd.DataFrame(ROWS, columns=["text", "sense"]).to_csv(path, index=False)
    return path


@pytest.fixture
def model(tiny_model: ModelFactory) -> Path:
    return tiny_model("bert")


def words(table: Path, model: Path) -> list[object]:
    return [
        "train",
        table,
        "--text",
        "text",
        "--target",
        "sense",
        "-o",
        table.with_name("model.skops"),
        "--model",
        model,
    ]


def test_a_fine_tuned_model_is_saved_and_used_elsewhere(
    table: Path, run: Run, tmp_path: Path
) -> None:
    model = save_model("bert", tmp_path / "base")
    result = run(*words(table, model), "--features", "bert fine-tuned")
    assert (result.code, result.out) == (0, "BERT fine-tuned: trained without a comparison\n")
    saved = load_pipeline(tmp_path / "model.skops")
    expected = saved.pipeline.predict_proba([text for text, _ in ROWS])
    moved = model.rename(tmp_path / "moved")
    predicted = tmp_path / "out.csv"
    result = run("predict", tmp_path / "model.skops", table, "-o", predicted, "--model", moved)
    assert result.code == 0
    frame = pd.read_csv(predicted)
    assert list(frame.columns[:3]) == ["row", "text", "sense"]
    np.testing.assert_allclose(
        frame[["probability_animal", "probability_thing"]].to_numpy(), expected, rtol=0, atol=1e-6
    )


def test_the_best_is_saved_and_used(table: Path, model: Path, run: Run) -> None:
    output = table.with_name("model.skops")
    result = run(
        *words(table, model),
        "--features",
        "majority class",
        "--features",
        "tf-idf words",
        "--cv",
        "2",
    )
    assert result.code == 0
    assert re.fullmatch(
        r"TF-IDF words: accuracy 1\.000, 95 % interval \d\.\d{3} to 1\.000, the best of 2\n"
        r"(corrected for the selection among 2 feature sets, 1\.000 \(95 % interval .*\))\n"
        r"95 % intervals of accuracy may be too narrow, since there are only 20 rows.*\n"
        r"With 20 rows the corrected score may still be .*\n",
        result.out,
    )
    assert result.err.splitlines()[-1] == f"trained on 20 rows and written to {output}"
    saved = load_pipeline(output)
    assert saved.metadata["corrected_score"] == result.out.splitlines()[1]
    assert (saved.text, saved.target, saved.metadata["features"]) == (
        "text",
        "sense",
        "TF-IDF words",
    )
    predicted = table.with_name("out.csv")
    assert run("predict", output, table, "-o", predicted, "--chunk-rows", "7") == Result(
        0, "", f"20 rows written to {predicted}\n"
    )
    frame = pd.read_csv(predicted)
    assert frame.columns.tolist() == [
        "row",
        "text",
        "sense",
        "probability_animal",
        "probability_thing",
    ]
    assert frame["sense"].tolist() == [sense for _, sense in ROWS]
    assert frame["text"].tolist()[3] == "'=money in the bank n0"
    np.testing.assert_array_equal(
        frame.iloc[:, 3:], saved.pipeline.predict_proba([text for text, _ in ROWS])
    )


@pytest.mark.parametrize("features", [["TF-IDF words"], ["TF-IDF words", "majority class"]])
def test_groups_are_kept_together_within_the_fit(
    features: list[str], table: Path, model: Path, run: Run
) -> None:
    texts, senses = (np.array(column, dtype=object) for column in zip(*ROWS, strict=True))
    groups = np.arange(len(ROWS)) % len(KINDS)
    pd.DataFrame({"text": texts, "sense": senses, "source": groups + 7}).to_csv(table, index=False)
    chosen = [word for name in features for word in ("--features", name)]
    cv = ["--cv", "2"] if len(features) > 1 else []
    result = run(*words(table, model), *chosen, *cv, "--group", "source")
    assert result.code == 0
    found = load_pipeline(table.with_name("model.skops")).pipeline.predict_proba(texts)
    target, _ = read_target(senses, len(senses))

    def by_hand(groups: Any) -> Any:
        return fit_pipeline(
            default_features()["TF-IDF words"], None, texts, target, groups=groups
        ).predict_proba(texts)

    np.testing.assert_allclose(found, by_hand(groups), rtol=0, atol=1e-6)
    assert np.abs(found - by_hand(None)).max() > 0.01
    assert_one_line(
        run(*words(table, model), *chosen, *cv, "--group", "sense"),
        *("--group must be another column", "'sense'"),
    )


def test_pairs_are_trained_on_and_predicted(tmp_path: Path, model: Path, run: Run) -> None:
    verdicts = [("Yes, it is so", "yes"), ("No, it is not", "no")]
    rows = [
        (f"{text} {number}", f"{reply} {number}", verdict)
        for number, (text, _) in enumerate(ROWS)
        for reply, verdict in verdicts
    ]
    table, saved, output = (tmp_path / name for name in ("pairs.csv", "m.skops", "out.parquet"))
    pairs = pd.DataFrame(rows, columns=["said", "reply", "verdict"])
    pairs.to_csv(table, index=False)
    given = ["train", table, "--text", "said", "--text", "reply", "--target", "verdict"]
    given += ["-o", saved, "--model", model, "--cv", "2"]
    chosen = [word for name in ("overlap", "tfidf", "BERT cls") for word in ("--features", name)]
    result = run(*given, *chosen)
    assert result.code == 0
    assert result.out.startswith("TF-IDF words: accuracy 1.000")
    loaded = load_pipeline(saved)
    assert (loaded.text, loaded.target) == (("said", "reply"), "verdict")
    assert loaded.pipeline.feature_names_in_.tolist() == ["said", "reply"]
    assert run("predict", saved, table, "-o", output).code == 0
    frame = pd.read_parquet(output)
    assert frame.columns.tolist()[:4] == ["row", "said", "reply", "verdict"]
    pd.testing.assert_frame_equal(frame[["said", "reply", "verdict"]], pairs, check_dtype=False)
    np.testing.assert_array_equal(
        frame.iloc[:, 4:], loaded.pipeline.predict_proba(pairs[["said", "reply"]])
    )
    # Other names, in another order; a wrong number of names; the baseline that reads no text.
    renamed = pairs.set_axis(["b", "a", "c"], axis=1)[["a", "c", "b"]]
    renamed.to_csv(table, index=False)
    predict = ["predict", saved, table, "-o", output]
    assert_one_line(run(*predict, "--text", "b"), "both columns of pairs", "'said', 'reply'")
    assert_one_line(run(*predict, *["--text", "a"] * 3), "--text must name one column", "'a', 'a'")
    assert run(*predict, "--text", "b", "--text", "a").code == 0
    again = pd.read_parquet(output)
    assert again.columns.tolist()[1:3] == ["b", "a"]
    np.testing.assert_array_equal(again.iloc[:, 4:], frame.iloc[:, 4:])
    given[2:8] = ["--text", "b", "--text", "a", "--target", "c"]
    assert run(*given[:-2], "--features", "majority class").code == 0
    assert run(*predict).code == 0
    assert pd.read_parquet(output).columns.tolist()[1:4] == ["b", "a", "c"]
    embed = run("embed", table, "--text", "a", "--text", "b", "-o", tmp_path / "out.npy")
    assert_one_line(embed, "Embed each column on its own", "PairVectorizer")


def test_a_single_kind_is_trained_at_once(
    table: Path, model: Path, tmp_path: Path, run: Run
) -> None:
    output, own = tmp_path / "model.skops", tmp_path / "own"
    shutil.copytree(model, own)
    common = words(table, own)
    assert (
        run(*common, "--features", "BERT mean -1").out
        == "BERT mean -1: trained without a comparison\n"
    )
    expected = load_pipeline(output).pipeline.predict_proba([text for text, _ in ROWS])
    own.rename(tmp_path / "moved")
    predict = ["predict", output, table, "-o", tmp_path / "out.parquet", "--local-files-only"]
    missing = run(*predict)
    assert missing.code == 2
    assert missing.err.startswith(f"Error: The model '{own}' was not found")
    assert not (tmp_path / "out.parquet").exists()
    session_store.cache_clear()
    store = tmp_path / "kept.sqlite"
    assert run(*predict, "--model", tmp_path / "moved", "--store", store).code == 0
    np.testing.assert_array_equal(pd.read_parquet(tmp_path / "out.parquet").iloc[:, 3:], expected)
    assert store.stat().st_size
    shutil.copy(Path(model, "config.json"), tmp_path / "moved" / "config.json")
    (tmp_path / "moved" / "config.json").write_text(
        Path(model, "config.json").read_text().replace("gelu", "relu")
    )
    assert_one_line(
        run(*predict, "--model", tmp_path / "moved"), "was fitted with a model of fingerprint"
    )


def test_regression_several_labels_and_samples(tmp_path: Path, model: Path, run: Run) -> None:
    table, output = tmp_path / "table.tsv", tmp_path / "model.skops"
    table.write_text(
        "".join(
            f"{number}.5\tx;y\tthe bat {number}\n{number}\tx\tmoney {number}\n{number}\t\ta crane\n"
            for number in range(9)
        )
    )
    common = [
        "train",
        table,
        "--no-header",
        "--text",
        "2",
        "-o",
        output,
        "--model",
        model,
        "--features",
        "TF-IDF words",
    ]
    for more, name in (
        (["--target", "0"], "0"),
        (["--target", "1", "--label-sep", ";"], ("x", "y")),
    ):
        result = run(*common, *more)
        assert result.code == 0, result.err
        assert load_pipeline(output).target == name
        assert (
            run(
                "predict",
                output,
                table,
                "--no-header",
                "-o",
                tmp_path / "out.csv",
                "--no-probabilities",
            ).code
            == 0
        )
        assert pd.read_csv(tmp_path / "out.csv").columns.tolist() == ["row", "text", *name]
    result = run(*common, "--target", "0", "--sample", "12")
    assert result.err.splitlines()[-1] == f"trained on 12 rows and written to {output}"


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"--text": "txt"}, ["no column 'txt'"]),
        ({"--target": "senses"}, ["no column 'senses'"]),
        ({"--target": "text"}, ["must be two columns"]),
        ({"-o": "model.pkl"}, ["output 'model.pkl' must end in one of .skops"]),
        ({"-o": "folder.skops"}, ["it is a folder"]),
        ({"-o": "nowhere/model.skops"}, ["no folder 'nowhere'"]),
        ({"--features": "ELMo"}, ["must name one or more of", "'ELMo'"]),
        ({"--features": "TF-IDF words", "--cv": "5"}, ["nothing is compared"]),
        ({"--task": "ranking"}, ["'task'", "'ranking'"]),
        ({"--sample": "0"}, ["--sample"]),
        ({"--vectors": "none.txt"}, ["none.txt"]),
        ({"--label-sep": ""}, ["--label-sep", "must not be empty"]),
        ({"--sep": ";"}, ["no column 'text'", "--sep ','"]),
    ],
    ids=str,
)
def test_a_mistake_is_one_line(
    changes: dict[str, str],
    parts: list[str],
    table: Path,
    model: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(table.parent)
    Path("folder.skops").mkdir()
    options = {
        "--text": "text",
        "--target": "sense",
        "-o": "model.skops",
        "--model": str(model),
        "--features": "TF-IDF words",
    }
    if "--vectors" in changes:
        options["--features"] = "vectors none.txt"
    flat = [word for pair in {**options, **changes}.items() for word in pair]
    assert_one_line(run("train", table, *flat), *parts)
    assert sorted(path.name for path in table.parent.iterdir()) == ["folder.skops", "table.csv"]


def test_missing_files_are_one_line(tmp_path: Path, table: Path, run: Run) -> None:
    common = ["--text", "text", "--target", "sense", "-o", tmp_path / "model.skops"]
    assert_one_line(run("train", tmp_path / "none.csv", *common), "There is no file")
    assert_one_line(
        run("predict", tmp_path / "none.skops", table, "-o", tmp_path / "out.csv"),
        "There is no file",
        "none.skops",
    )
    assert_one_line(run("predict", table, table, "-o", tmp_path / "out.csv"), "is no skops file")
    assert list(tmp_path.iterdir()) == [table]


@pytest.fixture
def trained(table: Path) -> Path:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(*zip(*ROWS, strict=True))
    save_pipeline(pipeline, table.with_name("model.skops"), text="text", target="sense")
    return table.with_name("model.skops")


def test_an_interrupt_is_one_line(
    trained: Path, table: Path, model: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_anything: object, **_more: object) -> None:
        raise KeyboardInterrupt

    before = trained.read_bytes()
    monkeypatch.setattr("bertvectorizer.pipeline.saving.pipeline_file.save_pipeline", stop)
    assert run(*words(table, model), "--features", "TF-IDF words") == Result(
        130, "", "Interrupted: no model was written.\n"
    )
    assert trained.read_bytes() == before
