"""What the Bert vectorizers share: the model they were fitted with, the device, the encoders."""

from __future__ import annotations

import inspect
import pickle
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file, save_file
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from transformers import AutoTokenizer

import bertvectorizer
from bertvectorizer import BertSpanVectorizer, BertVectorizer, BertWordVectorizer
from bertvectorizer.errors import (
    InvalidParameterError,
    ModelChangedError,
    ModelIntegrityError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from bertvectorizer.features import bert_common
from bertvectorizer.features.bert_common import BertBase
from bertvectorizer.models.network import devices
from tests.tiny import VOCABULARY, save_model

pytestmark = pytest.mark.numeric

TEXTS = ["the old bat flew in the night", "a ball", "", "the river bank"]


@pytest.fixture(scope="module")
def bert(tiny_model: Callable[..., Path]) -> str:
    return str(tiny_model("bert"))


@pytest.fixture(scope="module")
def other(tiny_model: Callable[..., Path]) -> str:
    """Another model, of another width."""
    return str(tiny_model("bert", hidden_size=16))


@pytest.fixture
def own_model(tmp_path: Path) -> Path:
    """Directory of a model that a test may spoil."""
    return save_model("bert", tmp_path / "model")


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_model_that_changed_is_noticed(own_model: Path, tmp_path: Path, file: str) -> None:
    stored = pickle.dumps(BertVectorizer(str(own_model)).fit(TEXTS))
    if file == "model.safetensors":
        shutil.copy(
            save_model("bert", tmp_path / "other", initializer_range=0.1) / file, own_model / file
        )
    else:
        content = (own_model / file).read_text(encoding="utf-8")
        (own_model / file).write_text(
            content.replace('"bat"', '"cat"')
            if file == "tokenizer.json"
            else content.replace("gelu", "relu")
        )
        assert (own_model / file).read_text(encoding="utf-8") != content
    loaded = pickle.loads(stored)
    with pytest.raises(
        ModelChangedError,
        match=rf"fitted with a model of fingerprint {loaded.model_fingerprint_}, but .* now has",
    ):
        loaded.transform(TEXTS)
    assert loaded.fit_transform(TEXTS).shape == (4, 32)  # fit again, as the message says


def test_a_new_model_name_without_refit_is_an_error(bert: str, other: str) -> None:
    vectorizer = BertVectorizer(bert).fit(TEXTS)
    fingerprint = vectorizer.model_fingerprint_
    vectorizer.set_params(model_name=other)
    with pytest.raises(
        ModelChangedError,
        match=rf"fitted with a model of fingerprint {fingerprint}, but .* now has .* fit again",
    ):
        vectorizer.transform(TEXTS)
    assert clone(vectorizer).transform(TEXTS).shape == (
        4,
        16,
    )  # never fitted, so nothing to contradict
    assert vectorizer.set_params(model_name=bert).transform(TEXTS).shape == (4, 32)


def test_the_same_model_in_another_directory_is_the_same_model(bert: str, tmp_path: Path) -> None:
    vectorizer = BertVectorizer(bert)
    X = vectorizer.fit_transform(TEXTS)
    shutil.copytree(bert, tmp_path / "copy")
    np.testing.assert_array_equal(
        vectorizer.set_params(model_name=str(tmp_path / "copy")).transform(TEXTS), X
    )


ROWS: dict[type[BertBase[Any]], Any] = {
    BertVectorizer: TEXTS,
    BertWordVectorizer: [["the", "old", "bat"], ["a", "ball"]],
    BertSpanVectorizer: pd.DataFrame({"text": ["the old bat", "a ball"], "word": ["bat", "ball"]}),
}


@pytest.mark.parametrize("kind", ROWS)
def test_a_moved_model_is_found_at_its_new_place(
    kind: type[BertBase[Any]], own_model: Path, other: str, tmp_path: Path
) -> None:
    rows = ROWS[kind]
    vectorizer = kind(str(own_model))
    X = vectorizer.fit_transform(rows)
    stored = pickle.dumps(make_pipeline(vectorizer))
    moved = own_model.rename(tmp_path / "moved")
    pipeline = pickle.loads(stored)
    step = kind.__name__.lower()
    message = (
        rf"(?s){re.escape(repr(str(own_model)))} was not found.*{kind.__name__} was fitted with it"
        rf".* set_params\(model_name=\.\.\.\).* set_params\({step}__model_name=\.\.\.\)"
    )
    with pytest.raises(ModelNotFoundError, match=message):
        pipeline.transform(rows)
    with pytest.raises(ModelNotFoundError, match=message):
        pipeline.get_feature_names_out()
    pipeline.set_params(**{f"{step}__model_name": str(moved)})
    np.testing.assert_array_equal(pipeline.transform(rows), X)
    with pytest.raises(ModelChangedError, match="another model than in fit"):
        pipeline.set_params(**{f"{step}__model_name": other}).transform(rows)
    with pytest.raises(ModelNotFoundError) as caught:
        kind(str(own_model)).fit(rows)
    assert "was fitted" not in str(caught.value), "this one was not"


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("kind", ROWS)
def test_a_fitted_estimator_keeps_the_precision_that_fast_chose(
    kind: type[BertBase[Any]], bert: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ROWS[kind]

    def processor(multiplies: bool) -> None:
        monkeypatch.setattr(bert_common, "_encoders", {})
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
        monkeypatch.setattr(devices, "has_half_precision", lambda precision: multiplies)
        monkeypatch.setattr(devices, "multiplies_bfloat16", lambda: multiplies)

    processor(multiplies=True)
    exact, rounded = (
        kind(bert, precision=precision).fit_transform(rows) for precision in ("auto", "bfloat16")
    )
    assert not np.array_equal(exact, rounded)
    vectorizer = kind(bert, precision="fast")
    assert repr(vectorizer).endswith("precision='fast')")
    np.testing.assert_array_equal(vectorizer.transform(rows), rounded)
    np.testing.assert_array_equal(vectorizer.fit_transform(rows), rounded)
    assert vectorizer.precision_ == "bfloat16"
    assert repr(vectorizer).endswith("precision='fast')  # in bfloat16")
    assert ">precision_<" in vectorizer._repr_html_()

    processor(multiplies=False)
    loaded = pickle.loads(pickle.dumps(vectorizer))
    message = "no bfloat16 arithmetic .* This fitted estimator runs on 'cpu' in float32 instead"
    with pytest.warns(UserWarning, match=message):
        np.testing.assert_array_equal(loaded.transform(rows), exact)
    np.testing.assert_array_equal(loaded.fit_transform(rows), exact)
    assert repr(loaded).endswith("# in float32")

    processor(multiplies=True)
    np.testing.assert_array_equal(loaded.transform(rows), exact)
    np.testing.assert_array_equal(clone(loaded).transform(rows), rounded)


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_fitted_on_a_gpu_goes_on_without_it(bert: str, precision: str) -> None:
    vectorizer = BertVectorizer(bert)
    X = vectorizer.fit_transform(TEXTS)
    vectorizer.device_ = "cuda:0"  # what fit would have noted there
    loaded = pickle.loads(pickle.dumps(vectorizer.set_params(device="cuda", precision=precision)))
    message = (
        r"The device 'cuda' is not available on this machine\. .* This fitted estimator runs on"
        r" 'cpu' in float32 instead"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        result = loaded.transform(TEXTS)
    np.testing.assert_array_equal(result, X)
    assert len(caught) == 1
    assert Path(caught[0].filename) == Path(__file__)


@pytest.mark.usefixtures("without_gpu")
def test_fitted_here_and_sent_to_a_device_that_is_not_here_is_refused(bert: str) -> None:
    vectorizer = BertVectorizer(bert).fit(TEXTS)
    with pytest.raises(UnsupportedModelError, match="The device 'cuda' is not available"):
        vectorizer.set_params(device="cuda").transform(TEXTS)


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("method", ["fit", "fit_transform", "transform"])
def test_a_device_that_is_not_here_is_refused_before_fit(bert: str, method: str) -> None:
    with pytest.raises(
        UnsupportedModelError,
        match=r"The device 'cuda' is not available on this machine. Use device=None",
    ):
        getattr(BertVectorizer(bert, device="cuda"), method)(TEXTS)


def test_a_progress_bar_counts_characters(bert: str, capsys: pytest.CaptureFixture[str]) -> None:
    X = BertVectorizer(bert, show_progress_bar=True).transform(TEXTS)
    shown = capsys.readouterr()
    assert re.search(r"BertVectorizer: 100%.* characters", shown.err.replace("\r", "\n"))
    assert shown.out == ""
    BertVectorizer(bert, show_progress_bar=True).transform(TEXTS)
    assert "100%" in capsys.readouterr().err, "what comes from the store counts as well"
    np.testing.assert_array_equal(BertVectorizer(bert).transform(TEXTS), X)
    assert capsys.readouterr() == ("", "")


BARS: dict[type, Callable[[list[Any]], tuple[Any, dict[str, Any]]]] = {
    BertVectorizer: lambda texts: (texts, {"missing": "zero"}),
    BertWordVectorizer: lambda texts: ([(text or "").split() for text in texts], {}),
    BertSpanVectorizer: lambda texts: (
        pd.DataFrame({"text": texts, "word": "bat"}, dtype=object),
        {"missing": "nan"},
    ),
}
UNUSUAL: dict[str, list[Any]] = {
    "one missing": ["a bat", None, "the old bat"],
    "all missing": [None, None],
    "empty": ["", "  "],
    "no rows": [],
    "repeated": ["a bat flew", "a bat flew", "", None, "", "a bat flew"],
    "long": ["a bat " * 200, None],
}


def test_all_vectorizers_with_a_bar_are_tried() -> None:
    public = [getattr(bertvectorizer, name) for name in bertvectorizer.__all__]
    with_bar = [one for one in public if "show_progress_bar" in signature_of(one)]
    assert set(with_bar) - {bertvectorizer.compare} == set(BARS)


def signature_of(value: Any) -> Any:
    return inspect.signature(value).parameters if callable(value) else ()


@pytest.mark.parametrize("store", [None, "auto"])
@pytest.mark.parametrize("case", UNUSUAL)
@pytest.mark.parametrize("kind", BARS)
def test_every_progress_bar_ends_at_100_percent(
    kind: Any, case: str, store: Any, bert: str, capsys: pytest.CaptureFixture[str]
) -> None:
    X, options = BARS[kind](UNUSUAL[case])
    vectorizer = kind(bert, show_progress_bar=True, store=store, **options)
    for _ in range(2):  # the second time the store has all
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* longer than the model")
            vectorizer.fit_transform(X)
        shown = capsys.readouterr().err.replace("\r", "\n").split("\n")
        bars = [line for line in shown if line.strip()]
        assert bars[-1].startswith(f"{kind.__name__}: 100%|")


def test_equal_parameters_share_an_encoder(bert: str) -> None:
    encoder = BertVectorizer(bert, layers=[0, -1])._encoder()
    assert BertVectorizer(bert, layers=[0, -1])._encoder() is encoder
    assert BertVectorizer(bert, layers=[0, -2])._encoder() is not encoder
    assert BertWordVectorizer(bert, layers=[0, -1])._encoder() is not encoder


def test_the_last_encoders_stay_in_memory(bert: str) -> None:
    vectorizers = [BertVectorizer(bert, max_length=length) for length in range(8, 17)]
    encoders = [vectorizer._encoder() for vectorizer in vectorizers]
    assert vectorizers[-1]._encoder() is encoders[-1]
    assert vectorizers[1]._encoder() is encoders[1]
    assert vectorizers[0]._encoder() is not encoders[0], "the first of nine was dropped"


def test_a_list_that_was_changed_gives_another_encoder(bert: str) -> None:
    layers = [-1]
    vectorizer = BertVectorizer(bert, layers=layers)
    assert vectorizer.transform(TEXTS).shape == (4, 32)
    layers.append(-2)
    assert vectorizer.transform(TEXTS).shape == (4, 64)


def test_true_is_not_taken_for_one(bert: str) -> None:
    assert BertVectorizer(bert, batch_tokens=1).transform(TEXTS).shape == (4, 32)
    with pytest.raises(InvalidParameterError, match="Got True instead"):
        BertVectorizer(bert, batch_tokens=True).transform(TEXTS)


class TestTokensBeyondTheTable:
    """A tokenizer that got tokens which the model did not."""

    @pytest.fixture
    def directory(self, own_model: Path) -> str:
        tokenizer = AutoTokenizer.from_pretrained(own_model)
        tokenizer.add_tokens(["bananas"])
        tokenizer.save_pretrained(own_model)
        return str(own_model)

    @pytest.mark.parametrize("store", [None, "auto"])
    def test_the_row_of_a_text_is_named(self, directory: str, store: str | None) -> None:
        vectorizer = BertVectorizer(directory, store=store)
        vectorizer.fit_transform(["a bat", "a crane"])
        texts = ["a bat", "a bat", "a crane", "no bananas", "bananas"]
        with pytest.raises(ModelIntegrityError, match=r"'no bananas' .*'bananas'.* in row 3\."):
            vectorizer.transform(texts)
        with pytest.raises(ModelIntegrityError, match=r"in row 3\."):
            vectorizer.fit_transform(texts)
        with pytest.raises(ModelIntegrityError, match=r"in row 3\."):
            vectorizer.fit(texts)

    @pytest.mark.parametrize("store", [None, "auto"])
    def test_the_document_of_a_word_is_named(self, directory: str, store: str | None) -> None:
        documents = [["a", "bat"], ["a", "bat"], ["no", "bananas"]]
        with pytest.raises(ModelIntegrityError, match=r"'bananas'.* in document 2\."):
            BertWordVectorizer(directory, store=store).fit_transform(documents)


@pytest.mark.parametrize("store", [None, "auto"])
@pytest.mark.parametrize(
    ("kind", "sound", "unsound"),
    [
        (BertVectorizer, TEXTS, ["a bat", "money"]),
        (BertWordVectorizer, [["a", "bat"]], [["a", "bat"], ["money"]]),
    ],
)
def test_a_vector_that_is_not_finite_is_refused(
    own_model: Path, kind: Any, sound: list[Any], unsound: list[Any], store: str | None
) -> None:
    weights = load_file(own_model / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][VOCABULARY["money"]] = np.inf
    save_file(weights, own_model / "model.safetensors", metadata={"format": "pt"})
    vectorizer = kind(str(own_model), store=store)
    assert np.isfinite(vectorizer.fit_transform(sound)).all()
    for _ in range(2):
        with pytest.raises(UnsupportedModelError, match=r"not finite in float32\. Its weights"):
            vectorizer.transform(unsound)
