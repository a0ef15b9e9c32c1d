"""Word2VecVectorizer beside gensim: the same vectors, from the training texts alone."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gensim.models import FastText, Word2Vec
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline

from bertvectorizer import Word2VecVectorizer
from bertvectorizer.errors import InvalidTextError, UnknownWordError
from tests.processes import run_python
from tests.tolerance import tolerance

pytestmark = pytest.mark.numeric

TEXTS = [
    "The old bat flew in the night",
    "the bat hit the ball",
    "a bat in the night; the ball of the bat",
    "",
    "the river bank, the old river",
    "of the bank of the river in the night",
]
SETTINGS: dict[str, Any] = {
    "vector_size": 8,
    "window": 3,
    "min_count": 2,
    "negative": 4,
    "epochs": 7,
    "workers": 1,
}


def sentences(texts: list[str]) -> list[list[str]]:
    return [
        [word for word in text.lower().replace(",", "").replace(";", "").split() if len(word) > 1]
        for text in texts
    ]


def seed_of(random_state: int) -> int:
    return int(np.random.RandomState(random_state).randint(1 << 31))


def by_gensim(
    model: str,
    texts: list[str] = TEXTS,
    skip_gram: bool = True,
    random_state: int = 3,
    **changes: Any,
) -> Any:
    """The vectors that gensim trains with the same settings."""
    kind, more = (FastText, {"bucket": 90}) if model == "fasttext" else (Word2Vec, {})
    return kind(
        sentences(texts), sg=int(skip_gram), seed=seed_of(random_state), **SETTINGS | more | changes
    ).wv


def trained(
    model: str = "word2vec", texts: list[str] = TEXTS, **changes: Any
) -> Word2VecVectorizer:
    return Word2VecVectorizer(
        model, **{**SETTINGS, "n_buckets": 90, "random_state": 3, **changes}
    ).fit(texts)


@pytest.mark.parametrize("skip_gram", [True, False])
@pytest.mark.parametrize("model", ["word2vec", "fasttext"])
def test_vectors_are_gensims(model: str, skip_gram: bool) -> None:
    expected = by_gensim(model, skip_gram=skip_gram)
    table = trained(model, skip_gram=skip_gram).word_vectors_
    assert table.words == expected.index_to_key
    assert "flew" not in table.words
    np.testing.assert_array_equal(table.vectors, expected.vectors)
    assert not np.array_equal(table.vectors, by_gensim(model, skip_gram=not skip_gram).vectors)


@pytest.mark.parametrize("model", ["word2vec", "fasttext"])
def test_texts_are_pooled_vectors(model: str) -> None:
    expected = by_gensim(model)
    X = trained(model).transform(TEXTS)
    for words, vector in zip(sentences(TEXTS), X, strict=True):
        known = [expected[word] for word in words if model == "fasttext" or word in expected]
        np.testing.assert_allclose(
            vector,
            np.mean(known, axis=0) if known else np.zeros(8),
            rtol=0,
            atol=tolerance(len(words)),
        )


@pytest.mark.parametrize("model", ["word2vec", "fasttext"])
def test_repeated_texts_train_as_often_as_they_are_there(model: str) -> None:
    repeated = [TEXTS[0], TEXTS[0], TEXTS[0], TEXTS[1], TEXTS[4], TEXTS[4]]
    table = trained(model, repeated).word_vectors_
    np.testing.assert_array_equal(table.vectors, by_gensim(model, repeated).vectors)
    assert "flew" in table.words, "it is there three times"
    assert "hit" not in table.words
    apart = trained(model, [repeated[row] for row in (0, 3, 1, 4, 5, 2)]).word_vectors_
    np.testing.assert_array_equal(apart.vectors, table.vectors)


@pytest.mark.parametrize("model", ["word2vec", "fasttext"])
def test_long_texts_are_trained_on_to_their_end(model: str) -> None:
    """gensim alone leaves out what follows the first 10,000 words of a sentence."""
    words = [f"word{number}" for number in range(1000)] * 10 + ["tea", "cup"] * 5
    pieces = [" ".join(words[:10_000]), " ".join(words[10_000:])]
    table = trained(model, [" ".join(words)], epochs=1).word_vectors_
    np.testing.assert_array_equal(
        table.vectors, trained(model, pieces, epochs=1).word_vectors_.vectors
    )
    untrained = by_gensim(model, [" ".join(words)], epochs=1)
    assert table.words == untrained.index_to_key
    differs = {word: not np.array_equal(table[word], untrained[word]) for word in ("tea", "cup")}
    assert differs == {"tea": True, "cup": True}


# ---- Seeds


def test_the_same_seed_gives_the_same_in_every_process() -> None:
    program = (
        "from bertvectorizer import Word2VecVectorizer\nprint(hash('bat'))\nfor model in"
        " ('word2vec', 'fasttext'):\n    vectorizer = Word2VecVectorizer(model, n_buckets=90,"
        f" random_state=3, **{SETTINGS!r})\n   "
        f" print(vectorizer.fit_transform({TEXTS!r}).tobytes().hex())"
    )
    (one_hash, *one), (other_hash, *other) = (
        run_python(program, PYTHONHASHSEED=seed).split() for seed in (1, 2)
    )
    assert one_hash != other_hash
    assert (
        one
        == other
        == [trained(model).transform(TEXTS).tobytes().hex() for model in ("word2vec", "fasttext")]
    )


def test_seeds() -> None:
    vectorizer = trained()
    X = vectorizer.transform(TEXTS)
    np.testing.assert_array_equal(vectorizer.fit_transform(TEXTS), X)
    np.testing.assert_array_equal(trained(random_state=np.int64(3)).transform(TEXTS), X)
    np.testing.assert_array_equal(
        trained(random_state=np.random.RandomState(3)).transform(TEXTS), X
    )
    assert not np.array_equal(trained(random_state=4).transform(TEXTS), X)
    assert not np.array_equal(
        trained(random_state=None).transform(TEXTS), trained(random_state=None).transform(TEXTS)
    )
    state = np.random.RandomState(3)
    first, second = (trained(random_state=state).transform(TEXTS) for _ in range(2))
    np.testing.assert_array_equal(first, X)
    assert not np.array_equal(first, second), "a RandomState goes on from fit to fit"


def test_more_workers() -> None:
    vectorizer = trained(workers=2)
    assert vectorizer.word_vectors_.words == trained().word_vectors_.words
    assert np.isfinite(vectorizer.transform(TEXTS)).all()
    assert vectorizer.transform(TEXTS).any()


# ---- Unknown words


def test_unseen_words() -> None:
    word2vec, fasttext = trained("word2vec"), trained("fasttext")
    for vectorizer in (word2vec, fasttext):
        assert vectorizer.transform(["bat"]).any()
    assert not word2vec.transform(["battery", "flew"]).any()
    with pytest.raises(UnknownWordError):
        word2vec.word_vectors_["battery"]
    expected = by_gensim("fasttext")
    for text in ("battery", "flew", "蝙蝠"):
        np.testing.assert_allclose(fasttext.transform([text])[0], expected[text], rtol=0, atol=1e-7)
    assert fasttext.transform(["battery"]).any()
    assert (word2vec.oov_.n_unknown, fasttext.oov_.n_unknown) == (2, 0)
    assert word2vec.oov_.most_frequent == [("flew", 1), ("hit", 1)]
    skipped = trained("fasttext", oov="skip")
    assert skipped.oov_ == word2vec.oov_
    assert not skipped.transform(["battery"]).any()


def test_only_training_texts_are_learnt_from() -> None:
    texts = [f"common words of fold {'aa' if row < 10 else 'zz'}{row % 5}" for row in range(20)]
    pipe = make_pipeline(trained(min_count=1), LogisticRegression())
    done = cross_validate(
        pipe,
        texts,
        [0, 1] * 10,
        cv=[(range(10), range(10, 20)), (range(10, 20), range(10))],
        return_estimator=True,
        error_score="raise",
    )
    for (vectorizer, _), seen, unseen in zip(
        done["estimator"], ("aa", "zz"), ("zz", "aa"), strict=True
    ):
        assert set(vectorizer.word_vectors_.words) == {
            "common",
            "words",
            "of",
            "fold",
            *(f"{seen}{number}" for number in range(5)),
        }
        report = vectorizer.oov_report([text for text in texts if unseen in text])
        assert sorted(report.most_frequent) == [(f"{unseen}{number}", 2) for number in range(5)]
        assert report.rate == 1 / 5


# ---- Texts and parameters


@pytest.mark.parametrize("model", ["word2vec", "fasttext"])
@pytest.mark.parametrize(
    ("texts", "min_count"), [(TEXTS, 99), ([], 1), (["", "?"], 1), (["each word once"], 2)]
)
def test_nothing_to_train_on(model: str, texts: list[str], min_count: int) -> None:
    message = (
        rf"No word is {min_count} times in the {len(texts)} texts, so there is nothing to train"
        r" on\. Lower 'min_count'"
    )
    with pytest.raises(InvalidTextError, match=message):
        trained(model, texts, min_count=min_count)


@pytest.mark.parametrize("texts", [["tea"], ["tea", "tea tea"], ["tea cup"]])
@pytest.mark.parametrize("model", ["word2vec", "fasttext"])
def test_the_smallest_of_texts(model: str, texts: list[str]) -> None:
    X = trained(model, texts, min_count=1).transform(texts)
    assert X.shape == (len(texts), 8)
    assert np.isfinite(X).all()
    assert X.any()


@pytest.mark.parametrize("model", ["word2vec", "fasttext"])
@pytest.mark.parametrize("tokenizer", [lambda text: text.split(" "), r"\S*", list, r"[^ ]+"])
def test_strange_texts_and_tokenizers(model: str, tokenizer: Any) -> None:
    texts = [
        "two  spaces",
        "lone \ud800 surrogates",
        "NUL \x00 here",
        "🦇 蝙蝠 e\u0301",
        "x" * 500,
        " ",
    ]
    X = trained(model, texts, min_count=1, tokenizer=tokenizer, epochs=1).transform(texts)
    assert np.isfinite(X).all()
    assert X[:5].any(axis=1).all()


def test_texts_are_lower_cased() -> None:
    assert set(trained(texts=["Tea TEA", "tea"]).word_vectors_.words) == {"tea"}


def test_missing_texts_are_not_learnt_from() -> None:
    column = pd.Series([*TEXTS[:3], None, *TEXTS[4:]])  # the fourth is empty
    np.testing.assert_array_equal(
        trained(texts=column, missing="nan").transform(TEXTS), trained().transform(TEXTS)
    )  # type: ignore[arg-type]


def test_a_refit_uses_the_new_settings() -> None:
    vectorizer = trained()
    assert vectorizer.set_params(vector_size=4, model="fasttext").transform(TEXTS).shape == (
        6,
        8,
    ), "what was trained stays"
    X = vectorizer.fit_transform(TEXTS)
    assert X.shape == (6, 4)
    assert vectorizer.n_features_out_ == vectorizer.word_vectors_.n_dims == 4
    np.testing.assert_array_equal(X, trained("fasttext", vector_size=4).transform(TEXTS))


@pytest.mark.parametrize("model", ["word2vec", "fasttext"])
def test_training_says_nothing(
    model: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    trained(model, vector_size=7)  # gensim would rather have a multiple of four
    assert capfd.readouterr() == ("", "")


def test_global_random_numbers_are_left_alone() -> None:
    def drawn() -> NDArray[Any]:
        state: Any = np.random.get_state()  # noqa: NPY002
        return np.array([*state[1], state[2]])

    before = drawn()
    trained("fasttext")
    np.testing.assert_array_equal(drawn(), before)


def test_pickles_of_word2vec_hold_little_more_than_the_vectors() -> None:
    vectorizer = trained(vector_size=100)
    assert len(pickle.dumps(vectorizer)) < 4 * vectorizer.word_vectors_.vectors.size + 6000
