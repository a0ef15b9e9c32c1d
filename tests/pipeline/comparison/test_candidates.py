from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from bertvectorizer import (
    BertClassifier,
    BertRegressor,
    BertVectorizer,
    EmbeddingStore,
    OverlapVectorizer,
    PairVectorizer,
    StaticVectorizer,
)
from bertvectorizer.errors import InvalidParameterError, ModelNotFoundError
from bertvectorizer.pipeline import default_features, fine_tuned_features, layer_features
from bertvectorizer.pipeline.comparison import candidates as module
from bertvectorizer.pipeline.comparison.candidates import (
    FINE_TUNED,
    MAJORITY,
    MEAN,
    choose_features,
    choose_primary,
    find_cell,
    for_kind,
    is_contextual,
    join_models,
    of_pairs,
    parts_of,
    predicts_alone,
    with_store,
)
from tests.tiny import ModelFactory, save_model

BERTS = [
    "BERT cls",
    "BERT",
    "BERT mean -1",
    "BERT mean -2",
    "BERT mean -3",
    "BERT mean -4",
    "BERT sum of last 4",
    "BERT concat of last 4",
]


@pytest.fixture(scope="module")
def model(tiny_model: ModelFactory) -> str:
    return str(tiny_model("bert"))


def test_feature_sets_of_pairs(model: str) -> None:
    features = default_features(["glove.6B.txt"], pairs=True, model_name=model)
    singles = default_features(["glove.6B.txt"], model_name=model)
    assert list(features) == [MAJORITY, "word overlap", *list(singles)[1:]]
    assert isinstance(features["word overlap"], OverlapVectorizer)
    for name, single in list(singles.items())[1:]:
        assert isinstance(features[name], PairVectorizer)
        assert repr(features[name].vectorizer) == repr(single)
        assert find_cell(features[name]) == find_cell(single)
    assert choose_primary(features) == "BERT"
    assert list(choose_features(["overlap"], features)) == ["word overlap"]
    joined = join_models({model: singles, "other": features})
    assert list(joined)[-1] == "other concat of last 4"
    # What takes pairs, and what is no transformer of texts, stays as it is.
    words = TfidfVectorizer()
    given = {
        "pair": PairVectorizer(words),
        "overlap": OverlapVectorizer(),
        "function": FunctionTransformer(),
        "columns": ColumnTransformer([("first", words, 0)]),
        "scaled": make_pipeline(PairVectorizer(words), TruncatedSVD()),
    }
    assert of_pairs(given) == given
    both = {
        "topics": make_pipeline(words, TruncatedSVD()),
        "union": FeatureUnion([("a", words), ("b", BertVectorizer(model))]),
    }
    assert {name: one.vectorizer for name, one in of_pairs(both).items()} == both


@pytest.mark.parametrize("extra", [True, False])
def test_the_default_features(extra: bool, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "can_distill", lambda: extra)
    features = default_features(
        ["glove.6B.txt", Path("more/wiki.vec")], model_name=model, max_length=16
    )
    baselines = [
        MAJORITY,
        "TF-IDF words",
        "TF-IDF words + characters",
        "Word2Vec",
        *["distilled words"] * extra,
    ]
    assert list(features) == [*baselines, "vectors glove.6B.txt", "vectors wiki.vec", *BERTS]
    assert features[MAJORITY] is None
    assert [name for name, transformer in features.items() if is_contextual(transformer)] == BERTS
    for name in BERTS:
        assert (features[name].model_name, features[name].max_length) == (model, 16)
    assert [find_cell(features[name]) for name in BERTS] == [
        (3, "cls"),
        None,
        (3, "mean"),
        (2, "mean"),
        (1, "mean"),
        (0, "mean"),
        None,
        None,
    ]
    if extra:
        assert features["distilled words"].vectors == f"distill:{model}"


def test_one_file_of_vectors(model: str) -> None:
    for path in ("a/glove.txt", Path("a/glove.txt")):
        features = default_features(path, model_name=model)
        assert isinstance(features["vectors glove.txt"], StaticVectorizer)


