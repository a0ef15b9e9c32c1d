from __future__ import annotations

import inspect
import logging
import os
import random
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sklearn.utils import get_tags

from bertvectorizer import BertVectorizer
from bertvectorizer.errors import (
    BertVectorizerError,
    InvalidParameterError,
    InvalidTextError,
    ModelNotFoundError,
)
from tests.tiny import ModelFactory, save_model, watched_network
from tests.tolerance import network_tolerance, tolerance

pytestmark = pytest.mark.numeric


TEXTS = [
    "the old bat flew in the night",
    "a ball",
    "",
    "the river bank",
    "money in the bank",
    "a ball",
    "crane",
]


@pytest.fixture(scope="module")
def bert(tiny_model: ModelFactory) -> str:
    """Directory of a tiny BERT of five layers."""
    return str(tiny_model("bert", num_hidden_layers=5))


@lru_cache
def _plain_model(directory: str) -> tuple[Any, Any]:
    return (
        transformers.AutoTokenizer.from_pretrained(directory),
        transformers.AutoModel.from_pretrained(directory).eval(),
    )


def plain_states(directory: str, text_or_ids: str | list[int]) -> NDArray[np.float32]:
    """Hidden states of a text by Hugging Face, of shape ``(n_layers + 1, n_tokens, hidden)``."""
    tokenizer, model = _plain_model(directory)
    ids = tokenizer(text_or_ids)["input_ids"] if isinstance(text_or_ids, str) else text_or_ids
    with torch.inference_mode():
        states = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    return np.stack([state[0].numpy() for state in states])


def unit(X: NDArray[Any]) -> NDArray[Any]:
    return X / np.linalg.norm(X, axis=1, keepdims=True)


# ---- What sentence-transformers gives


@pytest.fixture(scope="module")
def sentence_transformer(default_model_directory: Path) -> SentenceTransformer:
    return SentenceTransformer(str(default_model_directory), device="cpu")


VARIED = [
    "The bat hung from the beam.",
    "He swung the bat.",
    "",
    " \t\n ",
    "He swung the bat.",
    "¿Dónde está el murciélago? ÜBER naïve café",
    "蝙蝠 летучая мышь الخفاش",
    "🦇🏏 👩‍👩‍👧‍👧 e\u0301\u0301\u0301",
    "NUL \x00 and \x07 and \u200b and \ufeff",
    "[CLS] [MASK] [SEP] <s> </s>",
    "x" * 3000,
    "A very long text about bats. " * 200,
    "antidisestablishmentarianism-" * 20,
    *(f"text number {number} " * number for number in range(1, 30)),
]


@pytest.mark.filterwarnings("ignore:1 of")
def test_no_arguments_give_what_sentence_transformers_gives(
    sentence_transformer: SentenceTransformer,
) -> None:
    expected = sentence_transformer.encode(VARIED)
    X = BertVectorizer().transform(VARIED)
    assert X.shape == (len(VARIED), 384)
    np.testing.assert_allclose(X, expected, rtol=0, atol=1e-5)


def test_real_texts_give_what_sentence_transformers_gives(
    sentence_transformer: SentenceTransformer, shared_data: Path
) -> None:
    stsb = pd.read_csv(
        shared_data / "stsb" / "sts-dev.csv", sep="\t", quoting=3, header=None, usecols=[5, 6]
    )
    sick = pd.read_csv(shared_data / "sick" / "SICK_train.txt", sep="\t", quoting=3)
    texts = pd.concat(
        [stsb[5].sample(300, random_state=0), sick["sentence_A"].sample(300, random_state=0)]
    )
    np.testing.assert_allclose(
        BertVectorizer().fit_transform(texts),
        sentence_transformer.encode(texts.tolist()),
        rtol=0,
        atol=1e-5,
    )


def test_sick_relatedness_is_that_of_the_published_model(shared_data: Path) -> None:
    """Of 500 pairs, by sentence-transformers; benchmarks/accuracy.py has MTEB's figure, of all."""
    pairs = pd.read_csv(shared_data / "sick" / "SICK_trial.txt", sep="\t", quoting=3)
    one, other = np.split(
        BertVectorizer().transform(pd.concat([pairs["sentence_A"], pairs["sentence_B"]])), 2
    )
    cosine = pd.Series((one * other).sum(axis=1))
    assert cosine.rank().corr(pairs["relatedness_score"].rank()) == pytest.approx(
        0.7980054, abs=2e-4
    )


