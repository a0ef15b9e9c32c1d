"""Each weighting beside plain NumPy, text by text and word by word."""

from __future__ import annotations

import math
import pickle
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from bertvectorizer.errors import InvalidParameterError, InvalidTableError
from bertvectorizer.features.inputs.word_splitting import WORD_PATTERN, split_words
from bertvectorizer.features.weighting import (
    WEIGHTINGS,
    Weighting,
    make_weighting,
    read_frequencies,
)
from bertvectorizer.validation import short_repr

pytestmark = pytest.mark.numeric

WORDS = ["the", "bat", "hit", "ball", "flew", "in", "night", "old", "river", "bank", "of", "money"]
TABLE: dict[str, NDArray[np.float32]] = dict(
    zip(WORDS, np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32), strict=True)
)

TRAINING = [
    "the old bat flew in the night",
    "the bat hit the ball",
    "the bat hit the ball",
    "",
    "the money of the bank",
    "river",
]
NEW = [
    "night of the bat",
    "",
    "river river bank",
    "the",
    "old money hit in",
    "the bat hit the ball",
]

PARAMETERS: dict[str, Any] = {
    "weighting": "mean",
    "sif_a": 1e-3,
    "word_frequencies": None,
    "powers": (1, math.inf, -math.inf),
}


def made(**changes: Any) -> Weighting:
    return make_weighting(**PARAMETERS | changes)


def looked_up(texts: list[str]) -> tuple[Any, NDArray[np.float32], NDArray[np.int64]]:
    """Words of texts, their vectors in an order of their own, and the index of each."""
    found = split_words(texts, WORD_PATTERN, True)
    order = np.random.default_rng(1).permutation(len(found.words))
    vectors = np.zeros((len(order), 6), dtype=np.float32)
    for word, index in zip(found.words, order, strict=True):
        vectors[index] = TABLE[word]
    return found, vectors, order


def learn(weighting: Weighting, texts: list[str] = TRAINING) -> Weighting:
    counts = Counter(texts)
    found, vectors, indices = looked_up(list(counts))
    times = np.array(list(counts.values()), dtype=np.int64)
    weighting.learn(found, times)
    weighting.learn_vectors(found, times, vectors, indices)
    return weighting


def pool(weighting: Weighting, texts: list[str] = NEW) -> NDArray[np.float32]:
    found, vectors, indices = looked_up(texts)
    result = weighting.pool(found, vectors, indices)
    assert result.dtype == np.float32
    assert result.shape == (len(texts), 6 * weighting.width)
    return result