def test_files_of_the_same_name_are_all_kept(model: str) -> None:
    features = default_features(["en/wiki.vec", "de/wiki.vec"], model_name=model)
    assert sorted(
        str(transformer.vectors)
        for name, transformer in features.items()
        if name.startswith("vectors")
    ) == ["de/wiki.vec", "en/wiki.vec"]


def test_parameters_of_bert_that_default_features_chooses_itself(model: str) -> None:
    features = default_features(model_name=model, layers=[0], pooling="max", layer_merge="mean")
    assert (features["BERT"].layers, features["BERT"].pooling) == ([0], "max")
    assert (features["BERT cls"].layers, features["BERT cls"].pooling) == (-1, "cls")
    assert features["BERT concat of last 4"].layer_merge == "concat"


def test_a_shallow_model(tiny_model: ModelFactory) -> None:
    features = default_features(model_name=str(tiny_model("bert", num_hidden_layers=1)))
    assert [name for name in features if name.startswith("BERT")] == [
        *BERTS[:4],
        "BERT sum of last 2",
        "BERT concat of last 2",
    ]


def test_faults_in_the_parameters_of_bert(model: str) -> None:
    with pytest.raises(TypeError, match="no_such"):
        default_features(model_name=model, no_such=1)


def test_a_model_that_is_not_there_leaves_the_names(model: str) -> None:
    assert list(default_features(model_name="no/such-model")) == list(
        default_features(model_name=model)
    )
    with pytest.raises(ModelNotFoundError):
        layer_features(model_name="no/such-model")


def test_every_layer(model: str) -> None:
    features = layer_features(model_name=model, max_length=16)
    assert len(features) == 12
    assert list(features)[:5] == [
        "BERT cls -1",
        "BERT cls -2",
        "BERT cls -3",
        "BERT cls -4",
        "BERT mean -1",
    ]
    assert {find_cell(transformer) for transformer in features.values()} == {
        (layer, how) for layer in range(4) for how in ("cls", "mean", "max")
    }
    assert list(layer_features(["max"], model_name=model)) == [
        f"BERT max {layer}" for layer in (-1, -2, -3, -4)
    ]


def test_cells(model: str) -> None:
    def cell(**how: Any) -> tuple[int, str] | None:
        return find_cell(BertVectorizer(model, **how))

    assert cell(layers=[-2], pooling=["mean"]) == (2, "mean")
    assert cell(layers=0, pooling="max") == (0, "max")
    assert cell() is None
    assert cell(layers=[0, 1], pooling="mean") is None
    assert cell(layers=0, pooling=["mean", "max"]) is None
    assert cell(layers="all", pooling="mean") is None
    assert cell(layers=0, pooling="mean", normalize=True) is None
    assert find_cell(None) is None
    assert find_cell(make_pipeline(BertVectorizer(model, layers=0, pooling="mean"))) is None


def test_what_is_contextual(model: str) -> None:
    bert = BertVectorizer(model)
    assert is_contextual(bert)
    assert is_contextual(make_pipeline(bert, TruncatedSVD(2)))
    assert is_contextual(
        make_pipeline(FeatureUnion([("words", TfidfVectorizer()), ("deep", make_pipeline(bert))]))
    )
    assert not is_contextual(None)
    assert not is_contextual(make_pipeline(TfidfVectorizer(), TruncatedSVD(2)))
    assert list(parts_of(None)) == [None]
    assert bert in list(parts_of(make_pipeline(bert)))


def test_a_store_for_those_that_name_none(model: str, tmp_path: Path) -> None:
    own, given = str(tmp_path / "own.sqlite"), EmbeddingStore(tmp_path / "given.sqlite")
    union = FeatureUnion(
        [
            ("auto", BertVectorizer(model)),
            ("own", BertVectorizer(model, store=own)),
            ("none", BertVectorizer(model, store=None)),
        ]
    )
    copy = with_store(union, given)
    assert [transformer.store for _, transformer in copy.transformer_list] == [given, own, None]
    assert [transformer.store for _, transformer in with_store(union, None).transformer_list] == [
        None,
        None,
        None,
    ]
    assert [transformer.store for _, transformer in union.transformer_list] == ["auto", own, None]
    assert with_store(BertVectorizer(model, store=given), "auto").store is given


