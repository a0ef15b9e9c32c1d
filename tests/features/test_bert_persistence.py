"""Fitted vectorizers that are stored and loaded, in another process as well."""

from __future__ import annotations

import io
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from bertvectorizer import BertVectorizer
from bertvectorizer.errors import ModelNotFoundError
from tests.processes import Process
from tests.tiny import save_model

TEXTS = ["the old bat flew in the night", "a ball", "", "the river bank"]


def _joblib_dumps(estimator: Any) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    return buffer.getvalue()


DUMPS: dict[str, Callable[[Any], bytes]] = {
    "pickle": pickle.dumps,
    "joblib": _joblib_dumps,
    "cloudpickle": cloudpickle.dumps,
}


def load(stored: bytes) -> Any:
    return joblib.load(io.BytesIO(stored))  # reads pickle and cloudpickle as well


@pytest.fixture(scope="module")
def bert(tiny_model: Callable[..., Path]) -> str:
    return str(tiny_model("bert"))


@pytest.mark.parametrize("library", DUMPS)
@pytest.mark.parametrize("use_default_model", [False, True])
def test_stored_estimators_are_small_and_load_equal(
    bert: str, library: str, use_default_model: bool
) -> None:
    vectorizer = (
        BertVectorizer(layers=-2)
        if use_default_model
        else BertVectorizer(bert, layers=[-1, 0], pooling=("cls", "max"))
    )
    X = vectorizer.fit_transform(TEXTS)
    stored = DUMPS[library](vectorizer)
    assert len(stored) < 100_000
    loaded = load(stored)
    assert loaded.get_params() == vectorizer.get_params()
    assert (loaded.n_features_out_, loaded.model_fingerprint_, loaded.truncation_) == (
        vectorizer.n_features_out_,
        vectorizer.model_fingerprint_,
        vectorizer.truncation_,
    )
    np.testing.assert_array_equal(loaded.transform(TEXTS), X)


def test_unfitted_estimators_are_stored_too(bert: str) -> None:
    loaded = load(pickle.dumps(BertVectorizer(bert)))
    np.testing.assert_array_equal(loaded.transform(TEXTS), BertVectorizer(bert).transform(TEXTS))


@pytest.mark.numeric
def test_stored_estimators_load_in_a_fresh_process(bert: str, tmp_path: Path) -> None:
    pipe = make_pipeline(BertVectorizer(bert, layers="all"), LogisticRegression(max_iter=1000)).fit(
        TEXTS, [0, 1, 0, 1]
    )
    for library, dumps in DUMPS.items():
        (tmp_path / library).write_bytes(dumps(pipe))
    script = (
        "import joblib, numpy, sys\n"
        f"for library in {list(DUMPS)}:\n"
        "    loaded = joblib.load(library)\n"
        f"    numpy.save(library + '.npy', loaded[0].transform({TEXTS!r}))\n"
        f"    numpy.save(library + '.labels.npy', loaded.predict({TEXTS!r}))\n"
    )
    with Process("-c", script, cwd=tmp_path) as process:
        process.finish()
    for library in DUMPS:
        np.testing.assert_allclose(
            np.load(tmp_path / f"{library}.npy"), pipe[0].transform(TEXTS), rtol=0, atol=1e-6
        )
        np.testing.assert_array_equal(
            np.load(tmp_path / f"{library}.labels.npy"), pipe.predict(TEXTS)
        )


def test_a_model_that_is_gone_is_named_with_remedies(tmp_path: Path) -> None:
    own_model = save_model("bert", tmp_path / "model")
    stored = pickle.dumps(BertVectorizer(str(own_model)).fit(TEXTS))
    shutil.rmtree(own_model)
    loaded = load(stored)
    assert "BertVectorizer" in repr(loaded)
    with pytest.raises(ModelNotFoundError) as caught:
        loaded.transform(TEXTS)
    assert repr(str(own_model)) in str(caught.value)
    assert "Searched:" in str(caught.value)
    assert "Remedies" in str(caught.value)
