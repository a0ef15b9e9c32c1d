from __future__ import annotations

import importlib
import json
import math
import warnings
from collections import Counter
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV, PredefinedSplit, StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from threadpoolctl import threadpool_limits

from bertvectorizer import (
    BertClassifier,
    BertRegressor,
    BertVectorizer,
    Comparison,
    EmbeddingStore,
    OverlapVectorizer,
    PairVectorizer,
    StaticVectorizer,
    Word2VecVectorizer,
    compare,
)
from bertvectorizer.errors import (
    InvalidParameterError,
    InvalidTableError,
    InvalidTextError,
    ModelNotFoundError,
)
from bertvectorizer.models.checkpoint.text_tokens import TextTokenizer
from bertvectorizer.models.store.session_store import comparison_store, session_store
from bertvectorizer.pipeline import (
    ComparisonInterrupted,
    Cost,
    default_features,
    fine_tuned_features,
    load_example,
    read_table,
)
from bertvectorizer.pipeline.comparison import cross_validation
from bertvectorizer.pipeline.comparison.folds import read_groups
from bertvectorizer.pipeline.comparison.statistics import resample_rows
from bertvectorizer.pipeline.comparison.target import read_target
from bertvectorizer.pipeline.fine_tuning.base import FineTunedEstimator
from tests.pipeline.comparison.test_fitting import GroupSpy
from tests.tiny import ModelFactory

if TYPE_CHECKING:
    from numpy.typing import NDArray


MODULE = importlib.import_module(
    "bertvectorizer.pipeline.run_comparison"
)  # the name in the package is the function
EXAMPLE = load_example().head(60)
TEXTS, LABELS = EXAMPLE["text"], EXAMPLE["label"]
PLAIN = LogisticRegression()
MAJORITY: dict[str, Any] = {"majority class": None}
FEATURES: dict[str, Any] = {**MAJORITY, "words": TfidfVectorizer()}


