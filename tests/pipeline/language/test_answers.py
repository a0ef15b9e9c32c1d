"""Tests of pipeline/language/answers.py, against transformers' own models and pipeline."""

from __future__ import annotations

import gc
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers as hf
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, ShuffleSplit, cross_val_score

from bertvectorizer import LanguageModel
from bertvectorizer.errors import (
    InvalidParameterError,
    InvalidTextError,
    ModelIntegrityError,
    UnsupportedModelError,
)
from bertvectorizer.models.store.session_store import session_directory
from bertvectorizer.pipeline.language import answers
from tests.pipeline.language.test_cloze import save_roberta
from tests.tiny import SIZE, ModelFactory, save_with_head
from tests.training import TEXTS

MASKED = ["the old [MASK] flew", "a [MASK] of the [MASK] .", "[MASK]"]
DOCUMENTS = [[text, *TEXTS[number : number + 3]] for number, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pretrained") / "model"
    return save_with_head(hf.AutoModelForPreTraining, "bert", directory)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_masks_are_filled_as_transformers_does(
    family: str, pretrained: Path, tmp_path: Path
) -> None:
    directory = pretrained if family == "bert" else save_roberta(tmp_path / "model")
    model = LanguageModel(directory, device="cpu")
    pipeline = hf.pipeline("fill-mask", str(directory), device="cpu", top_k=7)
    for text in MASKED:
        found = model.fill_mask(text, top_k=7)
        assert ("mask" in found) is (text.count("[MASK]") > 1)
        theirs = pipeline(text.replace("[MASK]", pipeline.tokenizer.mask_token))
        theirs = theirs if isinstance(theirs[0], list) else [theirs]
        expected = [each for one in theirs for each in one]
        assert found["token"].tolist() == [each["token_str"] for each in expected]
        np.testing.assert_allclose(
            found["probability"], [each["score"] for each in expected], atol=1e-6
        )
    together = model.fill_mask(pd.Series(MASKED, index=list("abc")), top_k=7)
    assert together.columns.tolist() == ["row", "mask", "token", "probability", "text"]
    assert together["row"].tolist() == np.repeat([0, 1, 1, 2], 7).tolist()
    assert together["mask"].tolist() == np.repeat([0, 0, 1, 0], 7).tolist()
    np.testing.assert_allclose(
        together["probability"][-7:], model.fill_mask(MASKED[2], 7)["probability"], atol=1e-6
    )
    words = ["bat", "b"]
    chosen = model.fill_mask("the old [MASK] flew", targets=words)
    assert set(chosen["token"]) == set(words)
    everything = model.fill_mask("the old [MASK] flew", top_k=10_000)
    assert len(everything) == pipeline.model.config.vocab_size
    assert everything["probability"].sum() == pytest.approx(1)
    known = everything.assign(token=everything["token"].str.strip()).set_index("token")
    for token, probability in zip(chosen["token"], chosen["probability"], strict=True):
        assert any(np.isclose(known.loc[[token], "probability"], probability))
    assert chosen["share"].sum() == pytest.approx(1)


def test_a_mask_beyond_the_window_is_not_lost(pretrained: Path) -> None:
    long = " ".join(["the bat flew ."] * 60)
    model = LanguageModel(pretrained, device="cpu", max_length=12)
    found = model.fill_mask(f"{long} a [MASK] {long}")
    near = model.fill_mask("the bat flew . a [MASK] the bat flew .")
    assert found["token"].tolist() == near["token"].tolist()
    np.testing.assert_allclose(found["probability"], near["probability"], atol=1e-5)
    assert found["text"][0].startswith(long)
    assert found["text"][0].endswith(long)


def test_the_next_sentence_is_that_of_transformers(pretrained: Path) -> None:
    model = LanguageModel(pretrained, device="cpu")
    a, b = TEXTS[:10], TEXTS[10:20]
    found = model.next_sentence_probability(a, pd.Series(b))
    plain = hf.BertForPreTraining.from_pretrained(pretrained).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(pretrained)
    with torch.no_grad():
        logits = [
            plain(**tokenizer(*pair, return_tensors="pt")).seq_relationship_logits[0]
            for pair in zip(a, b, strict=True)
        ]
    expected = torch.stack(logits).softmax(dim=-1)[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == np.float64
    assert np.ptp(found) > 1e-3
    assert model.next_sentence_probability([], []).shape == (0,)
    with pytest.warns(UserWarning, match="1 of 1 pairs are longer"):
        model.set_params(max_length=8).next_sentence_probability(["a"], ["the bat flew of a river"])


def test_perplexity_is_that_of_transformers(tmp_path: Path) -> None:
    directory = save_with_head(hf.AutoModelForCausalLM, "gpt2", tmp_path / "model")
    model = LanguageModel(directory, device="cpu")
    plain = hf.AutoModelForCausalLM.from_pretrained(directory).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(directory)
    padded = tokenizer(TEXTS, padding=True, return_tensors="pt")
    labels = padded["input_ids"].masked_fill(padded["attention_mask"] == 0, -100)
    with torch.no_grad():
        loss = plain(
            padded["input_ids"], attention_mask=padded["attention_mask"], labels=labels
        ).loss
    assert model.perplexity(iter(TEXTS)) == pytest.approx(float(loss.exp()), rel=1e-5)
    assert model.score(TEXTS) == pytest.approx(-float(loss), rel=1e-5)
    values = model.log_likelihood(["the bat flew", "bat", ""])
    assert np.isnan(values).tolist() == [False, True, True]  # the first token is not predicted
    with pytest.raises(UnsupportedModelError, match=r"causal.*log_likelihood"):
        model.fill_mask("a [MASK]")
    with pytest.raises(InvalidParameterError, match=r"'method'.*causal"):
        model.log_likelihood(TEXTS, method="pseudo")
    with pytest.raises(InvalidTextError, match="token to predict"):
        model.perplexity(["bat"])


def test_scores_are_under_the_same_masks_each_time(
    pretrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LanguageModel(pretrained, device="cpu", learning_rate=1e-2, epochs=3)
    before = model.score(TEXTS)
    other = LanguageModel(pretrained, device="cpu", mask_probability=0.4, random_state=7)
    assert model.score(iter(TEXTS)) == before == other.score(pd.Series(TEXTS))
    sums, whole = model.log_likelihood(TEXTS), model.log_likelihood(TEXTS, method="masks")
    assert sums.shape == whole.shape == (len(TEXTS),)
    np.testing.assert_allclose(sums[0], whole[0], atol=1e-5)  # of few tokens, each alone
    np.testing.assert_allclose(model.log_likelihood(TEXTS[3:4]), sums[3:4], atol=1e-4)
    n_tokens = sum(len(text.split()) for text in TEXTS)
    assert model.perplexity(TEXTS) == pytest.approx(np.exp(-sums.sum() / n_tokens), rel=1e-6)
    assert np.isnan(model.log_likelihood([None, "☃", ""])).all()
    assert model.log_likelihood([]).shape == (0,)
    monkeypatch.setattr(answers, "_MANY_TOKENS", 100)
    with pytest.warns(UserWarning, match="method='masks'"):
        model.log_likelihood(TEXTS)
    model.set_params(random_state=0).fit(TEXTS)
    assert model.score(TEXTS) > before
    assert model.fill_mask("a [MASK]").shape == (5, 3)
    model.device = model.device_ = "cuda:99"  # as if fitted on another machine
    with pytest.warns(UserWarning, match="This fitted estimator runs on"):
        assert model.fill_mask("a [MASK]").shape == (5, 3)


def test_documents_are_scored_by_models_of_next_sentences(pretrained: Path) -> None:
    model = LanguageModel(
        pretrained, objective="masked+next_sentence", device="cpu", random_state=0
    ).fit(DOCUMENTS)
    documents = [None, *DOCUMENTS[:2]]
    expected = [np.nan, *(model.log_likelihood(document).sum() for document in DOCUMENTS[:2])]
    for X in (documents, iter(documents), pd.DataFrame({"text": documents})):
        np.testing.assert_allclose(model.log_likelihood(X), expected, rtol=1e-5)
    assert model.score(DOCUMENTS[:3]) < 0
    with pytest.raises(InvalidTextError, match="single str"):
        model.score("a bat")
    assert model.next_sentence_probability(TEXTS[:2], TEXTS[2:4]).shape == (2,)


def test_searches_choose_by_the_score(pretrained: Path) -> None:
    model = LanguageModel(pretrained, device="cpu", random_state=0, epochs=2)
    split = ShuffleSplit(1, random_state=0)

    def directories() -> set[Path]:
        gc.collect()
        return set(session_directory().glob("own-*"))

    before = directories()
    search = GridSearchCV(model, {"learning_rate": [1e-9, 1e-2]}, cv=split).fit(TEXTS)
    assert search.best_params_ == {"learning_rate": 1e-2}
    assert directories() <= before  # each model takes its files with it
    assert search.score(TEXTS) == search.best_estimator_.score(pd.Series(TEXTS))
    scores = cross_val_score(search.best_estimator_, pd.Series(TEXTS, index=range(7, 31)), cv=split)
    assert scores == pytest.approx(search.best_score_, rel=1e-6)


def test_questions_that_the_model_cannot_answer(
    tiny_model: ModelFactory, pretrained: Path, tmp_path: Path
) -> None:
    bare = LanguageModel(tiny_model("bert"), device="cpu")
    for ask in (
        lambda: bare.fill_mask("a [MASK]"),
        lambda: bare.score(TEXTS),
        lambda: bare.next_sentence_probability(["a"], ["b"]),
    ):
        with pytest.raises(NotFittedError, match=r"no trained head .*fit\(X\) first"):
            ask()
    with pytest.raises(NotFittedError, match="built from nothing"):
        LanguageModel(architecture="bert-tiny").fill_mask("a [MASK]")
    with pytest.raises(UnsupportedModelError, match=r"objective='masked\+next_sentence'"):
        bare.set_params(random_state=0).fit(TEXTS).next_sentence_probability(["a"], ["b"])
    albert = save_with_head(hf.AutoModelForPreTraining, "albert", tmp_path / "albert")
    with pytest.raises(UnsupportedModelError, match="next sentence"):
        LanguageModel(albert, device="cpu").next_sentence_probability(["a"], ["b"])


def test_tokens_that_the_model_does_not_know(pretrained: Path, tmp_path: Path) -> None:
    """A tokenizer of another model, with more tokens, is told apart by the first such text."""
    directory = tmp_path / "mixed"
    save_with_head(hf.AutoModelForMaskedLM, "bert", directory, vocab_size=SIZE - 1)
    model = LanguageModel(directory, device="cpu")
    assert model.score(TEXTS) < 0
    with pytest.raises(ModelIntegrityError, match=r"'##z'.*tokenizer is of another model"):
        model.score(["buzz"])


@pytest.mark.parametrize(
    ("question", "error", "message"),
    [
        (lambda m: m.fill_mask("a bat"), InvalidTextError, "a bat"),
        (lambda m: m.fill_mask(pd.Series(["[MASK]", "a"], index=[4, 9])), InvalidTextError, "9"),
        (lambda m: m.fill_mask(b"[MASK]"), InvalidTextError, "bytes"),
        (lambda m: m.fill_mask(["[MASK]", 3]), InvalidTextError, "row 1"),
        (lambda m: m.fill_mask([None]), InvalidTextError, "row 0"),
        (lambda m: m.fill_mask("[MASK]", top_k=0), InvalidParameterError, "'top_k'"),
        (lambda m: m.fill_mask("[MASK]", top_k="5"), InvalidParameterError, "'top_k'"),
        (lambda m: m.fill_mask("[MASK]", targets="bat"), InvalidParameterError, "'targets'"),
        (lambda m: m.set_params(tokenizer="other").score(TEXTS), InvalidParameterError, "own"),
        (lambda m: m.set_params(verbose=1).score(TEXTS), InvalidParameterError, "'verbose'"),
        (lambda m: m.set_params(max_length=1).score(TEXTS), InvalidParameterError, "'max_length'"),
        (
            lambda m: m.set_params(missing="no").fill_mask("[MASK]"),
            InvalidParameterError,
            "'missing'",
        ),
        (lambda m: m.score("a bat"), InvalidTextError, "[text]"),
        (lambda m: m.score([]), InvalidTextError, "token to predict"),
        (lambda m: m.score([3]), InvalidTextError, "row 0"),
        (lambda m: m.perplexity([None, ""]), InvalidTextError, "token to predict"),
        (lambda m: m.log_likelihood(["a"], method="mask"), InvalidParameterError, "'method'"),
        (lambda m: m.log_likelihood([b"a"]), InvalidTextError, "bytes"),
        (lambda m: m.next_sentence_probability("a", ["b"]), InvalidParameterError, "'a'"),
        (lambda m: m.next_sentence_probability(["a"], []), InvalidParameterError, "'b'"),
        (lambda m: m.next_sentence_probability(["a"], [4]), InvalidTextError, "Of 'b'"),
    ],
)
def test_hostile_questions(question: Any, error: Any, message: str, pretrained: Path) -> None:
    with pytest.raises(error, match=re.escape(message)):
        question(LanguageModel(pretrained, device="cpu"))
