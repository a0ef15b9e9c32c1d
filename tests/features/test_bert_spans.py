"""BertSpanVectorizer: vectors of spans, compared with Hugging Face's, and scikit-learn's use."""

from __future__ import annotations

import inspect
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from threadpoolctl import threadpool_limits

from bertvectorizer import BertSpanVectorizer, BertWordVectorizer, EmbeddingStore
from bertvectorizer.errors import InvalidParameterError, InvalidTextError, ModelChangedError
from tests.plain import POOLINGS, by_offsets, in_windows
from tests.tiny import ModelFactory, save_model, save_sentence_transformer
from tests.tolerance import network_tolerance

pytestmark = pytest.mark.numeric

ROWS = [
    ("The old bat flew in the night.", 8, 11),
    ("A bat hit the ball, the bat!", 24, 27),
    ("The old bat flew in the night.", 20, 29),
    ("The old bat flew in the night.", 8, 11),
    ("unbats", 0, 6),
    ("unbats", 2, 4),
    ("¿Qué hacías, bat-crane?", 5, 11),
    ("我喜欢北京 🦇🦇 👩‍👩‍👧 e\u0301tude", 3, 5),
    ("我喜欢北京 🦇🦇 👩‍👩‍👧 e\u0301tude", 9, 21),
    ("[SEP] the [SEP] bat", 10, 15),
    ("in the  bank", 6, 8),
    ("a \u200b bat", 2, 3),
]


def frame(rows: list[tuple[str, int, int]]) -> pd.DataFrame:
    table = pd.DataFrame(
        rows,
        columns=["text", "start", "end"],
        index=[f"row{number}" for number in range(len(rows))],
        dtype=object,
    )
    return table.astype({"start": int, "end": int})


TABLE = frame(ROWS)
WORDS = ("bat", "crane", "river", "bank", "money", "ball", "night")
MANY = frame([(f"the old {one} of a {other}", 8, 8 + len(one)) for one in WORDS for other in WORDS])
CLASSES = [WORDS.index(text.split()[2]) % 2 for text in MANY["text"]]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models are faster on one thread, and ten times faster where other programs run."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def bert(tiny_model: ModelFactory) -> str:
    return str(tiny_model("bert"))


def plain(
    directory: str | Path, rows: list[tuple[str, int, int]], pooling: str = "mean", prompt: str = ""
) -> NDArray[np.float32]:
    """Return every layer, ``(n_rows, n_layers + 1, width)``."""
    return np.stack(
        [
            by_offsets(directory, text, [(start, end)], pooling, prompt)[:, 0]
            for text, start, end in rows
        ]
    )


def side_by_side(states: NDArray[np.float32], pooling: str) -> NDArray[np.float32]:
    """Concatenate layers, ``(n_rows, n_layers * width)``; of "first_last", first tokens first."""
    sides = np.split(states, 2, axis=2) if pooling == "first_last" else [states]
    return np.concatenate([side.reshape(len(states), -1) for side in sides], axis=1)


# ---- The numbers


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_span_of_the_default_model_is_that_of_plain_hugging_face(
    default_model_directory: Path, pooling: str
) -> None:
    expected = plain(default_model_directory, ROWS, pooling)
    for store in ("auto", None):
        found = BertSpanVectorizer(
            layers="all", subtoken_pooling=pooling, store=store
        ).fit_transform(TABLE)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, side_by_side(expected, pooling), rtol=0, atol=1e-5)
    assert not found[-2:].any(), "of white space and what vanishes nothing is left"
    assert found[:-2].any(axis=1).all()
    np.testing.assert_allclose(
        BertSpanVectorizer(layers=-2, subtoken_pooling=pooling).transform(TABLE),
        expected[:, -2],
        rtol=0,
        atol=1e-5,
    )