def quick(
    X: Any,
    y: Any,
    features: Any = None,
    estimator: Any = PLAIN,
    cv: Any = 2,
    scoring: Any = "accuracy",
    **options: Any,
) -> Comparison:
    """Compare by little work."""
    return compare(X, y, features, estimator, cv, scoring, **options)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    """Tiny models are faster on one thread."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(n_threads)


@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_validation, "resample_rows", partial(resample_rows, n_resamples=49))


@pytest.fixture(scope="module")
def model(tiny_model: ModelFactory) -> str:
    return str(tiny_model("bert"))


def scores(comparison: Comparison, name: str = "words") -> list[float]:
    found: list[float] = comparison.outcomes[name].scores[comparison.metric].tolist()
    return found


# The numbers are those of scikit-learn


def default_head(sparse: bool) -> list[Any]:
    regularizations = [0.1, 1.0, 10.0, 100.0] if sparse else [1e-4, 1e-3, 1e-2, 1e-1]
    inner = StratifiedKFold(3, shuffle=True, random_state=0)
    return [
        Normalizer() if sparse else StandardScaler(),
        LogisticRegressionCV(
            Cs=regularizations,
            cv=inner,
            scoring="neg_log_loss",
            max_iter=1000,
            l1_ratios=(0.0,),
            use_legacy_attributes=False,
        ),
    ]


@pytest.mark.parametrize("kind", ["words", "topics", "word2vec", "static", "bert", "union"])
def test_scores_are_those_of_a_pipeline_in_cross_validation(kind: str, model: str) -> None:
    words = sorted({word for text in TEXTS for word in text.lower().split()})
    table = pd.DataFrame(
        np.random.RandomState(0).normal(size=(len(words), 6)).astype(np.float32), index=words
    )
    transformer = {
        "words": TfidfVectorizer(min_df=2),
        "topics": make_pipeline(TfidfVectorizer(), TruncatedSVD(4, random_state=0)),
        "word2vec": Word2VecVectorizer(vector_size=6, epochs=1, n_buckets=16, random_state=0),
        "static": StaticVectorizer(table, weighting="sif"),
        "bert": BertVectorizer(model, layers=[-1, -2]),
        "union": FeatureUnion([("words", TfidfVectorizer()), ("bert", BertVectorizer(model))]),
    }[kind]
    folds = StratifiedKFold(2, shuffle=True, random_state=3)
    comparison = compare(
        TEXTS, LABELS, {kind: transformer}, cv=folds, scoring=["neg_log_loss", "accuracy"]
    )
    pipe = make_pipeline(transformer, *default_head(kind in ("words", "union")))
    by_hand = cross_val_score(
        pipe, TEXTS, LABELS, cv=folds, scoring="neg_log_loss", error_score="raise"
    )
    assert comparison.outcomes[kind].scores["log_loss"].tolist() == (-by_hand).tolist()


def test_an_estimator_stands_on_all_features() -> None:
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    comparison = compare(TEXTS, LABELS, FEATURES, KNeighborsClassifier(3), folds)
    by_hand = cross_val_score(
        make_pipeline(FEATURES["words"], KNeighborsClassifier(3)), TEXTS, LABELS, cv=folds
    )
    assert scores(comparison) == by_hand.tolist()
    assert comparison.settings["estimator"] == "KNeighborsClassifier(n_neighbors=3)"


def test_classifiers_of_texts_predict_by_themselves(model: str, tmp_path: Path) -> None:
    tuned = BertClassifier(model, trainable_layers=1, epochs=1, random_state=0)
    words = make_pipeline(CountVectorizer(), LogisticRegression())
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    comparison = compare(
        TEXTS,
        LABELS,
        {**FEATURES, "tuned": tuned, "pipe": words},
        KNeighborsClassifier(3),
        folds,
        ["accuracy", "neg_log_loss"],
        test=([f"{text} again" for text in TEXTS[:9]], LABELS[:9]),
        learning_curve=[0.5],
    )
    for name, estimator in (("tuned", tuned), ("pipe", words)):
        by_hand = cross_val_score(
            estimator, TEXTS, LABELS, cv=folds, scoring="neg_log_loss", error_score="raise"
        )
        np.testing.assert_allclose(
            comparison.outcomes[name].scores["log_loss"], -by_hand, rtol=0, atol=1e-6
        )
        assert comparison.probabilities(name).notna().to_numpy().all()
    table = comparison.table.set_index("features")
    assert table["is_contextual"].to_dict() == {
        "majority class": False,
        "words": False,
        "tuned": True,
        "pipe": False,
    }
    assert comparison.primary == "tuned"
    assert table.loc["tuned", "family"] == "primary"
    cost = table.loc["tuned", ["dimensions", "encode_seconds", "truncation_rate"]].tolist()
    np.testing.assert_array_equal(cost, [0, math.nan, 0])
    assert (table.loc["tuned", ["fit_seconds", "predict_seconds", "peak_mib", "test"]] > 0).all()
    assert comparison.settings["predict by themselves"] == "tuned, pipe"
    pipeline = comparison.pipeline("tuned")
    assert list(pipeline.named_steps) == ["estimator"]
    assert pipeline[0].store == tuned.store
    np.testing.assert_array_equal(
        pipeline.predict_proba(TEXTS), clone(tuned).fit(TEXTS, LABELS).predict_proba(TEXTS)
    )
    assert not hasattr(tuned, "classes_")
    assert "tuned" in comparison.to_html(tmp_path / "report.html").read_text(encoding="utf-8")


def test_what_is_fine_tuned_suits_the_target(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned = partial(fine_tuned_features, model_name=model, epochs=1)
    monkeypatch.setattr(MODULE, "default_features", lambda pairs: FEATURES)
    monkeypatch.setattr(MODULE, "fine_tuned_features", tuned)
    names = ["majority class", "bert finetuned"]
    numbers = compare(TEXTS, np.arange(60) / 7, names, cv=2)
    assert list(numbers.outcomes) == ["mean of the target", "BERT fine-tuned"]
    assert isinstance(numbers.pipeline("BERT fine-tuned")[0], BertRegressor)
    labels = compare(TEXTS, [["a"], ["a", "b"], ["b", "c"]] * 20, names, cv=2)
    assert labels.probabilities("BERT fine-tuned").columns.tolist() == ["a", "b", "c"]
    pipeline = labels.pipeline("BERT fine-tuned")
    assert pipeline.classes_.tolist() == ["a", "b", "c"]
    assert pipeline.predict(TEXTS[:4]).shape == (4, 3)
    with pytest.raises(InvalidParameterError, match="'batch_size' parameter"):
        compare(TEXTS, LABELS, {"tuned": BertClassifier(model, batch_size=0)}, cv=2)
    with pytest.warns(UserWarning, match="numbers failed: .* y must hold numbers"):
        compare(TEXTS, LABELS, {**FEATURES, "numbers": BertRegressor(model)}, cv=2)


def test_majority_class_scores_its_share() -> None:
    comparison = compare(
        [f"text {number}" for number in range(40)], ["often"] * 30 + ["seldom"] * 10, MAJORITY, cv=5
    )
    assert scores(comparison, "majority class") == [0.75] * 5
    row = comparison.table.iloc[0]
    assert (row["dimensions"], row["accuracy"], row["roc_auc"], row["brier_score"]) == (
        0,
        0.75,
        0.5,
        0.1875,
    )
    assert row["verdict"] == "best baseline"


# The default features


def test_the_default_features_encode_each_text_once(model: str) -> None:
    texts = [*TEXTS, *TEXTS[:10]]
    features = default_features(model_name=model)
    berts = {name: transformer for name, transformer in features.items() if name.startswith("BERT")}
    assert len(berts) == 8
    with pytest.warns(UserWarning, match=r"20 of 70 rows are judged"):
        comparison = quick(
            texts,
            [*LABELS, *LABELS[:10]],
            {**MAJORITY, **berts, "two": FeatureUnion(list(berts.items())[:2])},
            cv="2x2",
        )
    store = comparison_store()
    assert store is not None
    assert store.stats.encoded == store.stats.texts == 60
    assert session_store().stats.encoded == 0  # type: ignore[union-attr]
    assert comparison.outcomes["BERT concat of last 4"].cost.dimensions == 128
    for transformer in berts.values():
        assert transformer.store == "auto"
        assert not hasattr(transformer, "model_fingerprint_")
    assert comparison.pipeline("BERT").named_steps["features"].store == "auto"
    assert store.stats.encoded == 60


def test_two_layers_of_a_model_tokenize_each_text_once(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenized: Counter[str] = Counter()
    tokenize = TextTokenizer.__call__

    def count(self: TextTokenizer, texts: Any) -> Any:
        tokenized.update(texts)
        return tokenize(self, texts)

    monkeypatch.setattr(TextTokenizer, "__call__", count)
    # The seconds of encoding are measured on a sample, without the store.
    monkeypatch.setattr(cross_validation, "_time_encoding", lambda *_: 0.0)
    texts = [*TEXTS, *TEXTS[:10]]
    layers = {f"layer {n}": BertVectorizer(model, layers=n, max_length=4) for n in (-1, -2)}
    with (
        pytest.warns(UserWarning, match="judged after learning from the same text"),
        pytest.warns(UserWarning, match="layer -1, layer -2: 70 of 70 texts are longer"),
    ):
        comparison = quick(texts, [*LABELS, *LABELS[:10]], layers)
    assert tokenized == dict.fromkeys(TEXTS, 1)
    assert comparison.table["truncation_rate"].tolist() == [1, 1]


@pytest.mark.parametrize("given", ["none", "path", "store"])
def test_stores_of_the_users(given: str, model: str, tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = {"none": None, "path": path, "store": EmbeddingStore(path)}[given]
    quick(TEXTS, LABELS, {"BERT": BertVectorizer(model)}, store=store)
    assert path.exists() == (given != "none")
    if given != "none":
        assert EmbeddingStore(path).stats.texts == 60
    shared = comparison_store()
    assert shared is None or shared.stats.encoded == 0


# Pairs of texts


def pairs_of(n_sentences: int) -> pd.DataFrame:
    """Return 60 pairs; each second text stands in as many pairs as there are of each."""
    second = [TEXTS[row % n_sentences] for row in range(60)]
    return pd.DataFrame({"premise": TEXTS, "hypothesis": [f"{text} Yes." for text in second]})


@pytest.mark.parametrize("kind", ["overlap", "words", "word2vec", "bert", "columns"])
def test_scores_of_pairs_are_those_of_a_pipeline(kind: str, model: str) -> None:
    pairs = pairs_of(30)
    single = {
        "words": TfidfVectorizer(min_df=2),
        "word2vec": Word2VecVectorizer(vector_size=6, epochs=1, n_buckets=16, random_state=0),
        "bert": BertVectorizer(model, layers=[-1, -2]),
    }
    of_pairs = {
        "overlap": OverlapVectorizer(),
        "columns": FunctionTransformer(lambda X: np.vectorize(len)(np.asarray(X, dtype=object))),
        **{name: PairVectorizer(one) for name, one in single.items()},
    }[kind]
    folds = StratifiedKFold(2, shuffle=True, random_state=3)
    with pytest.warns(UserWarning, match=r"\d+ of 60 pairs are judged after learning from another"):
        comparison = compare(
            pairs, LABELS, {kind: single.get(kind, of_pairs)}, cv=folds, scoring="neg_log_loss"
        )
    by_hand = cross_val_score(
        make_pipeline(of_pairs, *default_head(kind == "words")),
        *(pairs, LABELS),
        cv=folds,
        scoring="neg_log_loss",
        error_score="raise",
    )
    np.testing.assert_allclose(
        comparison.outcomes[kind].scores["log_loss"], -by_hand, rtol=1e-4 if kind == "bert" else 0
    )
    assert (comparison.table["oov_rate"].notna() == (kind == "word2vec")).all()
    assert comparison.table["encode_seconds"].notna().all()


def test_a_sentence_of_pairs_is_encoded_once_and_names_are_kept(model: str) -> None:
    pairs = pairs_of(30)
    features = {"words": TfidfVectorizer(), "BERT": BertVectorizer(model)}
    comparison = quick(pairs, LABELS, features, KNeighborsClassifier(3))
    store = comparison_store()
    assert store is not None
    assert store.stats.encoded == store.stats.texts == 90
    assert comparison.settings["folds"] == (
        "2 stratified folds that keep pairs with a common text together"
    )
    assert comparison.notes == comparison.doubts[:1]
    rows = comparison.errors("BERT", "words")
    assert rows.columns.tolist() == ["premise", "hypothesis", "target", "BERT", "words"]
    pd.testing.assert_frame_equal(rows.iloc[:, :2], pairs.loc[rows.index].astype(object))
    pipeline = comparison.pipeline("BERT")
    assert pipeline[0].vectorizer.store == pipeline[0].vectorizer_.store == "auto"
    with pytest.raises(InvalidTextError, match="columns that 'fit' saw: 'premise' and"):
        pipeline.predict(pairs[["hypothesis", "premise"]])
    for given in (pairs.to_numpy(), list(pairs.itertuples(index=False)), pl.from_pandas(pairs)):
        other = quick(given, LABELS, {"words": TfidfVectorizer()}, KNeighborsClassifier(3))
        assert scores(other) == scores(comparison)
    columns = quick(pairs.to_numpy(), LABELS, FEATURES).errors("words").columns
    assert columns.tolist() == ["text 1", "text 2", "target", "words", "majority class"]


def test_sentences_on_both_sides_of_a_fold() -> None:
    hanging = pairs_of(1)  # all pairs share their second text
    with pytest.warns(UserWarning, match=r"^60 of 60 pairs .* up to 60 pairs hang together"):
        comparison = quick(hanging, LABELS, FEATURES)
    assert comparison.settings["folds"] == "2 stratified folds"
    with pytest.raises(InvalidTableError, match="as many groups as folds"):
        quick(hanging, LABELS, FEATURES, group_duplicates=True)
    pairs, known = pairs_of(30), ["majority class", "overlap"]
    with pytest.warns(UserWarning, match=r"of 60 pairs are judged .*, which may flatter .*=True"):
        comparison = quick(pairs, LABELS, known, group_duplicates=False)
    assert list(comparison.roster) == ["majority class", "word overlap"]
    test = (pairs.head(4), LABELS.head(4))
    with pytest.warns(UserWarning, match=r"4 of 4 pairs held back .* may flatter the scores"):
        assert quick(pairs, LABELS, FEATURES, test=test).n_test == 4
    with pytest.raises(InvalidTableError, match=r"must have the columns of X, .*'premise'"):
        quick(pairs, LABELS, FEATURES, test=(pairs.iloc[:, ::-1], LABELS))
    with pytest.raises(InvalidTextError, match="must be a pair of texts"):
        quick(pairs, LABELS, FEATURES, test=(TEXTS, LABELS))
    with pytest.raises(InvalidParameterError, match=r"'group_duplicates' .* 'auto', True or"):
        quick(pairs, LABELS, FEATURES, group_duplicates="yes")


def test_names_of_the_default_features(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.setattr(
        MODULE, "default_features", lambda **_: {**FEATURES, "BERT": BertVectorizer(model)}
    )
    assert list(quick(TEXTS, LABELS, ["WORDS", "majority class"]).outcomes) == [
        "words",
        "majority class",
    ]
    assert list(quick(TEXTS, LABELS, "words").outcomes) == ["words"]
    with pytest.raises(
        InvalidParameterError,
        match=r"of: majority class, words, BERT, BERT fine-tuned\. Got 'word2vec'",
    ):
        quick(TEXTS, LABELS, ["word2vec"])


@pytest.mark.parametrize("leaks", [True, False])
def test_distilled_words_that_are_left_out_are_mentioned(
    leaks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODULE, "default_features", lambda **_: FEATURES)
    monkeypatch.setattr(MODULE, "can_distill", lambda: False)
    texts = ["the same"] * 60 if leaks else TEXTS
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        comparison = quick(texts, LABELS)
    assert any("Distilled words are left out" in note for note in comparison.notes)
    assert (
        any(
            "judged after learning from the same text" in str(warning.message) for warning in caught
        )
        == leaks
    )


# Folds


def test_folds_are_the_same_for_all_features() -> None:
    class Spy(CountVectorizer):
        def __init__(self, name: str = "") -> None:
            super().__init__()
            self.name = name

        def fit_transform(self, raw_documents: Any, y: Any = None) -> Any:
            seen.setdefault(self.name, []).append(list(zip(raw_documents, y, strict=True)))
            return super().fit_transform(raw_documents)

    seen: dict[str, list[Any]] = {}
    quick(TEXTS, LABELS, {"one": Spy("one"), "two": Spy("two")}, cv="2x2")
    assert seen["one"] == seen["two"]
    assert len({tuple(fold) for fold in seen["one"]}) == 4
    assert all(set(fold) <= set(zip(TEXTS, LABELS, strict=True)) for fold in seen["one"])


def test_a_seed_reproduces_everything() -> None:
    def found(seed: int | None) -> Any:
        comparison = quick(
            TEXTS, LABELS, FEATURES, cv="2x2", random_state=seed, learning_curve=[0.5]
        )
        seconds = ["encode_seconds", "fit_seconds", "predict_seconds", "peak_mib"]
        curve = comparison.learning_curve
        assert curve is not None
        return comparison.table.drop(columns=seconds).to_json(), curve.to_json()

    assert found(1) == found(1)
    assert found(1) != found(2)
    assert quick(TEXTS, LABELS, MAJORITY, random_state=None).settings["seed"] == "None"


@pytest.mark.parametrize(
    "make", [list, np.array, pd.Series, pl.Series], ids=["list", "array", "Series", "polars"]
)
def test_groups_are_never_on_both_sides(make: Any) -> None:
    groups = [f"author {number % 7}" for number in range(60)]
    comparison = quick(TEXTS, LABELS, MAJORITY, cv=3, groups=make(groups))
    assert comparison.settings["folds"] == "3 stratified folds that keep groups together"
    for train, test in comparison.folds.splits:
        assert not {groups[row] for row in train} & {groups[row] for row in test}


@pytest.mark.parametrize("scoring", ["accuracy", "f1_macro", "roc_auc"])
def test_copied_rows_of_a_group_count_as_one(scoring: str) -> None:
    def compare_copies(n_copies: int) -> dict[str, Comparison]:
        def copied(values: Any) -> NDArray[Any]:
            return np.repeat(np.asarray(values), n_copies)

        def folds(*parts: range) -> list[tuple[NDArray[Any], NDArray[Any]]]:
            fold_of_row = np.full(40, -1)
            for number, part in enumerate(parts):
                fold_of_row[part] = number
            rows = copied(fold_of_row)
            return [
                (np.flatnonzero(rows != k), np.flatnonzero(rows == k)) for k in range(len(parts))
            ]

        X, y, groups = copied(TEXTS[:40]), copied(LABELS[:40]), copied(range(40))
        cv = {
            "folds": folds(*(range(first, 40, 5) for first in range(5))),
            "fold": folds(range(20, 40)),
        }
        test = (copied(TEXTS[40:]), copied(LABELS[40:]), copied(range(40, 60)))
        return {
            name: quick(
                *(
                    X,
                    y,
                    {**MAJORITY, "words": CountVectorizer()},
                    NearestCentroid(),
                    splits,
                    scoring,
                ),
                groups=groups,
                test=test,
            )
            for name, splits in cv.items()
        }

    alone, five = compare_copies(1), compare_copies(5)
    costs = [field.name for field in fields(Cost)]
    for name, comparison in five.items():
        table = comparison.table.drop(columns=costs)
        pd.testing.assert_frame_equal(table, alone[name].table.drop(columns=costs))
        assert (table["test_low"] > 0).all()
    assert five["folds"].settings["rows"] == "200"
    assert five["folds"].settings["groups"] == "40"
    assert five["folds"].settings["rows held back for a test"] == "100 in 20 groups"
    assert "groups" not in alone["folds"].settings


def test_inner_splits_keep_groups_together(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = np.arange(60) // 3
    group_of = dict(zip(TEXTS, groups, strict=True))
    validated = []
    split = FineTunedEstimator._split

    def spy(*arguments: Any) -> Any:
        found = split(*arguments)
        validated.append([{group_of[text] for text in rows.first} for rows, _ in found])
        return found

    monkeypatch.setattr(FineTunedEstimator, "_split", spy)
    numbers = FunctionTransformer(
        lambda texts: np.array([[group_of.get(text, -1)] for text in texts])
    )
    tuned = BertClassifier(
        model, trainable_layers=0, epochs=1, early_stopping=True, validation_fraction=0.3
    )
    search = GridSearchCV(GroupSpy(), {"level": [0, 1]}, cv=3)
    GroupSpy.seen.clear()
    comparison = quick(
        *(TEXTS, LABELS, {"numbers": numbers, "tuned": make_pipeline(tuned)}, search),
        groups=groups,
        test=(["new"], ["living"], ["other"]),
        learning_curve=[0.5],
    )
    for name in comparison.outcomes:
        comparison.pipeline(name)
    n_fits = 2 + 1 + 2 + 1  # folds, held-back rows, learning curve, pipeline
    assert len(validated) == n_fits
    assert all(kept and held and not kept & held for kept, held in validated)
    assert len(GroupSpy.seen) >= 6 * n_fits
    assert set(GroupSpy.seen) == {0}


def test_groups_of_held_back_rows() -> None:
    groups = np.arange(50) // 5
    held_back = TEXTS[50:], LABELS[50:]
    with pytest.warns(UserWarning, match=r"held back have no groups.* test=\(X, y, groups\)"):
        quick(TEXTS[:50], LABELS[:50], MAJORITY, groups=groups, test=held_back)
    with pytest.warns(UserWarning, match="2 of 10 rows held back .* other rows of their group"):
        quick(
            TEXTS[:50], LABELS[:50], MAJORITY, groups=groups, test=(*held_back, [0, 9, *"abcdefgh"])
        )
    held_back = pd.concat([TEXTS[50:], TEXTS[50:51]]), pd.concat([LABELS[50:], LABELS[50:51]])
    joined = quick(TEXTS[:50], LABELS[:50], MAJORITY, group_duplicates=True, test=held_back)
    assert joined.test_groups.tolist() == [*range(10), 0]
    for fault, message in (([1, 2], "in 'test' must .*10 texts. Got"), (5, "'test' .* in 'test'")):
        with pytest.raises((InvalidTableError, InvalidParameterError), match=message):
            quick(TEXTS[:50], LABELS[:50], MAJORITY, test=(TEXTS[50:], LABELS[50:], fault))


def test_texts_that_occur_twice_are_counted_and_can_be_kept_together() -> None:
    texts = [*TEXTS[:50], *(f"  {text.upper()}" for text in TEXTS[:10])]
    with pytest.warns(
        UserWarning,
        match=(
            r"^\d+ of 60 rows are judged after learning from the same text .*group_duplicates=True"
        ),
    ) as caught:
        comparison = quick(texts, LABELS, MAJORITY, cv=5)
    assert [str(warning.message) for warning in caught] == comparison.notes
    together = quick(texts, LABELS, MAJORITY, cv=5, group_duplicates=True)
    assert together.notes == together.doubts[:1]
    owner = np.array([*range(50), *range(10)])
    for train, test in together.folds.splits:
        assert not set(owner[train]) & set(owner[test])


def test_duplicates_and_groups_are_kept_together_at_once() -> None:
    groups = np.arange(60) // 5
    texts = [*TEXTS[:59], TEXTS[0]]
    comparison = quick(texts, LABELS, MAJORITY, groups=groups, group_duplicates=True)
    for train, test in comparison.folds.splits:
        assert not set(groups[train]) & set(groups[test])
        assert (0 in train) == (59 in train)


def test_missing_texts_are_counted_and_are_no_duplicates() -> None:
    texts = [*TEXTS[:50], *[None, "\ufeff\u200b", " \n", float("nan"), pd.NA] * 2]
    with pytest.warns(UserWarning, match="texts") as caught:
        comparison = quick(texts, LABELS, MAJORITY, cv=5)
    expected = ['10 of 60 texts are missing or empty. They are read as "".']
    assert [str(warning.message) for warning in caught] == comparison.notes == expected
    with pytest.warns(UserWarning, match="10 of 60 texts"):
        together = quick(texts, LABELS, MAJORITY, cv=5, group_duplicates=True)
    assert any(0 < np.isin(range(50, 60), test).sum() < 10 for _, test in together.folds.splits)
    with pytest.warns(UserWarning, match="1 of 2 texts of the rows held back are missing") as held:
        quick(TEXTS[:50], LABELS[:50], MAJORITY, test=([None, "new"], LABELS[50:52]))
    assert len(held) == 1


def test_texts_of_the_held_back_rows_that_were_learned_are_counted() -> None:
    with pytest.warns(UserWarning, match="2 of 10 .*learn.* the same text"):
        quick(TEXTS[:50], LABELS[:50], MAJORITY, test=([*TEXTS[:2], *TEXTS[52:]], LABELS[50:]))


def test_a_predefined_split() -> None:
    comparison = quick(TEXTS, LABELS, FEATURES, cv=PredefinedSplit(np.repeat([-1, 0], [40, 20])))
    assert comparison.settings["folds"] == "1 fold(s) of PredefinedSplit"
    table = comparison.table
    assert (table["low"] < table["high"]).all()
    assert table["p_value"].notna().sum() == 1
    several = quick(
        TEXTS, LABELS, FEATURES, cv=PredefinedSplit(np.repeat([-1, 0, 1, 2], [20, 10, 15, 15]))
    )
    assert len(scores(several)) == 3


@pytest.mark.parametrize("scoring", ["accuracy", "roc_auc"])
def test_bootstrap_samples_without_a_class_make_no_noise(scoring: str) -> None:
    split = PredefinedSplit(np.repeat([-1, 0], [56, 4]))
    comparison = compare(TEXTS, ["a", "b"] * 30, FEATURES, PLAIN, split, scoring)
    assert comparison.notes == comparison.doubts[:1]
    assert "there are only 4 rows" in comparison.notes[0]


def test_held_back_rows_are_judged_once() -> None:
    seen: list[int] = []

    class Spy(CountVectorizer):
        def fit_transform(self, raw_documents: Any, y: Any = None) -> Any:
            seen.append(len(raw_documents))
            return super().fit_transform(raw_documents)

    held_back = (TEXTS[40:].tolist(), LABELS[40:].to_numpy())
    comparison = quick(TEXTS[:40], LABELS[:40], {"words": Spy()}, test=held_back)
    assert seen == [20, 20, 40]
    row = comparison.table.iloc[0]
    assert row["test"] == make_pipeline(CountVectorizer(), PLAIN).fit(
        TEXTS[:40], LABELS[:40]
    ).score(*held_back)
    assert row["test_low"] <= row["test"] <= row["test_high"]
    assert comparison.n_test == 20
    assert comparison.settings["rows held back for a test"] == "20"
    assert (
        len(comparison.texts)
        == len(comparison.target)
        == len(comparison.outcomes["words"].predictions)
        == 40
    )
    pipe = comparison.pipeline()
    assert pipe.score(*held_back) == row["test"]
    assert quick(TEXTS[:40], LABELS[:40], MAJORITY, test=(["x"], ["thing"])).table.loc[
        0, "test"
    ] in (0, 1)


def test_the_learning_curve_learns_from_whole_groups() -> None:
    groups = np.random.default_rng(0).permutation(np.repeat(np.arange(12), 5))
    labels = np.where(groups % 4 == 0, "rare", "frequent")
    folds = quick(TEXTS, labels, MAJORITY, groups=groups).folds
    target = read_target(labels, 60)[0]
    sizes, curve = MODULE._curve_splits([0.3, 0.5, 0.51, 1.0], folds, target, 0)
    assert sizes == (10, 15, 30)
    previous = [np.array([], dtype=int)] * 2
    for size, splits in zip(sizes, curve, strict=True):
        for fold, (train, _) in enumerate(splits):
            assert len(train) == size == np.isin(groups, groups[train]).sum()
            assert set(labels[train]) == {"rare", "frequent"}
            assert set(previous[fold]) <= set(train) <= set(folds.splits[fold][0])
            previous[fold] = train


def test_the_learning_curve_learns_from_nested_parts_with_all_classes() -> None:
    class Spy(CountVectorizer):
        def fit_transform(self, raw_documents: Any, y: Any = None) -> Any:
            seen.append(dict(zip(raw_documents, y, strict=True)))
            return super().fit_transform(raw_documents)

    seen: list[dict[str, str]] = []
    labels = ["rare" if number % 10 == 0 else "often" for number in range(60)]
    comparison = quick(TEXTS, labels, {"words": Spy()}, learning_curve=[1.0, 0.05, 0.2, 0.2, 0.5])
    assert comparison.curve_sizes == (2, 6, 15, 30)
    of_sizes = [seen[2 + 2 * size : 4 + 2 * size] for size in range(4)]
    for size, n_rows in enumerate(comparison.curve_sizes):
        for fold, part in enumerate(of_sizes[size]):
            assert len(part) == n_rows
            counts = Counter(part.values())
            assert abs(counts["rare"] - n_rows / 10) <= 1
            assert counts["rare"] >= 1
            assert part.keys() <= seen[fold].keys()
            assert not size or of_sizes[size - 1][fold].items() <= part.items()
    assert quick(TEXTS, labels, MAJORITY, learning_curve=True).curve_sizes == (3, 6, 12, 21, 30)


# Targets


TARGETS: dict[str, Any] = {
    "text": LABELS,
    "int": (LABELS == "living").astype(int),
    "bool": (LABELS == "living").to_numpy(),
    "Int64": (LABELS == "living").astype("Int64"),
    "categorical": LABELS.astype("category"),
    "mixed": [1 if label == "living" else "thing" for label in LABELS],
    "list of NumPy's int": list((LABELS == "living").to_numpy().astype(int)),
    "odd": ['living, "it" 🦇' if label == "living" else "=thing\n" for label in LABELS],
}


@pytest.mark.parametrize("kind", TARGETS)
def test_labels_of_every_kind_give_the_same(kind: str) -> None:
    comparison = quick(TEXTS, TARGETS[kind], FEATURES)
    assert scores(comparison) == scores(quick(TEXTS, LABELS, FEATURES))
    labels = list(TARGETS[kind])
    expected = {
        type(str(label)) if kind == "mixed" else type(np.array(label).tolist()) for label in labels
    }
    assert {type(label) for label in comparison.pipeline().predict(TEXTS).tolist()} == expected


@pytest.mark.parametrize(
    "head", [None, KNeighborsClassifier(3)], ids=["default", "with probabilities"]
)
def test_several_labels_a_row(head: Any) -> None:
    labels = [
        ["living"] * (label == "living") + ["bat"] * ("bat" in text)
        for text, label in zip(TEXTS, LABELS, strict=True)
    ]
    comparison = compare(TEXTS, labels, FEATURES, head, cv=2)
    assert comparison.failures == {}
    assert comparison.metric == "f1_macro"
    assert comparison.target.kind == "multilabel"
    assert comparison.pipeline("words").predict(TEXTS[:2]).shape == (2, 2)
    json.loads(comparison.to_json())
    assert comparison.target.classes is not None
    if head is None:
        pipe = comparison.pipeline("words")
        assert pipe.classes_.tolist() == comparison.target.classes.tolist() == ["bat", "living"]
        found, probabilities = pipe.predict(TEXTS), pipe.predict_proba(TEXTS)
        assert probabilities.shape == (60, 2)
        np.testing.assert_array_equal(found, probabilities > 0.5)
        truth = np.array([[name in row for name in pipe.classes_] for row in labels])
        assert pipe.score(TEXTS, truth) == (found == truth).all(axis=1).mean()
        again = clone(pipe).fit(TEXTS, truth.astype(int))
        np.testing.assert_array_equal(again.predict_proba(TEXTS), probabilities)


def test_a_single_label_a_row_or_none() -> None:
    labels = [["living"] * (label == "living") for label in LABELS]
    comparison = compare(TEXTS, labels, FEATURES, cv=2)
    assert comparison.failures == {}
    assert 0 <= comparison.table["f1_macro"].max() <= 1


def test_regression() -> None:
    numbers = TEXTS.str.len() / 7
    comparison = compare(
        TEXTS, numbers, {**MAJORITY, "letters": CountVectorizer(analyzer="char")}, cv=3
    )
    assert comparison.metric == "r2"
    assert list(comparison.outcomes) == list(comparison.roster) == ["mean of the target", "letters"]
    assert comparison.best == "letters"
    assert comparison.baseline == "letters"
    assert math.isnan(comparison.table.loc[0, "spearman"])
    assert comparison.table.loc[1, "mean_absolute_error"] >= 0
    assert comparison.settings["target"] == "text: regression"
    with pytest.warns(UserWarning, match="came as text and was read as numbers"):
        from_text = compare(TEXTS, numbers.astype(str), MAJORITY, LinearRegression(), 3)
    assert scores(from_text, "mean of the target") == scores(comparison, "mean of the target")


def test_where_one_class_has_nearly_all_rows_balanced_accuracy_decides() -> None:
    texts = [f"{'seldom' if number % 20 == 0 else 'often'} {number}" for number in range(200)]
    labels = ["rare" if number % 20 == 0 else "usual" for number in range(200)]
    note = r"95 % of rows are of class 'usual'\. .* balanced accuracy decides"
    with pytest.warns(UserWarning, match=note):
        comparison = compare(texts, labels, FEATURES, cv=2)
    assert comparison.metric == "balanced_accuracy"
    assert comparison.table["balanced_accuracy"].tolist() == [0.5, 1]
    assert comparison.table["accuracy"].tolist() == [0.95, 1]
    assert any("95 %" in one for one in comparison.notes)
    chosen = quick(texts, labels, FEATURES, scoring="accuracy")
    assert chosen.metric == "accuracy"
    assert chosen.notes == []
    even = compare(texts[:20], (["a", "b"] * 10), MAJORITY, cv=2)
    assert even.metric == "accuracy"


def test_hundreds_of_classes() -> None:
    names = [f"class {number}" for number in range(200)]
    texts = [f"{name.replace(' ', '')} {time}" for time in range(3) for name in names]
    comparison = compare(texts, names * 3, FEATURES, cv=3, scoring="accuracy")
    assert comparison.failures == {}
    assert comparison.table["accuracy"][1] == 1
    assert comparison.settings["target"] == "target: 200 classes"
    with pytest.raises(
        InvalidTableError, match=r"folds \(5\). Got 3 row\(s\) of class 'class 0', and 199 more"
    ):
        compare(texts, names * 3, FEATURES)


# Texts


def test_texts_of_every_kind_give_the_same() -> None:
    expected = scores(quick(TEXTS, LABELS, FEATURES))
    array = TEXTS.to_numpy(dtype=object)
    kinds: dict[str, Any] = {
        "list": TEXTS.tolist(),
        "array": array,
        "column": array[:, None],
        "odd index": TEXTS.set_axis([3] * 60),
        "frame": TEXTS.to_frame().set_axis(pd.MultiIndex.from_product([range(6), range(10)])),
        "polars": pl.Series(TEXTS.tolist()),
        "polars frame": pl.DataFrame({"text": TEXTS.tolist()}),
    }
    for kind, texts in kinds.items():
        comparison = quick(texts, LABELS, FEATURES)
        assert scores(comparison) == expected
        errors = comparison.errors("majority class", "words")
        own = texts.index if kind in ("odd index", "frame") else pd.RangeIndex(60)
        rows = np.flatnonzero(
            (comparison.outcomes["majority class"].predictions == LABELS)
            & (comparison.outcomes["words"].predictions != LABELS)
        )
        assert len(rows)
        found = list(zip(errors.index, errors["text"], strict=True))
        assert sorted(found) == sorted(zip(own[rows], array[rows], strict=True))


def test_missing_texts_read_as_empty(model: str) -> None:
    texts = ["bat", None, float("nan"), pd.NA, "crane", "river"] * 4
    features = {
        **FEATURES,
        "Word2Vec": Word2VecVectorizer(vector_size=4, epochs=1, n_buckets=16),
        "BERT": BertVectorizer(model),
    }
    with (
        pytest.warns(UserWarning, match="12 of 24 texts are missing or empty"),
        pytest.warns(UserWarning, match="12 of 24 rows are judged"),
    ):
        comparison = quick(texts, ["a", "b", "c"] * 8, features)
    assert comparison.failures == {}
    assert comparison.texts[:4].tolist() == ["bat", "", "", ""]


FAULTS: dict[str, tuple[Any, Any, type[Exception], str]] = {
    "no rows": ([], [], InvalidTableError, "There are no texts"),
    "all texts missing": (
        [None, " "] * 5,
        ["a", "b"] * 5,
        InvalidTableError,
        "All 10 texts are missing or empty",
    ),
    "three rows": (
        ["x", "y", "z"],
        ["a", "b", "a"],
        InvalidTableError,
        r"as many rows as folds \(5\)",
    ),
    "unequal lengths": (["x"] * 4, ["a", "b"], InvalidTableError, "4 texts but 2 labels"),
    "missing label": (
        ["x"] * 6,
        ["a", "b", "a", None, "a", pd.NA],
        InvalidTableError,
        "missing in 2 row.s., the first is row 3",
    ),
    "missing number": (
        ["x"] * 4,
        [0.0, 1.0, float("nan"), 0.0],
        InvalidTableError,
        "missing in 1 row.s., the first is row 2",
    ),
    "one class": (
        ["x"] * 4,
        ["a"] * 4,
        InvalidTableError,
        "at least 2 classes. Got 1, a in every row",
    ),
    "rare class": (["x"] * 9, ["a"] * 8 + ["b"], InvalidTableError, "Got 1 row.s. of class 'b'"),
    "constant numbers": (["x"] * 9, [0.5] * 9, InvalidTableError, "at least 2 values"),
    "infinite numbers": (
        ["x"] * 4,
        [0.5, math.inf, 1.5, 2.5],
        InvalidTableError,
        "finite numbers. Got inf in row 1",
    ),
    "numbers as texts": ([1, 2, 3, 4], ["a", "b"] * 2, InvalidTextError, "must be str"),
    "nothing to learn": (
        ["a", "b"] * 5,
        ["a", "b"] * 5,
        InvalidTableError,
        "No feature set could be used. words: .*empty vocabulary",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.filterwarnings("ignore:.* rows are judged")
def test_faults_are_one_line(fault: str) -> None:
    texts, labels, error, message = FAULTS[fault]
    with pytest.raises(error, match=message) as caught:
        compare(texts, labels, {"words": TfidfVectorizer()})
    assert "\n" not in str(caught.value)


PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "cv": ({"cv": 1}, "'cv'"),
    "cv, a fraction": ({"cv": 2.5}, "'cv'"),
    "cv, a flag": ({"cv": True}, "'cv'"),
    "scoring": ({"scoring": "no_such"}, "'scoring'"),
    "scoring, which has no value": (
        {"scoring": "r2"},
        "'r2', which decides, has no value on 2 of 2 folds",
    ),
    "scoring, of the rarer class": ({"scoring": "f1"}, "'f1', which decides, has no value"),
    "features": ({"features": {}}, "'features'"),
    "a class in place of features": ({"features": {"words": TfidfVectorizer}}, "'words'"),
    "estimator": ({"estimator": "logistic"}, "'estimator'"),
    "estimator, a class": ({"estimator": LogisticRegression}, "'estimator'"),
    "n_jobs": ({"n_jobs": 0}, "'n_jobs'"),
    "n_jobs, a text": ({"n_jobs": "many"}, "'n_jobs'"),
    "random_state": ({"random_state": -1}, "'random_state'"),
    "random_state, too large": ({"random_state": 2**32}, "'random_state'"),
    "random_state, a generator": ({"random_state": np.random.RandomState(0)}, "'random_state'"),
    "store": ({"store": 5}, "'store'"),
    "group_duplicates": ({"group_duplicates": "yes"}, "'group_duplicates'"),
    "show_progress_bar": ({"show_progress_bar": 1}, "'show_progress_bar'.* True, False or None"),
    "task": ({"task": "ranking"}, "'task'"),
    "test": ({"test": (["x"], ["thing"], 3)}, "'test'"),
    "test, texts only": ({"test": ["x", "y", "z"]}, "'test'"),
    "learning_curve": ({"learning_curve": [0.5, 2]}, "'learning_curve'"),
    "learning_curve, a share": ({"learning_curve": 0.5}, "'learning_curve'"),
    "learning_curve, none": ({"learning_curve": None}, "'learning_curve'"),
    "learning_curve, empty": ({"learning_curve": []}, "'learning_curve'"),
}


@pytest.mark.parametrize("fault", PARAMETERS)
def test_parameters_are_checked(fault: str) -> None:
    changes, message = PARAMETERS[fault]
    with pytest.raises(InvalidParameterError, match=message) as caught:
        quick(TEXTS, LABELS, **{"features": MAJORITY, **changes})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([1, 2], "one group for each of the 60 texts. Got 2 instead"),
        ([None, *range(59)], "a value in each row. Got none in 1 row"),
        (5, "group"),
        ([1] * 60, "as many groups"),
    ],
)
def test_groups_at_fault(groups: Any, message: str) -> None:
    with pytest.raises((InvalidTableError, InvalidParameterError), match=message):
        quick(TEXTS, LABELS, MAJORITY, groups=groups)


def test_groups_are_told_apart_by_their_text() -> None:
    numbers = [row // 3 for row in range(60)]
    for groups in (numbers, [f"author {number} \ud800" for number in numbers]):
        assert read_groups(groups, 60)[0].tolist() == numbers


def test_a_fault_of_bert_is_told_before_the_work() -> None:
    def work(*news: Any) -> None:
        raise AssertionError(news)

    for bert in (BertVectorizer("no/such-model"), make_pipeline(BertVectorizer("no/such-model"))):
        with pytest.raises(ModelNotFoundError):
            quick(TEXTS, LABELS, {**FEATURES, "BERT": bert}, progress=work)


# What fails, what warns, what is interrupted


class Raises(TransformerMixin, BaseEstimator):
    """Raises a given error after several fits; before, it warns and returns text lengths."""

    def __init__(self, error: Any = None, warning: str = "") -> None:
        self.error = error
        self.warning = warning

    def fit(self, X: Any, y: Any = None) -> Raises:
        self.fitted_ = True
        if self.error is not None:
            raise self.error
        return self

    def transform(self, X: Any) -> Any:
        if self.warning:
            warnings.warn(self.warning, UserWarning, stacklevel=1)
        return np.array([[len(text)] for text in X], dtype=float)


def test_a_failure_leaves_the_others_alone() -> None:
    features = {"broken": Raises(RuntimeError("it\nbroke")), **FEATURES}
    with pytest.warns(UserWarning, match="broken failed: RuntimeError: it") as caught:
        comparison = quick(TEXTS, LABELS, features)
    assert len(caught) == 1
    assert list(comparison.outcomes) == comparison.table["features"].tolist() == list(FEATURES)
    assert list(comparison.failures) == ["broken"]
    assert comparison.notes == [str(caught[0].message)]
    assert "broken" in json.loads(comparison.to_json())["failures"]
    for ask in (comparison.errors, comparison.pipeline):
        with pytest.raises(
            InvalidParameterError, match=r"one of: majority class, words\. Got 'broken'"
        ):
            ask("broken")


def test_where_all_fail_all_reasons_are_told() -> None:
    with pytest.raises(
        InvalidTableError, match="one: RuntimeError: first; two: KeyError: 'second'"
    ):
        quick(
            TEXTS, LABELS, {"one": Raises(RuntimeError("first")), "two": Raises(KeyError("second"))}
        )


def test_a_scorer_that_has_no_value_for_one_member_leaves_the_others() -> None:
    def of_words(estimator: Any, X: Any, y: Any) -> float:
        return math.nan if len(set(estimator.predict(X))) == 1 else 0.5

    with pytest.warns(UserWarning, match="majority class failed: .*has no value on 2 of 2 folds"):
        comparison = quick(TEXTS, LABELS, FEATURES, scoring=of_words)
    assert comparison.best == "words"


def test_a_scorer_of_the_users_that_asks_for_the_score() -> None:
    comparison = quick(
        TEXTS, LABELS, FEATURES, scoring=lambda estimator, X, y: estimator.score(X, y)
    )
    assert scores(comparison) == scores(quick(TEXTS, LABELS, FEATURES))


def test_a_warning_of_several_is_told_once() -> None:
    features = {
        "one": Raises(warning="cold"),
        "two": Raises(warning="cold"),
        "three": Raises(warning="warm"),
        **FEATURES,
    }
    with pytest.warns(UserWarning, match="cold|warm") as caught:
        comparison = quick(TEXTS, LABELS, features)
    assert (
        [str(warning.message) for warning in caught]
        == comparison.notes
        == ["one, two: cold", "three: warm"]
    )
    assert {warning.filename for warning in caught} == {__file__}


def test_texts_that_are_cut_are_told_once(model: str) -> None:
    berts = {f"BERT {layer}": BertVectorizer(model, layers=layer, max_length=4) for layer in (0, 1)}
    with pytest.warns(UserWarning, match="longer than the model reads") as caught:
        quick(TEXTS, LABELS, berts)
    assert len(caught) == 1
    assert str(caught[0].message).startswith("BERT 0, BERT 1: 60 of 60 texts")


def test_an_interrupt_keeps_what_is_finished() -> None:
    with pytest.raises(ComparisonInterrupted) as caught:
        quick(
            TEXTS,
            LABELS,
            {
                **FEATURES,
                "stop": Raises(KeyboardInterrupt()),
                "later": TfidfVectorizer(binary=True),
            },
        )
    assert isinstance(caught.value, KeyboardInterrupt)
    comparison = caught.value.comparison
    assert comparison is not None
    assert comparison.table["features"].tolist() == list(FEATURES)
    assert comparison.pipeline("words").predict(TEXTS[:1]).shape == (1,)
    with pytest.raises(ComparisonInterrupted) as caught:
        quick(TEXTS, LABELS, {"stop": Raises(KeyboardInterrupt()), **FEATURES})
    assert caught.value.comparison is None


def test_a_progress_that_raises_is_not_a_failure_of_the_features() -> None:
    def broken(*_news: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        quick(TEXTS, LABELS, FEATURES, progress=broken)


def test_progress_only_grows(model: str) -> None:
    news: list[tuple[str, str, int, int]] = []
    quick(
        TEXTS,
        LABELS,
        {**FEATURES, "BERT": BertVectorizer(model)},
        progress=lambda *call: news.append(call),
        learning_curve=[0.5],
    )
    assert [call[:2] for call in news] == [
        *[("majority class", "folds")] * 5,
        *[("words", "folds")] * 5,
        *[("BERT", "texts")] * 2,
        *[("BERT", "folds")] * 5,
    ]
    assert [done for name, unit, done, _ in news if (name, unit) == ("BERT", "folds")] == [
        0,
        1,
        2,
        3,
        4,
    ]
    assert all(done <= total for _, _, done, total in news)
    assert {total for _, unit, _, total in news if unit == "texts"} == {60}


def test_folds_at_once_give_the_same() -> None:
    one, two = (quick(TEXTS, LABELS, FEATURES, n_jobs=n_jobs) for n_jobs in (1, 2))
    for name in FEATURES:
        assert scores(one, name) == scores(two, name)
        assert one.outcomes[name].predictions.tolist() == two.outcomes[name].predictions.tolist()


# Nothing of the user's is changed


def test_nothing_of_the_users_is_changed(model: str) -> None:
    texts, labels, groups = (
        TEXTS.copy(),
        (LABELS == "living").astype(int).to_numpy(),
        np.arange(60) // 2,
    )
    head, bert, words = LogisticRegression(), BertVectorizer(model), TfidfVectorizer()
    features = {"words": words, "BERT": bert}
    before = labels.copy(), groups.copy(), repr(head), repr(bert), list(features.items())
    comparison = quick(
        texts,
        labels,
        features,
        estimator=head,
        groups=groups,
        group_duplicates=True,
        learning_curve=True,
    )
    comparison.pipeline("words"), comparison.pipeline("BERT")
    comparison.target.values[:] = 7
    comparison.texts[:] = ""
    pd.testing.assert_series_equal(texts, TEXTS)
    np.testing.assert_array_equal(labels, before[0])
    np.testing.assert_array_equal(groups, before[1])
    assert (repr(head), repr(bert), list(features.items())) == before[2:]
    for given in (head, bert, words):
        assert not [name for name in vars(given) if name.endswith("_") and not name.startswith("_")]


def test_features_added_later_are_not_those_compared() -> None:
    features = dict(FEATURES)
    comparison = quick(TEXTS, LABELS, features)
    features.clear()
    assert comparison.pipeline("words").predict(TEXTS[:1]).shape == (1,)


# Real texts


@pytest.mark.parametrize(
    ("name", "text", "target"),
    [("sst2/dev.tsv", "0", "1"), ("sms_spam/SMSSpamCollection.tsv", "1", "0")],
)
@pytest.mark.filterwarnings("ignore:.* rows are judged")
def test_real_texts(name: str, text: str, target: str, shared_data: Path, model: str) -> None:
    table = read_table(shared_data / name, [text, target], header=False, quoting="none").head(120)
    bert = BertVectorizer(model, overflow="head_tail")
    comparison = quick(table[text], table[target], {**FEATURES, "BERT": bert}, scoring=None)
    assert comparison.table["accuracy"].between(0.4, 1).all()
    assert comparison.table["brier_score"].between(0, 0.5).all()


def test_context_beats_words_where_the_label_depends_on_it(default_model_directory: Path) -> None:
    table = load_example().head(120)
    features = {**FEATURES, "BERT": BertVectorizer(str(default_model_directory))}
    comparison = quick(
        table["text"],
        table["label"],
        features,
        make_pipeline(StandardScaler(with_mean=False), LogisticRegression(C=0.01)),
        5,
    )
    assert comparison.best == "BERT"
    assert comparison.baseline in FEATURES
    assert comparison.table["verdict"].tolist()[-1] == "better"
    assert comparison.table["difference"].tolist()[-1] > 0.1