def test_a_fine_tuned_model_is_known_by_name(model: str, tmp_path: Path) -> None:
    known = default_features(model_name=model)
    assert FINE_TUNED not in known
    known |= fine_tuned_features(model_name=model, epochs=1)
    for name in ("BERT fine-tuned", "bert finetuned", "Bert Fine Tuned"):
        chosen = choose_features([name, "bert"], known)
        assert list(chosen) == [FINE_TUNED, "BERT"]
    assert is_contextual(chosen[FINE_TUNED])
    tuned = for_kind(chosen, "binary")[FINE_TUNED]
    assert isinstance(tuned, BertClassifier)
    assert isinstance(for_kind(chosen, "regression")[FINE_TUNED], BertRegressor)
    assert (tuned.trainable_layers, tuned.random_state, tuned.epochs) == (2, 0, 1)
    assert predicts_alone(tuned)
    assert find_cell(tuned) is None
    assert with_store(tuned, "given").store == "given"
    assert tuned.store == "auto"
    joined = join_models({"a/one": chosen, "two": chosen})
    assert list(joined) == ["one fine-tuned", "one", "two fine-tuned", "two"]
    assert choose_primary({**joined, "words": TfidfVectorizer()}) == "one"
    small = save_model("bert", tmp_path / "small", num_hidden_layers=1)
    tuned = for_kind(fine_tuned_features(model_name=str(small)), "binary")[FINE_TUNED]
    assert tuned.trainable_layers == 1


def test_what_predicts_by_itself() -> None:
    words = make_pipeline(TfidfVectorizer(), LogisticRegression())
    assert predicts_alone(GridSearchCV(words, {}))
    assert choose_features({"words": words}, {}) == {"words": words}
    for other in (make_pipeline(TfidfVectorizer(), KMeans(2)), None, LogisticRegression, "words"):
        assert not predicts_alone(other)


def test_feature_sets_of_several_models() -> None:
    words, files = TfidfVectorizer(), StaticVectorizer("vectors.txt")

    def roster(model: str) -> dict[str, Any]:
        bert = BertVectorizer(model)
        return {
            MAJORITY: None,
            "TF-IDF words": words,
            "vectors vectors.txt": files,
            "distilled words": StaticVectorizer(f"distill:{model}"),
            "BERT cls": bert,
            "BERT": make_pipeline(bert),
        }

    joined = join_models({model: roster(model) for model in ("a/one", "two/")})
    assert list(joined) == [
        *(MAJORITY, "TF-IDF words", "vectors vectors.txt"),
        *("distilled words of one", "one cls", "one"),
        *("distilled words of two", "two cls", "two"),
    ]
    assert joined["two cls"].model_name == "two/"
    assert joined["distilled words of one"].vectors == "distill:a/one"
    assert choose_primary({**joined, "more": words}) == "one cls"
    assert [*join_models({"a/b": roster("a/b"), "c/b": roster("c/b")})][-1] == "c/b"


