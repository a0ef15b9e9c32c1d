"""Fine-tuned estimators in files: small, found again, equal, and checked."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from safetensors.numpy import load, save
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from bertvectorizer import BertClassifier, BertRegressor, BertTagger, load_pipeline, save_pipeline
from bertvectorizer.errors import (
    ModelChangedError,
    ModelIntegrityError,
    ModelNotFoundError,
    UnsafeModelError,
)
from tests.pipeline.saving.pipelines import LABELS, NEW, TEXTS
from tests.processes import Process
from tests.tiny import ModelFactory, save_model

X, Y = TEXTS * 2, LABELS * 2
PAIRS = list(zip(NEW, reversed(NEW), strict=True))


@pytest.fixture(scope="module")
def model(tiny_model: ModelFactory) -> str:
    return str(tiny_model("bert"))


def top(model: str, **parameters: Any) -> BertClassifier:
    """Return a classifier whose highest layer trains."""
    settings = {"trainable_layers": 1, "epochs": 1, "random_state": 0, **parameters}
    return BertClassifier(model, **settings)


def fitted(model: str) -> dict[str, tuple[Any, Any]]:
    """Return fitted estimators by name, each with what it shall predict for."""
    one = top(model, random_state=np.random.RandomState(3)).fit(X, Y)
    pairs = list(zip(TEXTS, reversed(TEXTS), strict=True)) * 2
    return {
        "classes": (one, NEW),
        "head alone": (top(model, trainable_layers=0, pooling=("mean", "max")).fit(X, Y), NEW),
        "numbers": (
            BertRegressor(model, trainable_layers=1, epochs=1, random_state=0).fit(
                X, 100.0 * np.arange(len(X))
            ),
            NEW,
        ),
        "pairs": (top(model, order="both", trainable_layers="all").fit(pairs, Y), PAIRS),
        "words": (
            BertTagger(model, trainable_layers=1, epochs=1, random_state=0).fit(
                [text.split() for text in X], [["B-X", *["O"] * text.count(" ")] for text in X]
            ),
            [NEW],
        ),
    }


@pytest.mark.numeric
def test_a_fresh_process_with_other_threads_predicts_the_same(model: str, tmp_path: Path) -> None:
    estimators = fitted(model)
    for name, (estimator, _) in estimators.items():
        save_pipeline(estimator, tmp_path / f"{name}.skops")
    joblib.dump(estimators["classes"][0], tmp_path / "classes.joblib")
    (tmp_path / "pairs.pickle").write_bytes(pickle.dumps(estimators["pairs"][0]))
    weights = Path(model, "model.safetensors").stat().st_size
    top_layer = (tmp_path / "classes.skops").stat().st_size
    assert top_layer < weights / 2
    assert top_layer - (tmp_path / "head alone.skops").stat().st_size > weights / 6
    code = """
import joblib, numpy, pathlib, sys, torch
from bertvectorizer import load_pipeline
torch.set_num_threads(2)
new, pairs = eval(sys.argv[1])
for file in sorted(pathlib.Path().iterdir()):
    estimator = load_pipeline(file).pipeline if file.suffix == ".skops" else joblib.load(file)
    predict = estimator.predict if file.stem == "numbers" else estimator.predict_proba
    found = predict({"pairs": pairs, "words": [new]}.get(file.stem, new))
    numpy.save(file.name + ".npy", found)