@pytest.fixture(scope="module")
def dense_checkpoint(bert: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A sentence-transformers checkpoint: cls pooling, Dense to 16 units, Normalize."""
    from sentence_transformers.sentence_transformer import modules

    directory = str(tmp_path_factory.mktemp("dense"))
    with torch.random.fork_rng():
        torch.manual_seed(20190814)
        SentenceTransformer(
            modules=[
                modules.Transformer(bert),
                modules.Pooling(32, "cls"),
                modules.Dense(32, 16),
                modules.Normalize(),
            ],
            device="cpu",
        ).save(directory)
    return directory


def test_auto_follows_the_checkpoints_modules(dense_checkpoint: str) -> None:
    X = BertVectorizer(dense_checkpoint).fit_transform(TEXTS)
    assert X.shape == (len(TEXTS), 16)
    np.testing.assert_allclose(
        X, SentenceTransformer(dense_checkpoint, device="cpu").encode(TEXTS), rtol=0, atol=1e-5
    )


def test_auto_with_another_layer_is_the_checkpoints_pooling_alone(
    dense_checkpoint: str, bert: str
) -> None:
    for layers, merged in ((-2, [4]), ([-1, -2], [5, 4])):
        X = BertVectorizer(dense_checkpoint, layers=layers).fit_transform(TEXTS)
        expected = [plain_states(bert, text)[merged, 0].ravel() for text in TEXTS]
        np.testing.assert_allclose(X, expected, rtol=0, atol=1e-5)
    assert BertVectorizer(dense_checkpoint, pooling="cls").transform(TEXTS).shape == (
        len(TEXTS),
        32,
    )


def test_normalize(dense_checkpoint: str, bert: str) -> None:
    auto, scaled, raw = (
        BertVectorizer(dense_checkpoint, normalize=normalize).transform(TEXTS)
        for normalize in ("auto", True, False)
    )
    rounding = tolerance(auto.shape[1])
    np.testing.assert_allclose(np.linalg.norm(auto, axis=1), 1, atol=rounding)
    np.testing.assert_allclose(scaled, auto, atol=rounding)
    assert np.ptp(np.linalg.norm(raw, axis=1)) > 1e-3
    np.testing.assert_allclose(unit(raw), auto, atol=rounding)
    plain, plain_scaled = (
        BertVectorizer(bert, normalize=normalize).transform(TEXTS) for normalize in ("auto", True)
    )
    np.testing.assert_allclose(unit(plain), plain_scaled, atol=tolerance(plain.shape[1]))
    np.testing.assert_array_equal(BertVectorizer(bert, normalize=False).transform(TEXTS), plain)


# ---- Layers and poolings, against plain Hugging Face

# Devlin et al. 2019, Table 7, as BertVectorizer's documentation has it, and each layer-merge by
# hand.
SIX_OPTIONS: dict[str, tuple[dict[str, Any], Callable[[NDArray[Any]], NDArray[Any]]]] = {
    "embeddings": ({"layers": 0}, lambda states: states[0]),
    "second-to-last hidden": ({"layers": -2}, lambda states: states[-2]),
    "last hidden": ({"layers": -1}, lambda states: states[-1]),
    "sum of the last four": (
        {"layers": "-1,-2,-3,-4", "layer_merge": "sum"},
        lambda states: states[-4:].sum(axis=0),
    ),
    "concat of the last four": (
        {"layers": "-1,-2,-3,-4"},
        lambda states: np.concatenate(list(states[:-5:-1]), axis=1),
    ),
    "sum of all layers": (
        {"layers": "all", "layer_merge": "sum"},
        lambda states: states.sum(axis=0),
    ),
}


@pytest.mark.parametrize("option", SIX_OPTIONS)
def test_six_options_of_the_bert_paper(bert: str, option: str) -> None:
    parameters, by_hand = SIX_OPTIONS[option]
    X = BertVectorizer(bert, **parameters).fit_transform(TEXTS)
    expected = [by_hand(plain_states(bert, text)).mean(axis=0) for text in TEXTS]
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(X, expected, rtol=0, atol=network_tolerance(5, scale))


def test_the_six_options_stand_in_the_documentation() -> None:
    assert BertVectorizer.__doc__ is not None
    for option, (parameters, _) in SIX_OPTIONS.items():
        written = ", ".join(
            f'{name}="{value}"' if isinstance(value, str) else f"{name}={value}"
            for name, value in parameters.items()
        )
        assert f"- {option}: ``{written}``" in BertVectorizer.__doc__


def test_layer_merge_mean(bert: str) -> None:
    X = BertVectorizer(bert, layers=[1, 4], layer_merge="mean").fit_transform(TEXTS)
    np.testing.assert_allclose(
        X, [plain_states(bert, text)[[1, 4]].mean(axis=(0, 1)) for text in TEXTS], rtol=0, atol=1e-5
    )


POOLINGS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "cls": lambda tokens: tokens[0],
    "mean": lambda tokens: tokens.mean(axis=0),
    "max": lambda tokens: tokens.max(axis=0),
    "mean_sqrt_len_tokens": lambda tokens: tokens.sum(axis=0) / len(tokens) ** 0.5,
    "weightedmean": lambda tokens: np.average(
        tokens, axis=0, weights=np.arange(1, len(tokens) + 1)
    ),
    "lasttoken": lambda tokens: tokens[-1],
}


@pytest.mark.parametrize("pooling", POOLINGS)
def test_poolings(bert: str, pooling: str) -> None:
    X = BertVectorizer(bert, pooling=pooling).fit_transform(TEXTS)
    np.testing.assert_allclose(
        X, [POOLINGS[pooling](plain_states(bert, text)[-1]) for text in TEXTS], rtol=0, atol=1e-5
    )


def test_poolings_stand_side_by_side_and_within_each_the_layers_in_the_order_requested(
    bert: str,
) -> None:
    X = BertVectorizer(bert, layers=[-1, 0, 2], pooling=("max", "cls")).fit_transform(TEXTS)
    expected = [
        np.concatenate(
            [
                POOLINGS[pooling](plain_states(bert, text)[layer])
                for pooling in ("max", "cls")
                for layer in (-1, 0, 2)
            ]
        )
        for text in TEXTS
    ]
    assert X.shape == (len(TEXTS), 6 * 32)
    np.testing.assert_allclose(X, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "specifications",
    [
        (-1, 5, [-1], "5", "-1", np.int64(-1), (5,)),
        (
            [-1, -2, -3, -4],
            "-1,-2,-3,-4",
            " -1, -2, -3, -4 ",
            (5, 4, 3, 2),
            np.array([5, -2, 3, -4]),
        ),
        ("all", range(6), "0,1,2,3,4,5", [0, 1, 2, 3, 4, -1]),
    ],
)
def test_layers_can_be_given_in_many_ways(bert: str, specifications: tuple[Any, ...]) -> None:
    first, *others = (
        BertVectorizer(bert, layers=layers).fit_transform(TEXTS) for layers in specifications
    )
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_decoders_serve_as_well(tiny_model: ModelFactory) -> None:
    directory = str(tiny_model("gpt2"))
    X = BertVectorizer(directory, pooling="lasttoken").fit_transform(TEXTS)
    expected = [plain_states(directory, text)[-1, -1] if text else np.zeros(32) for text in TEXTS]
    np.testing.assert_allclose(X, expected, rtol=0, atol=1e-5)


def test_prompt_stands_before_every_text(bert: str) -> None:
    X = BertVectorizer(bert, prompt="the bat ").transform(TEXTS)
    np.testing.assert_allclose(
        X, BertVectorizer(bert).transform([f"the bat {text}" for text in TEXTS]), atol=1e-6
    )


# ---- Long texts

# One token a word; with max_length=10 there is room for 8 of the 20.
LONG = "the old bat flew in the night a crane hit the ball of money the river bank in a ."
WORDS = LONG.split()


def ids_of(directory: str, words: list[str]) -> list[int]:
    tokenizer, _ = _plain_model(directory)
    return [2, *tokenizer.convert_tokens_to_ids(words), 3]


def test_truncate_warns_once_in_fit_and_keeps_the_figures(bert: str) -> None:
    vectorizer = BertVectorizer(bert, max_length=10)
    with pytest.warns(
        UserWarning,
        match=(
            r"^2 of 4 texts .* lose their end, 52\.2% of all tokens\. overflow='head_tail' or"
            r" 'window'"
        ),
    ) as caught:
        X = vectorizer.fit_transform([LONG, "a ball", LONG, " ".join(WORDS[:4])])
    assert len(caught) == 1
    figures = vectorizer.truncation_
    assert (figures.n_texts, figures.n_truncated, figures.n_tokens, figures.n_lost) == (
        4,
        2,
        46,
        24,
    )
    assert figures.share_lost == pytest.approx(24 / 46)
    np.testing.assert_allclose(
        vectorizer.transform([LONG]), X[:1], rtol=0, atol=network_tolerance(5)
    )  # and transform does not warn
    np.testing.assert_allclose(
        X[0], plain_states(bert, ids_of(bert, WORDS[:8]))[-1].mean(axis=0), atol=1e-5
    )


def test_nothing_is_said_where_nothing_is_lost(bert: str) -> None:
    vectorizer = BertVectorizer(bert, max_length=10).fit([" ".join(WORDS[:8])])
    assert (
        vectorizer.truncation_.n_truncated,
        vectorizer.truncation_.n_lost,
        vectorizer.truncation_.share_lost,
    ) == (0, 0, 0)
    assert BertVectorizer(bert).fit([]).truncation_.share_lost == 0


@pytest.mark.parametrize("fitted", [False, True])
def test_transform_warns_where_fit_had_nothing_to_warn_of(bert: str, fitted: bool) -> None:
    vectorizer = BertVectorizer(bert, max_length=10)
    if fitted:
        vectorizer.fit(["a ball"])
    with pytest.warns(UserWarning, match=r"^1 of 2 texts"):
        vectorizer.transform([LONG, "a ball"])


def test_head_tail(bert: str) -> None:
    vectorizer = BertVectorizer(bert, max_length=10, overflow="head_tail")
    X = vectorizer.fit_transform([LONG, "a ball"])
    np.testing.assert_allclose(
        X[0], plain_states(bert, ids_of(bert, WORDS[:2] + WORDS[-6:]))[-1].mean(axis=0), atol=1e-5
    )
    np.testing.assert_allclose(X[1], plain_states(bert, "a ball")[-1].mean(axis=0), atol=1e-5)
    assert (vectorizer.truncation_.n_truncated, vectorizer.truncation_.n_lost) == (1, 12)


@pytest.mark.parametrize(("stride", "step"), [(None, 6), (0, 8), (3, 5), (7, 1)])
def test_windows_are_pooled_by_length(bert: str, stride: int | None, step: int) -> None:
    vectorizer = BertVectorizer(
        bert, max_length=10, overflow="window", stride=stride, pooling=("mean", "cls")
    )
    X = vectorizer.fit_transform(["a ball", LONG])
    windows, start = [], 0
    while True:
        windows.append(WORDS[start : start + 8])
        if start + 8 >= len(WORDS):
            break
        start += step
    states = [plain_states(bert, ids_of(bert, window))[-1] for window in windows]
    pooled = [np.concatenate([tokens.mean(axis=0), tokens[0]]) for tokens in states]
    np.testing.assert_allclose(
        X[1], np.average(pooled, axis=0, weights=[len(tokens) for tokens in states]), atol=1e-5
    )
    short = plain_states(bert, "a ball")[-1]
    np.testing.assert_allclose(X[0], np.concatenate([short.mean(axis=0), short[0]]), atol=1e-5)
    assert vectorizer.truncation_.n_lost == 0


# ---- Doing less


def test_repeated_texts_enter_the_network_once(bert: str) -> None:
    vectorizer = BertVectorizer(bert).fit(TEXTS)
    vectorizer.transform(["crane"])  # loads the model and tries it out
    with watched_network() as seen:
        X = vectorizer.transform(["the bat", "a", "the bat", "a", "the bat"] * 20)
    assert seen.tokens == 4 + 3
    assert len(np.unique(X, axis=0)) == 2
    with watched_network() as seen:
        vectorizer.fit(TEXTS)
    assert seen.tokens == 0


@pytest.mark.parametrize(
    ("layers", "n_computed"), [(0, 0), (1, 1), ([2, 0], 2), (-2, 4), (-1, 5), ("all", 5)]
)
def test_layers_beyond_the_deepest_are_not_computed(
    bert: str, layers: Any, n_computed: int
) -> None:
    vectorizer = BertVectorizer(bert, layers=layers).fit(TEXTS)
    vectorizer.transform(["crane"])
    with watched_network() as seen:
        vectorizer.transform(TEXTS)
    assert seen.layers == n_computed


@pytest.mark.parametrize("batch_tokens", [1, 8, 50, 10_000])
def test_the_size_of_batches_changes_nothing(bert: str, batch_tokens: int) -> None:
    X = BertVectorizer(bert, batch_tokens=batch_tokens, store=None).transform(TEXTS)
    np.testing.assert_allclose(
        X, BertVectorizer(bert).transform(TEXTS), rtol=0, atol=network_tolerance(5)
    )


# ---- Any text at all

wild_text = st.one_of(
    st.text(st.characters(exclude_categories=[]), max_size=30),
    st.sampled_from(
        [
            "",
            "\x00",
            "\ud800",
            "\udfff\ud800",
            "\ud83e\udd87",
            "🦇" * 50,
            "bat " * 300,
            "x" * 5000,
            "\u202e\u0301\u200d",
            "the bat",
        ]
    ),
)
wild_texts = st.lists(wild_text | st.none(), max_size=6)


@settings(max_examples=25)
@given(texts=wild_texts, data=st.data())
def test_wild_texts(tiny_model: ModelFactory, texts: list[str | None], data: st.DataObject) -> None:
    vectorizer = BertVectorizer(str(tiny_model("bert")), normalize=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* lose their end", UserWarning)
        X = vectorizer.fit_transform(texts)
        vectorizer.fit(texts)
    rounding = network_tolerance(scale=0.5)  # no number of a unit vector is larger here
    assert X.shape == (len(texts), 32)
    assert X.dtype == np.float32
    assert np.isfinite(X).all()
    np.testing.assert_array_equal(vectorizer.transform(texts), X)
    order = data.draw(st.permutations(range(len(texts))))
    np.testing.assert_allclose(
        vectorizer.transform([texts[row] for row in order]), X[order], rtol=0, atol=rounding
    )
    for row, text in enumerate(texts):
        np.testing.assert_allclose(vectorizer.transform([text])[0], X[row], rtol=0, atol=rounding)
        np.testing.assert_array_equal(X[texts.index(text)], X[row])
    np.testing.assert_allclose(
        vectorizer.transform([*texts, "the bat", *texts, ""])[: len(texts)],
        X,
        rtol=0,
        atol=rounding,
    )


@pytest.mark.filterwarnings("ignore:1 of")
def test_order_and_company_change_nothing_with_the_default_model() -> None:
    vectorizer = BertVectorizer()
    X = vectorizer.transform(VARIED)
    order = np.random.default_rng(0).permutation(len(VARIED))
    np.testing.assert_allclose(
        vectorizer.transform(np.array(VARIED, dtype=object)[order]), X[order], rtol=0, atol=1e-6
    )
    for row in range(0, len(VARIED), 3):
        np.testing.assert_allclose(
            vectorizer.transform([VARIED[row]])[0], X[row], rtol=0, atol=1e-6
        )


def test_lone_surrogates_read_as_the_replacement_character(default_model_directory: Path) -> None:
    X = BertVectorizer(str(default_model_directory)).transform(
        ["a bat \ud800", "a bat \ufffd", "\ud83e\udd87 bat", "🦇 bat"]
    )
    np.testing.assert_array_equal(X[0], X[1])
    np.testing.assert_array_equal(X[2], X[3])


# ---- Columns, missing texts, no texts


@pytest.mark.parametrize(
    "kind",
    [
        list,
        tuple,
        np.array,
        lambda texts: np.array(texts, dtype=object).reshape(-1, 1),
        lambda texts: pd.Series(texts, dtype=object, index=list("qwertzu")),
        lambda texts: pd.Series(texts, dtype="string[pyarrow]"),
        lambda texts: pd.Series(texts, dtype="category"),
        lambda texts: pd.DataFrame({"text": texts}),
        pl.Series,
        lambda texts: pl.Series(texts, dtype=pl.Categorical),
        lambda texts: pl.DataFrame({"text": texts}),
    ],
)
def test_every_kind_of_column_gives_the_same(bert: str, kind: Callable[[list[str]], Any]) -> None:
    np.testing.assert_array_equal(
        BertVectorizer(bert).fit_transform(kind(TEXTS)), BertVectorizer(bert).transform(TEXTS)
    )


@pytest.mark.parametrize(
    "X",
    [pd.Series(["a", None]), ["a", np.nan], ["a", pd.NA], ["a", pd.NaT], pl.Series(["a", None])],
)
def test_missing(bert: str, X: Any) -> None:
    empty, zero, nan = (
        BertVectorizer(bert, missing=missing).fit_transform(X)
        for missing in ("empty", "zero", "nan")
    )
    np.testing.assert_array_equal(empty, BertVectorizer(bert).transform(["a", ""]))
    np.testing.assert_array_equal(zero, [empty[0], np.zeros(32)])
    np.testing.assert_array_equal(nan, [empty[0], np.full(32, np.nan)])
    with pytest.raises(InvalidTextError, match=r"row 1"):
        BertVectorizer(bert, missing="error").transform(X)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"layers": [0, 1], "pooling": ("cls", "max")}, {"missing": "nan"}, {"overflow": "window"}],
)
@pytest.mark.parametrize(
    "X",
    [
        [],
        np.array([], dtype=object),
        np.empty((0, 1), dtype=object),
        pd.Series([], dtype=object),
        pl.Series([]),
    ],
)
def test_zero_rows(bert: str, X: Any, parameters: dict[str, Any]) -> None:
    vectorizer = BertVectorizer(bert, **parameters)
    width = vectorizer.fit(TEXTS).n_features_out_
    for result in (
        vectorizer.transform(X),
        vectorizer.fit_transform(X),
        BertVectorizer(bert, **parameters).transform(X),
    ):
        assert result.shape == (0, width)
        assert result.dtype == np.float32
    assert vectorizer.set_output(transform="pandas").transform(X).shape == (0, width)


def test_default_model_without_rows() -> None:
    assert BertVectorizer().transform([]).shape == (0, 384)


# ---- Parameters

# Wrong values for every parameter; the directory of a model allows no 'revision'.
WRONG: dict[str, list[Any]] = {
    "model_name": [7, None, "", " ", b"bert"],
    "layers": [
        "-1;-2",
        "last",
        "",
        6,
        -7,
        [0, 9],
        [-1, 5],
        "1,1",
        [1.0],
        [],
        None,
        True,
        1.5,
        [[1]],
    ],
    "layer_merge": ["stack", "", None, 1],
    "pooling": [
        "avg",
        "",
        None,
        (),
        ("mean", "avg"),
        ["mean", "mean"],
        ("auto", "mean"),
        1,
        {"mean"},
    ],
    "normalize": ["yes", None, 1, 0.0],
    "truncate_dim": [0, -1, 1.5, "8", True],
    "max_length": [2, 0, -1, 1.5, "128", True, 100_000],
    "overflow": ["truncated", "", None, True],
    "stride": [-1, 1.5, "8", True],
    "prompt": [5, b"query: ", ["query: "]],
    "missing": ["blank", None, float("nan")],
    "precision": ["fp32", "float64", None, 32],
    "device": ["cpuu", "", 1.5, "cuda:one"],
    "batch_tokens": [0, -1, 1.5, "many", True],
    "revision": ["main", 7],
    "local_files_only": ["yes", None, 1],
    "trust_remote_code": ["no", None, 1],
    "store": ["", 0, 1.5, True, ["store.sqlite"]],
    "show_progress_bar": ["yes", None, 1],
}


def test_wrong_values_are_tried_for_every_parameter() -> None:
    assert list(WRONG) == list(inspect.signature(BertVectorizer).parameters)


@pytest.mark.parametrize("method", ["fit", "fit_transform", "transform"])
@pytest.mark.parametrize(
    ("parameter", "value"),
    [(parameter, value) for parameter, values in WRONG.items() for value in values],
)
def test_a_wrong_parameter_is_named_with_its_value(
    bert: str, method: str, parameter: str, value: Any
) -> None:
    vectorizer = BertVectorizer(
        **{"model_name": bert, parameter: value}
    )  # nothing is checked before fit
    with pytest.raises(InvalidParameterError) as caught:
        getattr(vectorizer, method)(TEXTS)
    message = str(caught.value)
    assert f"The '{parameter}' parameter " in message
    assert f"Got {value!r} instead" in message


def test_stride_must_be_smaller_than_a_window(bert: str) -> None:
    with pytest.raises(
        InvalidParameterError,
        match=r"'stride' parameter must be smaller than the 8 tokens of a window. Got 8 instead",
    ):
        BertVectorizer(bert, overflow="window", max_length=10, stride=8).fit(TEXTS)


def test_parameters_are_checked_without_texts_too(bert: str) -> None:
    for parameters in (
        {"batch_tokens": 0},
        {"show_progress_bar": "yes"},
        {"precision": "fp32"},
        {"overflow": "cut"},
    ):
        with pytest.raises(InvalidParameterError, match=next(iter(parameters))):
            BertVectorizer(bert, **parameters).transform([])


def test_a_misspelt_model_is_named() -> None:
    with pytest.raises(
        ModelNotFoundError,
        match=r"'sentence-transformers/all-MiniLM-L6-v3' was not found. Searched:",
    ):
        BertVectorizer("sentence-transformers/all-MiniLM-L6-v3", local_files_only=True).fit(TEXTS)


@pytest.mark.parametrize(
    "X",
    [
        "a bare text",
        [1, 2],
        np.array([1.5]),
        [b"bat"],
        [["a"]],
        pd.DataFrame({"a": ["x"], "b": [1]}),
        {"a"},
        None,
    ],
)
@pytest.mark.parametrize("method", ["fit", "fit_transform", "transform"])
def test_what_is_no_column_of_texts_is_refused(bert: str, method: str, X: Any) -> None:
    with pytest.raises(InvalidTextError, match=r"X"):
        getattr(BertVectorizer(bert), method)(X)


def test_all_errors_have_one_root() -> None:
    for kind in (InvalidParameterError, InvalidTextError, ModelNotFoundError):
        assert issubclass(kind, BertVectorizerError)


def test_tags() -> None:
    tags = get_tags(BertVectorizer())
    assert not tags.requires_fit
    assert tags.input_tags.string
    assert tags.input_tags.one_d_array
    assert not tags.input_tags.two_d_array


# ---- Manners


def _global_state() -> dict[str, Any]:
    return {
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "torch seed": torch.random.get_rng_state().numpy().tobytes(),
        "numpy seed": repr(np.random.get_state()),  # noqa: NPY002
        "seed": random.getstate(),
        "dtype": torch.get_default_dtype(),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "quantized engine": torch.backends.quantized.engine,
        "warnings": list(warnings.filters),
        "logging": (logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
        "transformers logging": (
            transformers.logging.get_verbosity(),
            transformers.logging.is_progress_bar_enabled(),
        ),
        "sentence_transformers logging": logging.getLogger("sentence_transformers").level,
        "environment": dict(os.environ),
        "directory": Path.cwd(),
    }


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_no_global_state_changes(tmp_path: Path, precision: str) -> None:
    directory = str(
        save_model("bert", tmp_path, initializer_range=0.25 if precision == "int8" else 0.2)
    )  # new, so it is loaded here
    before = _global_state()
    BertVectorizer(directory, precision=precision).fit_transform(TEXTS)
    assert _global_state() == before


def test_the_model_is_left_as_it_is_on_disk(tmp_path: Path) -> None:
    save_model("bert", tmp_path)
    before = {
        path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()
    }
    BertVectorizer(str(tmp_path)).fit_transform(TEXTS)
    assert {
        path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()
    } == before