class TestChoosing:
    words, hashes = TfidfVectorizer(), TfidfVectorizer(binary=True)

    def test_names(self) -> None:
        features = {"majority class": None, "TF-IDF words": self.words, "BERT": self.hashes}
        for names in (["bert", "tf-idf WORDS"], ("BERT", "TF-IDF words", "bert")):
            assert choose_features(names, features) == {
                "BERT": self.hashes,
                "TF-IDF words": self.words,
            }
            assert list(choose_features(names, features)) == ["BERT", "TF-IDF words"]
        assert choose_features("majority class", features) == {"majority class": None}

    @pytest.mark.parametrize(
        ("wanted", "name"),
        [
            ("tfidf", "TF-IDF words"),
            ("TFIDF", "TF-IDF words"),
            ("tf idf_words", "TF-IDF words"),
            ("tfidf words characters", "TF-IDF words + characters"),
            ("majority-class", "majority class"),
            ("bertmean-1", "BERT mean -1"),
            ("BERT  mean -1", "BERT mean -1"),
        ],
    )
    def test_blanks_and_hyphens_do_not_matter(self, wanted: str, name: str) -> None:
        names = ["majority class", "TF-IDF words", "TF-IDF words + characters", "BERT mean -1"]
        known = dict.fromkeys(names, self.words)
        assert list(choose_features(wanted, known)) == [name]
        assert choose_primary(known, wanted) == name

    @pytest.mark.parametrize("wanted", ["BERT mean 1", "ab", "A-B", "", "-", "tfidf"])
    def test_a_minus_matters_and_a_name_is_one(self, wanted: str) -> None:
        known = dict.fromkeys(["BERT mean -1", "a b", "a_b"], self.words)
        with pytest.raises(InvalidParameterError, match="must name one or more of"):
            choose_features(wanted, known)

    def test_a_dict_stays_as_it_is(self) -> None:
        features = {"b": self.words, "a": None, 3: self.hashes}
        chosen = choose_features(features, {})
        assert list(chosen) == ["b", "a", "3"]
        assert chosen["b"] is self.words
        assert chosen is not features

    @pytest.mark.parametrize(
        "features", [["no such"], "no such", [3], [None], [TfidfVectorizer()], ["a,b"]]
    )
    def test_unknown_names(self, features: Any) -> None:
        with pytest.raises(
            InvalidParameterError,
            match=r"'features' parameter must name one or more of: majority class, words\. Got",
        ) as caught:
            choose_features(features, {"majority class": None, "words": self.words})
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "features", [5, [], {}, (), TfidfVectorizer(), np.array(["words"]), {"words"}, True]
    )
    def test_no_features(self, features: Any) -> None:
        with pytest.raises(InvalidParameterError, match="'features' parameter must be"):
            choose_features(features, {"words": self.words})

    @pytest.mark.parametrize(
        "transformer", [5, "words", BaseEstimator(), TfidfVectorizer, lambda text: text]
    )
    def test_what_is_no_transformer(self, transformer: Any) -> None:
        with pytest.raises(InvalidParameterError, match="'mine'"):
            choose_features({"words": self.words, "mine": transformer}, {})

    def test_names_that_become_the_same_text(self) -> None:
        with pytest.raises(InvalidParameterError, match="'features'"):
            choose_features({1: self.words, "1": self.hashes}, {})


def test_nothing_is_fitted(model: str) -> None:
    features = default_features(model_name=model)
    before = {
        name: None if transformer is None else repr(clone(transformer))
        for name, transformer in features.items()
    }
    for transformer in features.values():
        find_cell(transformer)
        is_contextual(transformer)
    assert before == {
        name: None if transformer is None else repr(transformer)
        for name, transformer in features.items()
    }
    assert not hasattr(features["BERT"], "model_fingerprint_")


def test_the_declared_test_is_chosen_before_any_score() -> None:
    words = TfidfVectorizer()
    layer, own = BertVectorizer(layers=-2), BertVectorizer(normalize=True)
    summed = BertVectorizer(layers=[-1, -2])
    assert choose_primary({"words": words, "a": layer, "b": summed, "c": own}) == "c"
    assert choose_primary({"words": words, "b": summed, "a": layer}) == "b"
    assert choose_primary({MAJORITY: None, "words": words}) is None
    assert choose_primary({"a": layer, "c": own}) is None
    assert choose_primary({"words": words, "a": layer, "c": own}, "a") == "a"
    assert choose_primary({MAJORITY: None, "words": words}, "words") == "words"
    assert choose_primary({"BERT": own, "bert": layer, MAJORITY: None}, "bert") == "bert"
    assert choose_primary({"BERT": own, MAJORITY: None}, "Bert") == "BERT"
    for primary in ("bert", "", 3):
        with pytest.raises(InvalidParameterError, match=r"'primary' .*: words, c\. Got"):
            choose_primary({"words": words, "c": own}, primary)  # type: ignore[arg-type]


def test_for_regression_the_majority_class_is_the_mean() -> None:
    features = {"words": TfidfVectorizer(), MAJORITY: None}
    assert list(for_kind(features, "regression")) == ["words", MEAN]
    assert for_kind(features, "multiclass") == features
    own = {MAJORITY: TfidfVectorizer()}
    assert for_kind(own, "regression") == own
    both = {MAJORITY: None, MEAN: TfidfVectorizer()}
    assert for_kind(both, "regression") == both
    assert choose_features("Mean of the target", features) == {MAJORITY: None}