@pytest.mark.parametrize("family", ["roberta", "gpt2", "mpnet", "deberta-v2", "distilbert"])
def test_every_family(tiny_model: ModelFactory, family: str) -> None:
    directory = str(tiny_model(family))
    # No text with an unknown token: RoBERTa's positions hang on its number, which is that of the
    # padding in this vocabulary.
    rows = [ROWS[number] for number in (0, 2, 3, 4, 5, 10, 11)]
    found = BertSpanVectorizer(directory, layers=[-1, 1], batch_tokens=20).transform(frame(rows))
    np.testing.assert_allclose(
        found, plain(directory, rows)[:, [3, 1]].reshape(len(rows), -1), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("store", ["auto", None])
def test_spans_are_words_at_the_same_positions(bert: str, store: Any) -> None:
    documents = [["the", "old", "unbats", "New York", "hit"], ["a", "bat"], ["abc"] * 60]
    rows = []
    for words in documents:
        text = " ".join(words)
        ends = np.cumsum([len(word) + 1 for word in words]) - 1
        rows += [
            (text, int(end) - len(word), int(end)) for word, end in zip(words, ends, strict=True)
        ]
    for pooling in POOLINGS:
        of_words = BertWordVectorizer(
            bert, subtoken_pooling=pooling, store=store, stride=20
        ).transform(documents)
        of_spans = BertSpanVectorizer(
            bert, subtoken_pooling=pooling, store=store, stride=20
        ).transform(frame(rows))
        np.testing.assert_allclose(of_spans, of_words, rtol=0, atol=network_tolerance())


@pytest.mark.parametrize("store", ["auto", None])
def test_order_and_company_change_nothing(bert: str, store: Any) -> None:
    vectorizer = BertSpanVectorizer(bert, store=store, batch_tokens=20)
    X = vectorizer.transform(TABLE)
    order = np.random.default_rng(0).permutation(len(TABLE))
    np.testing.assert_allclose(
        vectorizer.transform(TABLE.iloc[order]), X[order], rtol=0, atol=network_tolerance()
    )
    for row in range(len(TABLE)):
        np.testing.assert_allclose(
            vectorizer.transform(TABLE.iloc[row : row + 1])[0],
            X[row],
            rtol=0,
            atol=network_tolerance(),
        )
    np.testing.assert_array_equal(X[0], X[3])


@pytest.mark.parametrize(
    ("max_length", "stride"), [(10, None), (10, 0), (11, 4), (3, None), (60, 50)]
)
def test_spans_of_a_long_text_are_read_where_they_have_most_context(
    bert: str, max_length: int, stride: int | None
) -> None:
    text = (
        "the old bats flew in the night unbats hit a ball of money abcdefgh the bank un . crane in"
        " river " * 4
    )
    rng = np.random.default_rng(0)
    spans = sorted(
        (int(start), int(start + length))
        for start, length in zip(rng.integers(0, 350, 40), rng.integers(1, 25, 40), strict=True)
    )
    own = (max_length - 2) * 3 // 4 if stride is None else stride
    expected, _ = in_windows(bert, text, spans, max_length, own, "first_last")
    vectorizer = BertSpanVectorizer(
        bert, layers="all", subtoken_pooling="first_last", max_length=max_length, stride=stride
    )
    found = vectorizer.transform(frame([(text, *span) for span in spans]))
    np.testing.assert_allclose(
        found, side_by_side(np.moveaxis(expected, 0, 1), "first_last"), rtol=0, atol=1e-5
    )


def test_prompt(bert: str) -> None:
    found = BertSpanVectorizer(bert, layers=-1, prompt="find a bat: ").transform(TABLE)
    np.testing.assert_allclose(
        found, plain(bert, ROWS, prompt="find a bat: ")[:, -1], rtol=0, atol=1e-5
    )
    assert np.abs(found - BertSpanVectorizer(bert, layers=-1).transform(TABLE)).max() > 0.1


def test_spans_count_characters_of_the_text_as_it_was(bert: str, tmp_path: Path) -> None:
    """Surrogate pairs become one character, a dotted capital I two: neither moves a span."""
    rows = [
        ("\ud83e\udd87 \ud800 İ bat flew", 7, 10),
        ("İ\ud83e\udd87 bat", 4, 7),
        ("\ud83e\udd87 bat", 0, 2),
    ]
    clean = [("🦇 \ufffd İ bat flew", 6, 9), ("İ🦇 bat", 3, 6), ("🦇 bat", 0, 1)]
    directory = save_sentence_transformer(Path(bert), tmp_path / "own")
    for model in (bert, directory):
        np.testing.assert_allclose(
            BertSpanVectorizer(model).transform(frame(rows)),
            BertSpanVectorizer(model).transform(frame(clean)),
            atol=1e-6,
        )
    (config,) = directory.rglob("sentence_bert_config.json")
    config.write_text('{"max_seq_length": 128, "do_lower_case": true}')
    lowered = [("🦇 \ufffd i\u0307 bat flew", 7, 10), ("i\u0307🦇 bat", 4, 7), ("🦇 bat", 0, 1)]
    np.testing.assert_allclose(
        BertSpanVectorizer(directory, store=None).transform(frame(rows)),
        BertSpanVectorizer(bert).transform(frame(lowered)),
        atol=1e-5,
    )


def test_layers_are_merged(bert: str) -> None:
    states = plain(bert, ROWS)
    merges: dict[str, Callable[[Any], Any]] = {
        "sum": lambda layers: layers.sum(axis=1),
        "mean": lambda layers: layers.mean(axis=1),
    }
    for merge, by_hand in merges.items():
        found = BertSpanVectorizer(bert, layers=[-1, 0, 2], layer_merge=merge).transform(TABLE)
        np.testing.assert_allclose(found, by_hand(states[:, [3, 0, 2]]), rtol=0, atol=1e-5)


# ---- Tables


def test_a_word_stands_for_its_span(bert: str) -> None:
    table = pd.DataFrame(
        {"text": ["bats and a Bat", "unbats flew", "The bat"], "word": ["bat", "bat", "THE"]}
    )
    spans = frame([("bats and a Bat", 11, 14), ("unbats flew", 2, 5), ("The bat", 0, 3)])
    np.testing.assert_array_equal(
        BertSpanVectorizer(bert).transform(table), BertSpanVectorizer(bert).transform(spans)
    )


@pytest.mark.parametrize(
    "kind",
    [
        pl.from_pandas,
        lambda table: table.assign(other=1),
        lambda table: table.astype({"start": float}),
    ],
)
def test_every_kind_of_table(bert: str, kind: Callable[[pd.DataFrame], Any]) -> None:
    np.testing.assert_array_equal(
        BertSpanVectorizer(bert).transform(kind(TABLE)), BertSpanVectorizer(bert).transform(TABLE)
    )


def test_columns_by_other_names(bert: str) -> None:
    renamed = TABLE.rename(columns={"text": "sentence", "start": "from", "end": "to"})
    vectorizer = BertSpanVectorizer(bert, text="sentence", start="from", end="to")
    np.testing.assert_array_equal(
        vectorizer.fit_transform(renamed), BertSpanVectorizer(bert).transform(TABLE)
    )
    worded = pd.DataFrame({"text": ["a bat"], "target": ["bat"]})
    np.testing.assert_array_equal(
        BertSpanVectorizer(bert, word="target").transform(worded),
        BertSpanVectorizer(bert).transform(frame([("a bat", 2, 5)])),
    )
    with pytest.raises(
        InvalidParameterError, match="'text' parameter must be the name of a column"
    ):
        vectorizer.transform(TABLE)


MISSING = pd.DataFrame(
    {"text": ["a bat", None, "a ball", "a bat"], "word": ["bat", "bat", None, "crane"]},
    index=list("abcd"),
)


def test_missing_rows(bert: str) -> None:
    first = BertSpanVectorizer(bert).transform(MISSING[:1])
    zero = BertSpanVectorizer(bert, missing="zero").fit_transform(MISSING)
    np.testing.assert_allclose(zero, [first[0], *np.zeros((3, 32))], atol=1e-6)
    nan = BertSpanVectorizer(bert, missing="nan").fit_transform(MISSING)
    np.testing.assert_allclose(nan, [first[0], *np.full((3, 32), np.nan)], atol=1e-6)
    for method in ("fit", "transform"):
        with pytest.raises(InvalidTextError, match=r"3 row.*row 1"):
            getattr(BertSpanVectorizer(bert), method)(MISSING)
    bounds = pd.DataFrame({"text": ["a bat", "a bat"], "start": [2, np.nan], "end": [5, np.nan]})
    np.testing.assert_array_equal(
        np.isnan(BertSpanVectorizer(bert, missing="nan").transform(bounds)).all(axis=1),
        [False, True],
    )
    assert np.isfinite(
        BertSpanVectorizer(bert, missing="nan", layers="all", layer_merge="weighted")
        .fit(MISSING, list("abab"))
        .layer_weights_
    ).all()


@pytest.mark.parametrize(
    "parameters", [{}, {"layers": "all"}, {"missing": "nan"}, {"subtoken_pooling": "first_last"}]
)
def test_zero_rows(bert: str, parameters: dict[str, Any]) -> None:
    vectorizer = BertSpanVectorizer(bert, **parameters)
    for result in (vectorizer.transform(TABLE[:0]), vectorizer.fit_transform(TABLE[:0])):
        assert result.shape == (0, vectorizer.n_features_out_)
        assert result.dtype == np.float32


@pytest.mark.parametrize(
    "X",
    [
        ["a bat"],
        None,
        "a bat",
        np.array([["a bat", 2, 5]], dtype=object),
        pd.Series(["a bat"]),
        pd.DataFrame({"text": ["a bat"]}),
    ],
)
def test_what_is_no_table_of_spans_is_refused(bert: str, X: Any) -> None:
    for method in ("fit", "fit_transform", "transform"):
        with pytest.raises(InvalidTextError, match="X must be a pandas or polars DataFrame"):
            getattr(BertSpanVectorizer(bert), method)(X)


# ---- "weighted"


@pytest.mark.parametrize(
    "y",
    [
        CLASSES,
        np.array(CLASSES),
        pd.Series(CLASSES, index=range(9, 58)),
        [f"class {one}" for one in CLASSES],
        [bool(one) for one in CLASSES],
    ],
)
def test_weighted_learns_from_classes(bert: str, y: Any) -> None:
    vectorizer = BertSpanVectorizer(bert, layers="all", layer_merge="weighted")
    X = vectorizer.fit_transform(MANY, y)
    weights = vectorizer.layer_weights_
    assert (weights > 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-6)
    assert weights.argmax() == 0, "what a word is stands in the embeddings"
    layers = BertSpanVectorizer(bert, layers="all").transform(MANY).reshape(len(MANY), 4, 32)
    np.testing.assert_allclose(
        X, vectorizer.layer_scale_ * np.einsum("l,nlw->nw", weights, layers), rtol=0, atol=1e-4
    )


def test_weighted_learns_from_regression_targets(bert: str) -> None:
    y = np.array([1000.0 + 10 * WORDS.index(text.split()[2]) for text in MANY["text"]])
    vectorizer = BertSpanVectorizer(bert, layers=[-1, 0], layer_merge="weighted").fit(MANY, y)
    assert vectorizer.layer_weights_.argmax() == 1
    pipe = make_pipeline(clone(vectorizer), Ridge(alpha=1e-3))
    assert pipe.fit(MANY, y).score(MANY, y) > 0.9


def test_weighted_needs_targets_one_for_each_row(bert: str) -> None:
    vectorizer = BertSpanVectorizer(bert, layers="all", layer_merge="weighted")
    with pytest.raises(NotFittedError, match="Call 'fit' with y first"):
        vectorizer.transform(TABLE)
    with pytest.raises(
        InvalidParameterError, match=r"'layer_merge' parameter must be .* Got 'weighted' and y=None"
    ):
        vectorizer.fit(TABLE)
    for y in ([0, 1], []):
        with pytest.raises(
            InvalidParameterError,
            match=rf"one target for each of 12 rows\. Got {len(y)} instead\. Give y the rows",
        ):
            vectorizer.fit(TABLE, y)
    for nested in ([[0]] * len(TABLE), [0] * 3 + [[0, 1]] + [0] * 8):
        with pytest.raises(
            InvalidParameterError,
            match=r"y must hold one class .* Got list \[0(, 1)?\] as row [03]\. Choose one",
        ):
            vectorizer.fit(TABLE, nested)
    with pytest.raises(
        InvalidParameterError, match=r"Got None as row 2\. Missing or infinite targets: 1\. Leave"
    ):
        vectorizer.fit(TABLE, ["a", "b", None] + ["a"] * 9)
    assert vectorizer.fit(MANY, CLASSES).layer_weights_.shape == (4,)
    loaded = pickle.loads(pickle.dumps(vectorizer))
    np.testing.assert_array_equal(loaded.transform(TABLE), vectorizer.transform(TABLE))
    with pytest.raises(NotFittedError):
        clone(vectorizer).transform(TABLE)
    with pytest.raises(NotFittedError, match=r"weights of the layers \[0, 1\]"):
        vectorizer.set_params(layers=[0, 1]).transform(TABLE)


@pytest.mark.parametrize(
    "y", [np.where(np.arange(49) == 3, np.nan, 1.0), np.where(np.arange(49) == 3, np.inf, 1.0)]
)
def test_targets_that_are_not_finite_are_refused(bert: str, y: Any) -> None:
    with pytest.raises(InvalidParameterError, match="y must"):
        BertSpanVectorizer(bert, layers="all", layer_merge="weighted").fit(MANY, y)


# ---- scikit-learn


@pytest.mark.usefixtures("default_model_directory")
def test_pipeline_with_the_default_model() -> None:
    animal = [
        "The {} flew out of its cave at dusk.",
        "A {} hung from the beam and squeaked.",
        "The {} ate moths in the dark.",
    ]
    club = [
        "He swung the {} and hit the ball.",
        "She oiled her {} before the match.",
        "The batter broke his wooden {}.",
    ]
    texts = [text.format("bat") for text in animal + club]
    table = pd.DataFrame({"text": texts, "word": "bat"})
    y = ["animal"] * 3 + ["club"] * 3
    pipe = make_pipeline(BertSpanVectorizer(layers=-2), LogisticRegression(max_iter=1000)).fit(
        table, y
    )
    test = pd.DataFrame(
        {
            "text": ["A bat flew in the night, eating moths.", "He hit the ball with a bat."],
            "word": "bat",
        }
    )
    assert pipe.predict(test).tolist() == ["animal", "club"]


def search(
    model: str, store: Any, grid: dict[str, list[Any]], n_jobs: int | None = None, cv: int = 3
) -> Any:
    pipe = make_pipeline(BertSpanVectorizer(model, store=store), LogisticRegression(max_iter=1000))
    return GridSearchCV(pipe, grid, cv=cv, error_score="raise", n_jobs=n_jobs).fit(MANY, CLASSES)


def test_grid_over_layers_encodes_each_span_twice_at_most(bert: str, tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path / "store.sqlite")
    grid = {
        "bertspanvectorizer__layers": [-1, -2, 0, "all"],
        "bertspanvectorizer__subtoken_pooling": ["mean", "first"],
        "logisticregression__C": [0.1, 1.0],
    }
    found = search(bert, store, grid)
    assert len(MANY) < store.stats.encoded <= 2 * len(MANY)
    assert store.stats.texts == len(MANY)
    np.testing.assert_array_equal(
        found.cv_results_["mean_test_score"],
        search(bert, None, grid).cv_results_["mean_test_score"],
    )


def test_grid_over_ways_of_merging_with_two_workers(bert: str, tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path / "store.sqlite", keep="all_layers")
    grid = {
        "bertspanvectorizer__layer_merge": ["mean", "weighted"],
        "bertspanvectorizer__layers": ["all"],
    }
    with joblib.parallel_config(backend="threading"):
        found = search(bert, store, grid, n_jobs=2, cv=2)
    assert np.isfinite(found.cv_results_["mean_test_score"]).all()
    assert store.stats.encoded == len(MANY)
    assert store.verify() == []
    assert found.predict(MANY).shape == (len(MANY),)


def test_column_transformer(bert: str) -> None:
    table = TABLE.assign(price=np.linspace(1, 2, len(TABLE)))
    columns = ColumnTransformer(
        [
            ("span", BertSpanVectorizer(bert), ["text", "start", "end"]),
            ("num", StandardScaler(), ["price"]),
        ]
    )
    X = columns.fit_transform(table)
    np.testing.assert_allclose(X[:, :-1], BertSpanVectorizer(bert).transform(TABLE), atol=1e-6)
    assert columns.get_feature_names_out()[[0, -1]].tolist() == [
        "span__text_start_end_0",
        "num__price",
    ]
    assert columns.set_output(transform="pandas").fit_transform(table).index.equals(TABLE.index)


def test_names_know_their_columns(bert: str) -> None:
    """Spans of other texts, and other words of the same texts, do not clash without prefixes."""
    table = pd.DataFrame({"title": ["a bat, a ball"] * 2, "body": ["the bat hit a ball"] * 2})
    table = table.assign(animal="bat", thing="ball")
    made = [("title", "animal"), ("body", "animal"), ("body", "thing")]
    parts = ColumnTransformer(
        [
            (f"{text} {word}", BertSpanVectorizer(bert, text=text, word=word), [text, word])
            for text, word in made
        ],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    names = parts.fit_transform(table).columns.tolist()
    assert names == [f"{text}_{word}_{number}" for text, word in made for number in range(32)]
    assert pickle.loads(pickle.dumps(parts)).get_feature_names_out().tolist() == names
    unfitted = BertSpanVectorizer(bert).get_feature_names_out()
    assert unfitted[:2].tolist() == ["bertspanvectorizer0", "bertspanvectorizer1"]


def test_set_output(bert: str) -> None:
    vectorizer = BertSpanVectorizer(bert, layers=[-1, 0])
    plain_matrix = vectorizer.fit_transform(TABLE)
    found = vectorizer.set_output(transform="pandas").transform(TABLE)
    assert isinstance(found, pd.DataFrame)
    assert found.index.equals(TABLE.index)
    assert (
        found.columns.tolist()
        == vectorizer.get_feature_names_out().tolist()
        == [f"text_start_end_{number}" for number in range(64)]
    )
    np.testing.assert_array_equal(found.to_numpy(), plain_matrix)
    polars_frame = vectorizer.set_output(transform="polars").transform(pl.from_pandas(TABLE))
    np.testing.assert_array_equal(polars_frame.to_numpy(), plain_matrix)


# Wrong values for every parameter; the directory of a model allows no 'revision'.
WRONG: dict[str, list[Any]] = {
    "model_name": [7, None, ""],
    "text": ["sentence", None],
    "start": ["from"],
    "end": ["to"],
    "word": ["term"],
    "missing": ["blank", None, "empty"],
    "layers": ["last", 9, [-1, 3], [], None, True],
    "layer_merge": ["stack", None, 1],
    "subtoken_pooling": ["avg", None, 1],
    "max_length": [2, 1.5, "128", True, 100_000],
    "stride": [-1, 1.5, "8", True, 126],
    "prompt": [5, b"query: "],
    "precision": ["fp32", None, 32],
    "device": ["cpuu", 1.5],
    "batch_tokens": [0, 1.5, "many", True],
    "revision": ["main", 7],
    "local_files_only": ["yes", None],
    "trust_remote_code": ["no", None],
    "store": ["", 0, True],
    "show_progress_bar": ["yes", None],
    "random_state": [-1, 1.5, "seed", None],
}


def test_wrong_values_are_tried_for_every_parameter() -> None:
    assert list(WRONG) == list(inspect.signature(BertSpanVectorizer).parameters)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [(parameter, value) for parameter, values in WRONG.items() for value in values],
)
def test_a_wrong_parameter_is_named_with_its_value(bert: str, parameter: str, value: Any) -> None:
    vectorizer = BertSpanVectorizer(
        **{"model_name": bert, parameter: value}
    )  # nothing is checked before fit
    for method in ("fit", "fit_transform", "transform"):
        with pytest.raises(InvalidParameterError) as caught:
            getattr(vectorizer, method)(TABLE)
        message = str(caught.value)
        assert f"The '{parameter}' parameter " in message
        assert repr(value) in message


def test_a_word_that_no_column_has_is_named(bert: str) -> None:
    with pytest.raises(InvalidParameterError, match=r"'word' parameter .*'target'.*'text', 'word'"):
        BertSpanVectorizer(bert, word="target").transform(MISSING)


def test_tags_and_parameters() -> None:
    assert not get_tags(BertSpanVectorizer()).requires_fit
    assert not get_tags(BertSpanVectorizer()).target_tags.required
    assert get_tags(BertSpanVectorizer(layer_merge="weighted")).target_tags.required
    assert repr(BertSpanVectorizer(word="target")) == "BertSpanVectorizer(word='target')"
    vectorizer = BertSpanVectorizer("any name", layers=[-1, -2])
    assert vars(vectorizer).keys() == vectorizer.get_params().keys()


def test_clone_set_params_and_pickle(bert: str) -> None:
    vectorizer = BertSpanVectorizer(bert, layers=[-1, 0], missing="nan")
    X = vectorizer.fit_transform(TABLE)
    loaded = pickle.loads(pickle.dumps(vectorizer))
    assert loaded.get_params() == vectorizer.get_params()
    np.testing.assert_array_equal(loaded.transform(TABLE), X)
    copied = clone(vectorizer)
    assert vars(copied).keys() == copied.get_params().keys()
    np.testing.assert_array_equal(copied.set_params(layers=0).transform(TABLE), X[:, 32:])


def test_a_model_that_changed_is_noticed(tmp_path: Path) -> None:
    save_model("bert", tmp_path / "model")
    vectorizer = BertSpanVectorizer(tmp_path / "model").fit(TABLE)
    loaded = pickle.loads(pickle.dumps(vectorizer))
    shutil.copy(
        save_model("bert", tmp_path / "other", initializer_range=0.1) / "model.safetensors",
        tmp_path / "model",
    )
    with pytest.raises(
        ModelChangedError,
        match=(
            rf"fitted with a model of fingerprint {loaded.model_fingerprint_}, but .* now has .*"
            r" fit again"
        ),
    ):
        loaded.transform(TABLE)
    assert loaded.fit_transform(TABLE).shape == (12, 32)
    other = clone(loaded).set_params(model_name=tmp_path / "other")
    np.testing.assert_array_equal(other.transform(TABLE), loaded.transform(TABLE))