def assert_close(X: NDArray[Any], expected: NDArray[Any]) -> None:
    """Equal up to the rounding of float32, seen beside the largest number."""
    np.testing.assert_allclose(X, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def by_hand(
    texts: list[str], pool_one: Callable[[list[str], NDArray[np.float64]], Any], width: int = 1
) -> NDArray[np.float64]:
    """``pool_one(words, vectors)`` for each text; zeros for one without words."""
    rows = []
    for text in texts:
        words = text.split()
        rows.append(
            pool_one(words, np.array([TABLE[word] for word in words], dtype=np.float64))
            if words
            else np.zeros(6 * width)
        )
    return np.array(rows)


# ---- Mean, sum, maximum, power means


@pytest.mark.parametrize("weighting", ["mean", "sum", "max"])
def test_plain(weighting: str) -> None:
    expected = by_hand(NEW, lambda words, vectors: getattr(np, weighting)(vectors, axis=0))
    assert_close(pool(learn(made(weighting=weighting))), expected)


def power_mean(vectors: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    """Rücklé et al. 2018, section 3: ((x_1^p + ... + x_n^p) / n)^(1/p), with real odd roots."""
    if math.isinf(power):
        return vectors.max(axis=0) if power > 0 else vectors.min(axis=0)
    mean = (vectors**power).mean(axis=0)
    root: NDArray[np.float64] = np.sign(mean) * np.abs(mean) ** (1 / power)
    return root


@pytest.mark.parametrize(
    "powers",
    [
        (1, math.inf, -math.inf),
        (3,),
        (1, 2, 3, 4, 5),
        [-math.inf, 1.0],
        np.array([2, 7]),
        3,
        math.inf,
    ],
)
def test_power_means(powers: Any) -> None:
    listed = np.atleast_1d(powers).tolist()
    weighting = learn(made(weighting="power_mean", powers=powers))
    assert weighting.width == len(listed)
    expected = by_hand(
        NEW,
        lambda words, vectors: np.concatenate([power_mean(vectors, power) for power in listed]),
        len(listed),
    )
    assert_close(pool(weighting), expected)


# ---- tf-idf


def test_idf_is_scikit_learns() -> None:
    counter = CountVectorizer(vocabulary=WORDS)
    counts = counter.fit_transform(
        TRAINING
    )  # a repeated text, and the empty one, are documents as often as they are there
    idf = dict(zip(WORDS, TfidfTransformer(smooth_idf=True).fit(counts).idf_, strict=True))
    assert idf["the"] == pytest.approx(math.log(7 / 5) + 1)
    assert idf["bat"] == pytest.approx(math.log(7 / 4) + 1)
    expected = by_hand(
        NEW,
        lambda words, vectors: np.average(vectors, axis=0, weights=[idf[word] for word in words]),
    )
    assert_close(pool(learn(made(weighting="tfidf"))), expected)


def test_words_that_were_not_in_training_have_the_idf_of_none() -> None:
    weighting = learn(made(weighting="tfidf"), ["the bat", "the ball", "the"])
    unseen, seen, always = math.log(4) + 1, math.log(4 / 2) + 1, 1.0
    expected = np.average(
        [TABLE["night"], TABLE["bat"], TABLE["the"]], axis=0, weights=[unseen, seen, always]
    )
    assert_close(pool(weighting, ["night bat the"])[0], expected)


# ---- SIF


def sif_averages(
    texts: list[str], frequencies: Mapping[str, float], a: float
) -> NDArray[np.float64]:
    """Lines 1 to 3 of Arora et al. 2017, algorithm 1."""
    return by_hand(
        texts,
        lambda words, vectors: (
            sum(
                a / (a + frequencies.get(word, 0.0)) * v
                for word, v in zip(words, vectors, strict=True)
            )
            / len(words)
        ),
    )


def sif(
    texts: list[str], training: list[str], frequencies: Mapping[str, float], a: float
) -> NDArray[np.float64]:
    """All of algorithm 1; the singular vector is that of the training texts."""
    first = np.linalg.svd(sif_averages(training, frequencies, a), full_matrices=False)[2][0]
    svd = TruncatedSVD(n_components=1, algorithm="arpack", random_state=0).fit(
        sif_averages(training, frequencies, a)
    )
    np.testing.assert_allclose(abs(svd.components_[0] @ first), 1, atol=1e-9)
    averages = sif_averages(texts, frequencies, a)
    removed: NDArray[np.float64] = averages - np.outer(averages @ first, first)
    return removed


def shares(texts: list[str]) -> dict[str, float]:
    counts = Counter(word for text in texts for word in text.split())
    return {word: count / counts.total() for word, count in counts.items()}


@pytest.mark.parametrize("a", [1e-3, 0.5, np.float32(0.25), 1])
def test_sif_with_frequencies_of_the_training_texts(a: float) -> None:
    weighting = learn(made(weighting="sif", sif_a=a))
    for texts in (NEW, TRAINING):
        assert_close(pool(weighting, texts), sif(texts, TRAINING, shares(TRAINING), float(a)))


GIVEN = {"the": 500, "bat": 20.0, "of": np.int64(80), "river": 0, "elsewhere": 399}


def test_sif_with_frequencies_from_a_mapping_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "counts.txt"
    file.write_text(
        "\ufeffthe 500\n\nbat\t20.0\r\nof   8e1\nriver 0\n elsewhere 300 \nelsewhere 99",
        encoding="utf-8",
    )
    expected = sif(NEW, TRAINING, {word: float(count) / 999 for word, count in GIVEN.items()}, 0.1)
    before = dict(GIVEN)
    for frequencies in (GIVEN, Counter(GIVEN), file, str(file)):
        weighting = learn(made(weighting="sif", sif_a=0.1, word_frequencies=frequencies))
        assert_close(pool(weighting), expected)
    assert before == GIVEN
    assert not np.allclose(expected, sif(NEW, TRAINING, shares(TRAINING), 0.1), atol=1e-2), (
        "the frequencies make no difference here"
    )


def test_frequencies_of_fit_and_the_same_given_are_the_same() -> None:
    counts = Counter(word for text in TRAINING for word in text.split())
    given = pool(learn(made(weighting="sif", word_frequencies=counts)))
    np.testing.assert_array_equal(given, pool(learn(made(weighting="sif"))))


def test_what_sif_removes_comes_from_the_training_texts_alone() -> None:
    weighting = learn(made(weighting="sif", sif_a=1))
    alone = pool(weighting, ["river bank"])
    np.testing.assert_array_equal(
        pool(weighting, ["river bank", *["money of the night"] * 50])[:1], alone
    )
    before = pickle.dumps(weighting)
    pool(weighting, ["money"] * 9)
    assert pickle.dumps(weighting) == before
    other = learn(made(weighting="sif", sif_a=1), ["money of the night", "old money"])
    assert not np.allclose(pool(other, ["river bank"]), alone, atol=1e-3)


def test_what_is_removed_is_gone_from_every_vector() -> None:
    X = pool(learn(made(weighting="sif", sif_a=1)), [*TRAINING, *NEW]).astype(np.float64)
    first = np.linalg.svd(sif_averages(TRAINING, shares(TRAINING), 1), full_matrices=False)[2][0]
    assert np.abs(X).max() > 0.1
    np.testing.assert_allclose(X @ first, 0, atol=1e-6)


@pytest.mark.parametrize("training", [[], [""], ["", ""]])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_training_texts_without_words(weighting: str, training: list[str]) -> None:
    X = pool(learn(made(weighting=weighting), training))
    assert np.isfinite(X).all()
    assert X[0].any(), "nothing was learnt, so nothing is removed"
    assert not X[1].any()


# ---- What holds for all


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_text_does_not_depend_on_its_neighbours(weighting: str) -> None:
    learnt = learn(made(weighting=weighting))
    rng = np.random.default_rng(2)
    texts = [" ".join(rng.choice(WORDS, size=size)) for size in rng.integers(0, 40, size=120)]
    X = pool(learnt, texts)
    np.testing.assert_array_equal(X, np.concatenate([pool(learnt, [text]) for text in texts]))
    np.testing.assert_array_equal(X[::-1], pool(learnt, texts[::-1]))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_learnt_weightings_can_be_stored(weighting: str) -> None:
    learnt = learn(made(weighting=weighting))
    np.testing.assert_array_equal(pool(pickle.loads(pickle.dumps(learnt))), pool(learnt))


# ---- Parameters


WRONG: list[tuple[str, Any, str]] = [
    *(
        ("weighting", value, "must be one of 'mean', 'sum', 'max', 'tfidf', 'sif', 'power_mean'")
        for value in ("idf", "", None, 1, ["mean"])
    ),
    *(
        ("sif_a", value, "must be a number in the range (0, inf)")
        for value in (0, -1.0, math.nan, math.inf, "1e-3", None, True, 1j, np.bool_(1))
    ),
    *(
        (
            "word_frequencies",
            value,
            "must be None, a mapping of words to counts, or the path of a file",
        )
        for value in (5, ["the"], True, b"x")
    ),
    *(
        ("word_frequencies", value, "must be a mapping of str to numbers from 0")
        for value in (
            {"a": -1},
            {"a": math.nan},
            {"a": "1"},
            {"a": math.inf},
            {1: 1},
            {"a": None},
            {"a": True},
            {"a": 1j},
        )
    ),
    *(
        ("word_frequencies", value, "must be counts of words, not all of them 0")
        for value in ({}, {"a": 0})
    ),
    *(
        ("powers", value, "must be a sequence of whole numbers from 1, or plus or minus infinity")
        for value in (
            (),
            0,
            -1,
            1.5,
            (1, 0.5),
            "1",
            None,
            [math.nan],
            True,
            [True],
            ["1"],
            {1, 2},
            np.ones((2, 2)),
            [1j],
        )
    ),
]


@pytest.mark.parametrize(("parameter", "value", "rule"), WRONG)
@pytest.mark.parametrize("weighting", ["mean", "sif"])  # also where they are not used
def test_wrong_parameters(weighting: str, parameter: str, value: Any, rule: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        made(**{"weighting": weighting, parameter: value})
    assert str(caught.value).startswith(f"The '{parameter}' parameter {rule}")
    assert str(caught.value).endswith(f"Got {short_repr(value)} instead.")


@pytest.mark.parametrize(
    "line",
    [
        "bat",
        "bat x",
        "5",
        " 5",
        "bat 5 times",
        "bat nan",
        "bat -1",
        "bat inf",
        "bat,5",
        "\x00",
        "bat\u00a0five",
        "x" * 200,
    ],
)
def test_a_line_that_is_no_word_and_count(tmp_path: Path, line: str) -> None:
    file = tmp_path / "counts.txt"
    file.write_text(f"the 5\n\n{line}\nof 7\n", encoding="utf-8")
    with pytest.raises(InvalidTableError) as caught:
        read_frequencies(file)
    expected = (
        f"Line 3 of '{file}' must hold a word and its count, a number from 0. Got"
        f" {short_repr(line)} instead."
    )
    assert str(caught.value) == expected


def test_files_of_frequencies_hold_any_word(tmp_path: Path) -> None:
    file = tmp_path / "counts.txt"
    file.write_text("new york 3\n中文\t4\n5 5\n\u2028\U0001f987 8\n", encoding="utf-8")
    assert read_frequencies(str(file)) == {"new york": 0.15, "中文": 0.2, "5": 0.25, "🦇": 0.4}


def test_files_of_frequencies_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("café 5".encode("latin-1"))
    (tmp_path / "empty").write_bytes(b"\n")
    with pytest.raises(
        InvalidTableError,
        match=re.escape(
            f"The file '{tmp_path / 'latin'}' of 'word_frequencies' cannot be read as text"
        ),
    ):
        read_frequencies(tmp_path / "latin")
    with pytest.raises(
        InvalidTableError,
        match=re.escape(f"The file '{tmp_path}' of 'word_frequencies' cannot be read as text"),
    ):
        read_frequencies(tmp_path)
    with pytest.raises(InvalidTableError, match="of 'word_frequencies' cannot be read as text"):
        read_frequencies("a\x00b")
    with pytest.raises(
        InvalidTableError,
        match=re.escape(
            f"There is no file '{tmp_path / 'none'}', which the 'word_frequencies' parameter"
        ),
    ):
        read_frequencies(tmp_path / "none")
    with pytest.raises(
        InvalidParameterError,
        match="'word_frequencies' parameter must be counts of words, not all of them 0",
    ):
        read_frequencies(tmp_path / "empty")


def test_a_path_may_begin_with_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "counts.txt").write_text("tea 1\ncup 3\n")
    assert read_frequencies("~/counts.txt") == {"tea": 0.25, "cup": 0.75}