"""
    arguments = ("-W", "error", "-c", code, repr((NEW, PAIRS)))
    with Process(*arguments, cwd=tmp_path) as process:
        process.finish()
    predicted = sorted(tmp_path.glob("*.npy"))
    assert len(predicted) == len(estimators) + 2
    for file in predicted:
        estimator, rows = estimators[file.name.partition(".")[0]]
        predict = getattr(estimator, "predict_proba", estimator.predict)
        np.testing.assert_allclose(
            np.load(file), predict(rows), rtol=1e-6, atol=1e-6, err_msg=file.name
        )


def test_the_base_model_is_found_by_name_and_fingerprint(tmp_path: Path) -> None:
    own, path = save_model("bert", tmp_path / "own"), tmp_path / "model.skops"
    classifier = top(str(own), store=tmp_path / "store", device="cpu").fit(X, Y)
    save_pipeline(classifier, path)
    classifier.set_params(trust_remote_code=True)
    save_pipeline(classifier, tmp_path / "code.skops")
    loaded = load_pipeline(path).pipeline
    assert (loaded[0].store, loaded[0].device) == ("auto", "cpu")
    with pytest.raises(UnsafeModelError, match="runs code from its checkpoint"):
        load_pipeline(tmp_path / "code.skops")
    expected = loaded.predict_proba(NEW)
    moved = own.rename(tmp_path / "moved")
    with pytest.raises(ModelNotFoundError, match=r"set_params\(bertclassifier__model_name="):
        loaded.predict(NEW)
    loaded.set_params(bertclassifier__model_name=str(moved))
    np.testing.assert_array_equal(loaded.predict_proba(NEW), expected)
    save_model("bert", tmp_path / "other", initializer_range=0.1)
    loaded.set_params(bertclassifier__model_name=str(tmp_path / "other"))
    with pytest.raises(ModelChangedError, match="fitted with a model of fingerprint"):
        loaded.predict(NEW)


def form(**changes: Any) -> Callable[[Any], Any]:
    return lambda fitted: fitted._form.update(changes)


def tensors(change: Callable[[dict[str, Any]], Any]) -> Callable[[Any], Any]:
    def edit(fitted: Any) -> None:
        found = load(fitted.tuned_weights_)
        change(found)
        fitted.tuned_weights_ = save(found)

    return edit


def of_other_type(found: dict[str, Any]) -> None:
    name = min(found)
    found[name] = found[name].astype(np.float64)


DAMAGE: dict[str, Callable[[Any], Any]] = {
    "cut off": lambda fitted: setattr(fitted, "tuned_weights_", fitted.tuned_weights_[:-5]),
    "no tensors": lambda fitted: setattr(fitted, "tuned_weights_", b"nonsense"),
    "no bytes": lambda fitted: setattr(fitted, "tuned_weights_", "nonsense"),
    "another class": lambda fitted: setattr(fitted, "classes_", np.array(["a", "b", "c"])),
    "other columns": lambda fitted: setattr(fitted, "n_features_in_", 3),
    "another pooling": lambda fitted: setattr(fitted, "pooling_", ["sum"]),
    "outputs that fill the memory": form(n_outputs=10**12),
    "tokens that fill the memory": form(vocab_size=10**12, n_trained_layers=None),
    "pooling that is none": form(pooling=["mean"] * 10**5),
    "layers below none": form(n_trained_layers=-1),
    "a mean of nothing": form(shift=[0.0, 1.0]),
    "no scale at all": lambda fitted: fitted._form.pop("scale"),
    "a scale of other outputs": form(scale=[1.0], shift=[0.0]),
}
MISFITS: dict[str, Callable[[Any], Any]] = {
    "more layers than there are": form(n_trained_layers=4),
    "new tokens of upper layers": form(vocab_size=10**12),
    "no head": tensors(lambda found: found.pop("head.whole.classifier.bias")),
    "another name": tensors(lambda found: found.update({"base.other": found[min(found)]})),
    "another shape": tensors(lambda found: found.update({min(found): np.ones(7, np.float32)})),
    "another type": tensors(of_other_type),
    "NaN": tensors(lambda found: found[min(found)].fill(np.nan)),
}


def test_damaged_weights_are_one_clear_error(model: str, tmp_path: Path) -> None:
    good, path = pickle.dumps(top(model).fit(X, Y)), tmp_path / "model.skops"
    for kind, change in DAMAGE.items():
        damaged = pickle.loads(good)
        change(damaged)
        save_pipeline(damaged, path)
        with pytest.raises(ModelIntegrityError, match="or it is damaged"):
            print(kind, load_pipeline(path))
    for kind, change in MISFITS.items():
        damaged = pickle.loads(good)
        change(damaged)
        save_pipeline(damaged, path)
        loaded = load_pipeline(path).pipeline
        if kind == "new tokens of upper layers":  # they are not made
            loaded.predict(NEW)
            continue
        with pytest.raises(ModelIntegrityError, match=r"damaged\. Load it again, or fit again"):
            print(kind, loaded.predict(NEW))


def test_wherever_a_classifier_is_its_weights_are_saved(model: str, tmp_path: Path) -> None:
    one = top(model).fit(X, Y)
    tables = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0]] * 4)
    vectors = make_pipeline(FrozenEstimator(one), LogisticRegression())
    for estimator in (
        GridSearchCV(one, {"epochs": [1, 2]}, cv=2, error_score="raise").fit(X, Y),
        CalibratedClassifierCV(one, cv=2).fit(X, Y),
        make_pipeline(top(model, trainable_layers="all")).fit(X, tables),
        vectors.fit(NEW, [0, 1, 0, 1, 0]),
    ):
        save_pipeline(estimator, tmp_path / "model.skops")
        loaded = load_pipeline(tmp_path / "model.skops").pipeline
        np.testing.assert_array_equal(loaded.predict_proba(NEW), estimator.predict_proba(NEW))
