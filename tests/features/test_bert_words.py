"""BertWordVectorizer: vectors of words, compared with plain Hugging Face's."""

from __future__ import annotations

import inspect
import pickle
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
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
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from threadpoolctl import threadpool_limits
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from bertvectorizer import BertSpanVectorizer, BertWordVectorizer, EmbeddingStore
from bertvectorizer.errors import InvalidParameterError, InvalidTextError, ModelChangedError
from tests.plain import POOLINGS, by_offsets, by_word_ids, in_windows
from tests.tiny import ModelFactory, save_model
from tests.tolerance import network_tolerance

pytestmark = pytest.mark.numeric

DOCUMENTS = [
    ["The", "unbelievable", "bat", "flew", "."],
    ["¿", "Qué", "hacías", "tú", "en", "A", "Coruña", "el", "año", "2019", "?"],
    [
        "I",
        "❤️",
        "👩‍👩‍👧",
        "🦇🦇",
        "emoji",
        "🇪🇸🇨🇺",
        "👍🏽",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "2️⃣",
    ],
    ["我", "喜欢", "北京", "。", "日本語", "カタカナ", "がぎ", "か\u3099", "한국어"],
    [
        "e\u0301tude",
        "nai\u0308ve",
        "\u0301",
        "a",
        "\u0301b",
        "x\u0323\u0302",
        "x\u0302\u0323",
        "\u0300\u0301",
        "ﷺ",
        "ﬁn",
    ],
    [
        "here",
        "\u200b",
        "and",
        "\x00",
        "gone",
        "\x07\ufeff",
        "\u00ad",
        "soft\u00adhyphen",
        "zero\u200bwidth",
        "\ufffd",
        "there",
    ],
    [],
    [
        "[SEP]",
        "a[SEP]b",
        "[CLS]",
        "[MASK]",
        "[PAD]",
        "[UNK]",
        "[",
        "SEP",
        "]",
        "[sep]",
        "<s>",
        "##ing",
    ],
    [
        "New York",
        " x ",
        "",
        " ",
        "\t\n",
        "line\nbreak",
        "two  spaces",
        "\u00a0",
        "\u3000wide\u3000",
        "last",
    ],
    [
        "don't",
        "it",
        "'s",
        "https://t.co/abc",
        "@user",
        "#tag",
        "C3PO",
        "...",
        "U.S.A.",
        "--",
        "co-op",
        "x" * 120,
    ],
    [""],
    ["مرحبا", "שלום", "नमस्ते", "ไทย", "Ελληνικά", "İstanbul", "ẞ", "ǅ"],
]
SMALL = [
    ["the", "old", "bat"],
    ["unbats", "", "hit", "a", "ball"],
    [],
    ["money", "in", "the", "bank", "."],
]
N_SMALL = 13


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


def flat(by_document: list[NDArray[np.float32]], pooling: str = "mean") -> NDArray[np.float32]:
    """Concatenate the layers of documents to ``(n_all_words, n_layers * width)``.

    Of "first_last", all layers of the first tokens come first.
    """
    every = np.concatenate(by_document, axis=1)
    sides = np.split(every, 2, axis=2) if pooling == "first_last" else [every]
    return np.concatenate([layer for side in sides for layer in side], axis=1)


def joined(words: list[str]) -> tuple[str, list[tuple[int, int]]]:
    """Return the text of a document and the span of each word, computed in another way."""
    text, spans = "", []
    for word in words:
        if not (stripped := word.strip()):
            spans.append((0, 0))
            continue
        text += " " * bool(text) + stripped
        spans.append((len(text) - len(stripped), len(text)))
    return text, spans


# ---- The numbers


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_word_of_the_default_model_is_that_of_plain_hugging_face(
    default_model_directory: Path, pooling: str
) -> None:
    expected = flat(
        [by_word_ids(default_model_directory, words, pooling) for words in DOCUMENTS if words],
        pooling,
    )
    for store in ("auto", None):
        found = BertWordVectorizer(
            layers="all", subtoken_pooling=pooling, store=store
        ).fit_transform(DOCUMENTS)
        assert found.dtype == np.float32
        assert found.shape == (sum(map(len, DOCUMENTS)), 7 * 384 * (1 + (pooling == "first_last")))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layer", [-1, -2, 0])
def test_single_layers_of_the_default_model(default_model_directory: Path, layer: int) -> None:
    expected = np.concatenate(
        [by_word_ids(default_model_directory, words)[layer] for words in DOCUMENTS if words]
    )
    np.testing.assert_allclose(
        BertWordVectorizer(layers=layer).transform(DOCUMENTS), expected, rtol=0, atol=1e-5
    )


def test_defaults_are_the_mean_of_the_layers_above_the_embeddings(tiny_model: ModelFactory) -> None:
    for n_layers in (1, 3, 5):
        directory = tiny_model("bert", num_hidden_layers=n_layers)
        each = BertWordVectorizer(directory, layers="all").transform(SMALL)
        layers = each.reshape(N_SMALL, n_layers + 1, -1)[:, 1:]
        vectorizer = BertWordVectorizer(directory).fit(SMALL)
        assert vectorizer.layers_ == tuple(range(1, n_layers + 1))
        assert vectorizer.n_features_out_ == 32
        np.testing.assert_allclose(vectorizer.transform(SMALL), layers.mean(axis=1), atol=1e-6)
        for merge, expected in (
            ("concat", layers.reshape(N_SMALL, -1)),
            ("sum", layers.sum(axis=1)),
        ):
            found = vectorizer.set_params(layer_merge=merge).transform(SMALL)
            np.testing.assert_allclose(found, expected, atol=1e-5)
        spans = BertSpanVectorizer(directory).fit_transform(
            pd.DataFrame({"text": ["a bat flew"], "word": ["bat"]})
        )
        words = BertWordVectorizer(directory).transform([["a", "bat", "flew"]])
        np.testing.assert_allclose(spans[0], words[1], atol=1e-6)


wild_word = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.text("ab\u0301\u0308\u0323\u200d\u200b 我がé🦇🏽🇪", max_size=6),
    st.sampled_from(["[SEP]", "[CLS]", "bat", "", "\u200b", "🇪🇸", "x y"]),
)


@settings(max_examples=100)
@given(words=st.lists(wild_word, min_size=1, max_size=8))
def test_any_words_are_those_of_plain_hugging_face(bert: str, words: list[str]) -> None:
    expected = flat([by_word_ids(bert, words, "first_last")], "first_last")
    found = BertWordVectorizer(
        bert, layers="all", subtoken_pooling="first_last", store=None
    ).transform([words])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@settings(max_examples=10)
@given(documents=st.lists(st.lists(wild_word, min_size=1, max_size=6), min_size=1, max_size=4))
def test_any_words_by_the_default_model(
    default_model_directory: Path, documents: list[list[str]]
) -> None:
    expected = np.concatenate(
        [by_word_ids(default_model_directory, words)[-1] for words in documents]
    )
    np.testing.assert_allclose(
        BertWordVectorizer(layers=-1, store=None).transform(documents), expected, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    "family",
    [
        "bert",
        "roberta",
        "distilbert",
        "electra",
        "albert",
        "modernbert",
        "gpt2",
        "openai-gpt",
        "mpnet",
        "deberta-v2",
    ],
)
def test_every_family(tiny_model: ModelFactory, family: str) -> None:
    directory = str(tiny_model(family))
    # None of them unknown: RoBERTa's position of a token hangs on its number, and this vocabulary's
    # unknown one has that of its padding.
    documents = [
        RIVER[:20],
        [
            "na\u00efve",
            "e\u0301tude",
            "\u0301",
            "\u200b",
            "",
            " ",
            "un\u200bbats",
            "a b",
            "[SEP]",
            "bat",
        ],
        SMALL[0],
        SMALL[3],
    ]
    for pooling in ("mean", "first_last"):
        expected = flat(
            [by_word_ids(directory, words, pooling)[[3, 1, 0]] for words in documents], pooling
        )
        found = BertWordVectorizer(
            directory, layers=[-1, 1, 0], subtoken_pooling=pooling, batch_tokens=40
        ).transform(documents)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


SENTENCES = [
    "the old bat flew in the night",
    "query: the bat hit the ball of money",
    "search: river bank crane bats 's",
    "a naïve bat",
] * 4


def byte_level(add_prefix_space: bool, trim_offsets: bool) -> Tokenizer:
    """As GPT-2, RoBERTa, ModernBERT and Qwen have it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        SENTENCES,
        trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False),
    )
    return tokenizer


def roberta() -> Tokenizer:
    """Byte level with special tokens, whose mask takes the space before it."""
    tokenizer = byte_level(False, True)
    tokenizer.add_special_tokens(["<s>", "</s>"])
    ends = [(token, tokenizer.token_to_id(token)) for token in ("</s>", "<s>")]
    tokenizer.post_processor = processors.RobertaProcessing(
        *ends, trim_offsets=True, add_prefix_space=False
    )
    return tokenizer


def unigram(prepend: str, by_words: bool = False) -> Tokenizer:
    """As XLM-R and T5 have it, which split at white space first, and others, which do not."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    metaspace = pre_tokenizers.Metaspace(prepend_scheme=prepend)
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
        if by_words
        else metaspace
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(
        SENTENCES,
        trainers.UnigramTrainer(
            vocab_size=90, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
        ),
    )
    return tokenizer


def llama() -> Tokenizer:
    """Spaces become marks before anything is split, and bytes stand for what is unknown."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    marked = ["▁" + sentence.replace(" ", "▁") for sentence in SENTENCES]
    tokenizer.train_from_iterator(
        marked, trainers.BpeTrainer(vocab_size=120, special_tokens=["<unk>"], show_progress=False)
    )
    return tokenizer


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "byte level": lambda: byte_level(False, True),
    "byte level, space before": lambda: byte_level(True, True),
    "byte level, untrimmed": lambda: byte_level(False, False),
    "byte level, space before, untrimmed": lambda: byte_level(True, False),
    "roberta": roberta,
    "unigram": lambda: unigram("always"),
    "unigram, first": lambda: unigram("first"),
    "unigram, never": lambda: unigram("never"),
    "unigram of words": lambda: unigram("always", by_words=True),
    "llama": llama,
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny model under a tokenizer that was trained on a few sentences."""
    directory = tmp_path_factory.mktemp("trained")
    tokenizer = TOKENIZERS[request.param]()
    save_model("bert", directory, vocab_size=tokenizer.get_vocab_size() + 1)
    tokens = {
        name: mark
        for name, mark in (("unk_token", "<unk>"), ("bos_token", "<s>"), ("eos_token", "</s>"))
        if tokenizer.token_to_id(mark)
    }
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=512, pad_token="<pad>", **tokens
    ).save_pretrained(directory)
    return str(directory)


TRAINED_ON = [*SMALL[:2], *(words[:12] for words in DOCUMENTS if words and words != [""])]


def test_other_tokenizers_by_hand(trained: str) -> None:
    """The tokens of a word are those with a character of it, in the words joined by spaces."""
    for pooling in ("mean", "first_last"):
        expected = flat(
            [by_offsets(trained, *joined(words), pooling) for words in TRAINED_ON], pooling
        )
        found = BertWordVectorizer(trained, layers="all", subtoken_pooling=pooling).transform(
            TRAINED_ON
        )
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        n_lost = (~found.any(axis=1)).sum()
        assert n_lost < 20, "only what the tokenizer leaves nothing of"


PIECES = [
    *("▁", "▁the", "▁flew", "bat", "s", "crane", "night", "un", "ly"),
    *"abcdefghijklmnopqrstuvwxyz.,!",
]
UNIGRAM = {
    "albert": transformers.AlbertTokenizer,
    "t5": transformers.T5Tokenizer,
    "xlm-roberta": transformers.XLMRobertaTokenizer,
    "deberta-v2": transformers.DebertaV2Tokenizer,
    "rembert": transformers.RemBertTokenizer,
    "camembert": transformers.CamembertTokenizer,
}
SPACE_IS_A_TOKEN = [*UNIGRAM, "llama", "roberta", "marks before splitting"]
SPLIT = [["bats", "the", "crane", "flew", "unbatsly", ".", "the", "q!z", "night"], ["bat"], ["the"]]


def separate_space(kind: str) -> Any:
    """A tokenizer of the library, which has no tokens but "▁the" and "▁flew" with their space."""
    if kind in UNIGRAM:
        special = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "<s>", "</s>", "<mask>"]
        named = {"pad_token": "<pad>", "unk_token": "<unk>"}
        scores = [*((token, 0.0) for token in special), *((piece, -2.0) for piece in PIECES)]
        return UNIGRAM[kind](vocab=scores, unk_id=1, **named)
    if kind == "marks before splitting":
        tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), *((p, -2.0) for p in PIECES)], 0))
        marks = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        tokenizer.normalizer = normalizers.Sequence(marks)
        return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    mark = "Ġ" if kind == "roberta" else "▁"
    letters = [mark, *"abcdefghijklmnopqrstuvwxyz.,!"]
    merges = [("t", "h"), ("th", "e"), (mark, "the"), ("b", "a"), ("ba", "t")]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters, *map("".join, merges)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if kind == "roberta":
        return transformers.RobertaTokenizer(vocab=vocabulary, merges=merges, add_prefix_space=True)
    return transformers.LlamaTokenizer(vocab=vocabulary, merges=merges)


@pytest.fixture(scope="module", params=SPACE_IS_A_TOKEN)
def with_space_tokens(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> str:
    directory = tmp_path_factory.mktemp("space")
    tokenizer = separate_space(request.param)
    save_model("bert", directory, vocab_size=len(tokenizer) + 1)
    for path in directory.glob("tokenizer*"):
        path.unlink()
    tokenizer.save_pretrained(directory)
    return str(directory)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_space_that_is_a_token_belongs_to_its_word(with_space_tokens: str, pooling: str) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(with_space_tokens)
    for words in SPLIT:
        by_words = tokenizer(words, is_split_into_words=True)
        assert by_words["input_ids"] == tokenizer(" ".join(words))["input_ids"]
        first_of_word = by_words.tokens()[by_words.word_ids().index(0)]
        assert first_of_word in ("▁", "Ġ") or words == ["the"]
    expected = flat([by_word_ids(with_space_tokens, words, pooling) for words in SPLIT], pooling)
    for store in ("auto", None):
        vectorizer = BertWordVectorizer(
            with_space_tokens, layers="all", subtoken_pooling=pooling, store=store
        )
        np.testing.assert_allclose(vectorizer.transform(SPLIT), expected, rtol=0, atol=1e-5)
    spans = [(" ".join(SPLIT[0]), *span) for span in joined(SPLIT[0])[1]]
    as_spans = BertSpanVectorizer(
        with_space_tokens, layers="all", subtoken_pooling=pooling
    ).transform(pd.DataFrame(spans, columns=["text", "start", "end"]))
    np.testing.assert_allclose(as_spans, expected[: len(spans)], rtol=0, atol=1e-5)


def test_letters_that_look_like_spaces_are_no_spaces(tmp_path: Path) -> None:
    """Vocabularies of other models have "Ġ", a letter of Maltese, and "▁" as characters."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "Ġ": 1, "▁": 2, "bat": 3}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    save_model("bert", tmp_path)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]"
    ).save_pretrained(tmp_path)
    words = ["Ġ", "bat", "▁", "bat"]
    found = BertWordVectorizer(tmp_path, layers=-1).transform([words])
    np.testing.assert_allclose(found, by_word_ids(tmp_path, words)[-1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("prompt", ["query: ", "query:", "a bat"])
def test_prompts_before_other_tokenizers(trained: str, prompt: str) -> None:
    expected = flat(
        [by_offsets(trained, *joined(words), prompt=prompt)[[-1]] for words in SMALL if words]
    )
    np.testing.assert_allclose(
        BertWordVectorizer(trained, layers=-1, prompt=prompt).transform(SMALL),
        expected,
        rtol=0,
        atol=1e-5,
    )


# ---- Long documents

RIVER = [
    *("the", "old", "bats", "flew", "in", "the", "night", "unbats", "hit", "a", "ball"),
    *("of", "money", "abcdefgh", "the", "bank", "un", ".", "crane", "in", "river"),
] * 3


def windows(max_length: int, stride: int | None, n_special: int = 2, n_prompt: int = 0) -> int:
    return (max_length - n_special - n_prompt) // 4 if stride is None else stride


@pytest.mark.parametrize(
    ("max_length", "stride"),
    [
        (10, None),
        (10, 0),
        (11, 3),
        (11, 8),
        (5, 0),
        (4, 1),
        (3, 0),
        (40, None),
        (41, 0),
        (128, None),
    ],
)
def test_each_word_of_a_long_document_is_read_where_it_has_most_context(
    bert: str, max_length: int, stride: int | None
) -> None:
    text, spans = joined(RIVER)
    expected, _ = in_windows(
        bert, text, spans, max_length, windows(max_length, stride), "first_last"
    )
    vectorizer = BertWordVectorizer(
        bert, layers="all", subtoken_pooling="first_last", max_length=max_length, stride=stride
    )
    found = vectorizer.transform([SMALL[0], RIVER, SMALL[3]])
    assert found.shape == (3 + len(RIVER) + 5, 4 * 64)
    np.testing.assert_allclose(found[3:-5], flat([expected], "first_last"), rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[:3], vectorizer.transform(SMALL[:1]), rtol=0, atol=1e-5)
    assert found.any(axis=1).all(), "every word is read"


def test_a_long_document_by_the_default_model(default_model_directory: Path) -> None:
    words = [word for document in DOCUMENTS for word in document if word.strip()] * 4
    text, spans = joined(words)
    directory = default_model_directory
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    limit = BertWordVectorizer()._checkpoint().max_seq_length
    assert len(tokenizer(text)["input_ids"]) > 2 * limit
    found = BertWordVectorizer(layers=-1, store=None).transform([words])
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    body, offsets = encoded["input_ids"], encoded["offset_mapping"]
    room = limit - 2
    grid = [*range(0, len(body) - room, room - room // 4), len(body) - room]
    from tests.plain import overlapping, plain_states

    states = {
        start: plain_states(directory, [101, *body[start : start + room], 102])[-1]
        for start in grid
    }
    for row, (start, end) in enumerate(spans):
        tokens = overlapping(offsets, start, end)
        if not tokens:
            assert not found[row].any()
            continue
        sides = {
            of: min(
                tokens[0] - of if of else np.inf,
                of + room - 1 - tokens[-1] if of < grid[-1] else np.inf,
            )
            for of in grid
            if of <= tokens[0] and tokens[-1] < of + room
        }
        best = max(sides, key=lambda of: (sides[of], -of))
        np.testing.assert_allclose(
            found[row],
            states[best][[token - best + 1 for token in tokens]].mean(axis=0),
            rtol=0,
            atol=1e-5,
        )


@pytest.mark.parametrize("stride", [None, 0])
def test_a_word_longer_than_the_model_reads_is_read_as_far_as_it_goes(
    bert: str, stride: int | None
) -> None:
    words = ["the", "abcdefghijklmnopqrstuvwxyz" * 3, "bat"]
    text, spans = joined(words)
    for max_length in (10, 30):
        expected, _ = in_windows(bert, text, spans, max_length, windows(max_length, stride))
        vectorizer = BertWordVectorizer(bert, layers="all", max_length=max_length, stride=stride)
        np.testing.assert_allclose(
            vectorizer.transform([words]), flat([expected]), rtol=0, atol=1e-5
        )


def test_windows_that_share_nothing_cut_no_word(bert: str) -> None:
    """A word on the border of two windows has a window of its own, and keeps all its tokens."""
    words = ["the"] * 6 + ["abcd"] + ["bat"] * 6
    expected, n_windows = in_windows(bert, *joined(words), 10, 0)
    assert n_windows == 3
    found = BertWordVectorizer(bert, layers="all", max_length=10, stride=0).transform([words])
    np.testing.assert_allclose(found, flat([expected]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("prompt", ["query: ", "the "])
def test_long_documents_with_a_prompt(trained: str, prompt: str) -> None:
    """A first word whose token holds the space at the prompt's end is still read."""
    words = ["bat", "old", "night", "the"] * 12
    text, spans = joined(words)
    n_prompt = len(
        transformers.AutoTokenizer.from_pretrained(trained)(prompt, add_special_tokens=False)[
            "input_ids"
        ]
    )
    assert len(transformers.AutoTokenizer.from_pretrained(trained)(prompt + text)["input_ids"]) > 24
    expected, _ = in_windows(trained, text, spans, 24, 3, prompt=prompt)
    found = BertWordVectorizer(
        trained, layers="all", max_length=24, stride=3, prompt=prompt
    ).transform([words])
    assert found.any(axis=1).all(), n_prompt
    np.testing.assert_allclose(found, flat([expected]), rtol=0, atol=1e-5)


# ---- Layers


MERGES: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "concat": lambda layers: np.concatenate(list(layers), axis=-1),
    "sum": lambda layers: layers.sum(axis=0),
    "mean": lambda layers: layers.mean(axis=0),
}


@pytest.mark.parametrize("merge", MERGES)
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("layers", [[-1, 1], [2]])
def test_layers_are_merged_token_by_token(
    bert: str, merge: str, pooling: str, layers: list[int]
) -> None:
    from tests.plain import plain_model, plain_states, pooled

    found = BertWordVectorizer(
        bert, layers=layers, layer_merge=merge, subtoken_pooling=pooling
    ).transform([RIVER[:20]])
    encoded = plain_model(bert)[0](RIVER[:20], is_split_into_words=True)
    tokens = MERGES[merge](plain_states(bert, encoded["input_ids"])[layers])
    of_token = np.array([-1 if word is None else word for word in encoded.word_ids()])
    np.testing.assert_allclose(
        found, [pooled(tokens[of_token == word], pooling) for word in range(20)], rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    "specifications",
    [
        (-1, 3, [-1], "3", np.int64(-1)),
        ([-1, -2], "-1,-2", (3, 2), np.array([3, -2])),
        ("all", range(4), "0,1,2,3"),
    ],
)
def test_layers_can_be_given_in_many_ways(bert: str, specifications: tuple[Any, ...]) -> None:
    first, *others = (
        BertWordVectorizer(bert, layers=layers).fit_transform(SMALL) for layers in specifications
    )
    for other in others:
        np.testing.assert_array_equal(other, first)


# ---- Documents


@pytest.mark.parametrize(
    "kind",
    [
        list,
        tuple,
        lambda documents: [tuple(words) for words in documents],
        lambda documents: [np.array(words, dtype=object) for words in documents],
        lambda documents: pd.Series(documents, index=list("abcd")),
        lambda documents: pd.DataFrame({"words": documents}),
        lambda documents: pl.Series(documents, dtype=pl.List(pl.String)),
        lambda documents: pl.DataFrame({"words": pl.Series(documents, dtype=pl.List(pl.String))}),
    ],
)
def test_every_kind_of_documents_gives_the_same(bert: str, kind: Callable[[Any], Any]) -> None:
    expected = BertWordVectorizer(bert).transform(SMALL)
    assert expected.shape == (N_SMALL, 32)
    assert not expected[4].any(), "a blank word has a row of zeros"
    np.testing.assert_array_equal(BertWordVectorizer(bert).fit_transform(kind(SMALL)), expected)
    by_document = list(BertWordVectorizer(bert).iter_transform(kind(SMALL)))
    assert [len(vectors) for vectors in by_document] == [3, 5, 0, 5]
    np.testing.assert_allclose(np.concatenate(by_document), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "tokenizer", [r"\w+|[^\w\s]", lambda text: text.replace(".", " .").split()]
)
def test_texts_with_a_tokenizer(bert: str, tokenizer: Any) -> None:
    vectorizer = BertWordVectorizer(bert, tokenizer=tokenizer)
    texts = ["The old bat.", "", "Money in  the bank"]
    words = [["The", "old", "bat", "."], [], ["Money", "in", "the", "bank"]]
    assert vectorizer.words(texts) == words
    np.testing.assert_allclose(
        vectorizer.fit_transform(texts),
        BertWordVectorizer(bert).transform(words),
        rtol=0,
        atol=1e-6,
    )
    assert [len(vectors) for vectors in vectorizer.iter_transform(texts)] == [4, 0, 4]


def test_words_are_read_in_the_text_as_it_stands(bert: str) -> None:
    """Where a tokenizer leaves something out, the model still reads it."""
    text = "the bat, old: unbats"
    found = BertWordVectorizer(bert, layers="all", tokenizer=r"\w+").transform([text])
    np.testing.assert_allclose(
        found,
        flat([by_offsets(bert, text, [(0, 3), (4, 7), (9, 12), (14, 20)])]),
        rtol=0,
        atol=1e-5,
    )


def test_lone_surrogates_read_as_the_replacement_character(bert: str) -> None:
    found = BertWordVectorizer(bert, store=None).transform(
        [["a", "\ud800", "b\udfff", "\ud83e\udd87", "bat"], ["a", "\ufffd", "b\ufffd", "🦇", "bat"]]
    )
    np.testing.assert_array_equal(found[:5], found[5:])


def test_words_are_given_back(bert: str) -> None:
    assert BertWordVectorizer(bert).words([["a", " bat ", ""], [], ["New York"]]) == [
        ["a", "bat", ""],
        [],
        ["New York"],
    ]


@pytest.mark.parametrize(
    "X",
    [
        [],
        [[]],
        [[], []],
        [[""], ["\u200b", " "]],
        pd.Series([], dtype=object),
        np.array([], dtype=object),
    ],
)
@pytest.mark.parametrize("parameters", [{}, {"layers": "all", "subtoken_pooling": "first_last"}])
def test_nothing_to_read(bert: str, X: Any, parameters: dict[str, Any]) -> None:
    vectorizer = BertWordVectorizer(bert, **parameters)
    n_words = sum(map(len, X))
    for result in (vectorizer.transform(X), vectorizer.fit_transform(X)):
        assert result.shape == (n_words, vectorizer.n_features_out_)
        assert result.dtype == np.float32
        assert not result.any()
    assert [len(vectors) for vectors in vectorizer.iter_transform(X)] == [len(words) for words in X]


@pytest.mark.parametrize("store", ["auto", None])
def test_order_and_company_change_nothing(bert: str, store: Any) -> None:
    vectorizer = BertWordVectorizer(bert, store=store, batch_tokens=30)
    documents = [*DOCUMENTS, *SMALL, RIVER, *SMALL]
    X = vectorizer.transform(documents)
    first = np.cumsum([0, *map(len, documents)])
    order = np.random.default_rng(0).permutation(len(documents))
    mixed = vectorizer.transform([documents[row] for row in order])
    np.testing.assert_allclose(
        mixed,
        np.concatenate([X[first[row] : first[row + 1]] for row in order]),
        rtol=0,
        atol=network_tolerance(),
    )
    for row, words in enumerate(documents):
        np.testing.assert_allclose(
            vectorizer.transform([words]),
            X[first[row] : first[row + 1]],
            rtol=0,
            atol=network_tolerance(),
        )


# ---- One document at a time


def test_iter_transform_gives_what_transform_gives(
    bert: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectorizer = BertWordVectorizer(bert, layers=[-1, 0]).fit(SMALL)
    documents = [*SMALL, RIVER, *DOCUMENTS]
    expected = np.split(vectorizer.transform(documents), np.cumsum(list(map(len, documents)))[:-1])
    for n_at_once in (1, 3, 1000):
        monkeypatch.setattr("bertvectorizer.features.bert_words._DOCUMENTS_PER_CHUNK", n_at_once)
        for vectors, wanted in zip(
            vectorizer.iter_transform(words for words in documents), expected, strict=True
        ):
            assert vectors.dtype == np.float32
            np.testing.assert_allclose(vectors, wanted, rtol=0, atol=network_tolerance())


def test_iter_transform_reads_no_more_than_a_chunk_ahead(
    bert: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertvectorizer.features.bert_words._DOCUMENTS_PER_CHUNK", 4)
    drawn = []

    def documents() -> Iterator[list[str]]:
        for number in range(10):
            drawn.append(number)
            yield ["bat"] * number
        raise OSError("the disk is gone")

    vectors = BertWordVectorizer(bert).iter_transform(documents())
    assert drawn == []
    assert [len(next(vectors)) for _ in range(4)] == [0, 1, 2, 3]
    assert drawn == [0, 1, 2, 3]
    assert [len(next(vectors)) for _ in range(4)] == [4, 5, 6, 7]
    with pytest.raises(OSError, match="the disk is gone"):
        next(vectors)


def test_iter_transform_names_the_document_at_fault(
    bert: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong: list[Any] = [["bat"]] * 1030 + [["bat", None]]
    for X in (wrong, iter(wrong), tuple(wrong)):
        with pytest.raises(InvalidTextError, match=r"as word 1 of document 1030\."):
            list(BertWordVectorizer(bert).iter_transform(X))
    monkeypatch.setattr("bertvectorizer.features.bert_words._DOCUMENTS_PER_CHUNK", 4)
    series = pd.Series([["bat"]] * 6 + [["bat", None]], index=list("tuvwxyz"))
    for table in (series, series.to_frame()):
        with pytest.raises(InvalidTextError, match=r"as word 1 of document 6 \(index 'z'\)\."):
            list(BertWordVectorizer(bert).iter_transform(table))


@pytest.mark.parametrize("most_words", [1, 8, 200])
def test_long_documents_do_not_share_one_array(
    bert: str, monkeypatch: pytest.MonkeyPatch, most_words: int
) -> None:
    documents = [RIVER, [], *SMALL, RIVER, ["bat"]]
    vectorizer = BertWordVectorizer(bert, store=None)
    expected = np.split(vectorizer.transform(documents), np.cumsum(list(map(len, documents)))[:-1])
    monkeypatch.setattr("bertvectorizer.features.bert_words._BYTES_PER_CHUNK", most_words * 32 * 4)
    found = list(vectorizer.iter_transform(documents))
    for vectors, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(vectors, wanted, rtol=0, atol=network_tolerance())
    arrays = {id(vectors.base): len(vectors.base) for vectors in found if vectors.base is not None}
    assert len(arrays) > 1 or most_words == 200
    assert max(arrays.values()) <= max(most_words, len(RIVER)), (
        "no more than there is room for, or one document"
    )


@pytest.mark.parametrize(
    "X",
    [
        "a bare text",
        b"bytes",
        None,
        5,
        {"words": [["a"]]},
        pd.DataFrame({"a": [["x"]], "b": [["y"]]}),
    ],
)
def test_what_is_no_documents_is_refused(bert: str, X: Any) -> None:
    vectorizer = BertWordVectorizer(bert)
    for method in (
        vectorizer.fit,
        vectorizer.transform,
        vectorizer.words,
        vectorizer.iter_transform,
    ):
        with pytest.raises(InvalidTextError, match="X must hold documents"):
            method(X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (["a text"], "tokenizer"),
        ([["a", 1]], "1"),
        ([["a"], None], "document 1"),
        ([["a", np.nan]], "nan"),
    ],
)
def test_what_is_no_word_is_refused(bert: str, X: Any, message: str) -> None:
    for method in ("fit", "transform", "words"):
        with pytest.raises(InvalidTextError, match=message):
            getattr(BertWordVectorizer(bert), method)(X)


# ---- "weighted"

TAGS = [["of" if word == "bat" else str(len(word) % 2) for word in words] for words in SMALL]


def test_weighted_learns_a_mix_that_its_result_is(bert: str) -> None:
    vectorizer = BertWordVectorizer(bert, layers=[-1, 0, 2], layer_merge="weighted")
    X = vectorizer.fit_transform(SMALL, TAGS)
    assert vectorizer.layer_weights_.shape == (3,)
    assert (vectorizer.layer_weights_ > 0).all()
    assert vectorizer.layer_weights_.sum() == pytest.approx(1, abs=1e-6)
    layers = BertWordVectorizer(bert, layers=[-1, 0, 2]).transform(SMALL).reshape(N_SMALL, 3, 32)
    np.testing.assert_allclose(
        X,
        vectorizer.layer_scale_ * np.einsum("l,nlw->nw", vectorizer.layer_weights_, layers),
        rtol=0,
        atol=1e-4,
    )
    np.testing.assert_allclose(vectorizer.transform(SMALL), X, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        np.concatenate(list(vectorizer.iter_transform(SMALL))), X, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("pooling", ["mean", "first_last"])
def test_nested_and_flat_targets_are_the_same(bert: str, pooling: str) -> None:
    nested = BertWordVectorizer(
        bert, layers="all", layer_merge="weighted", subtoken_pooling=pooling
    ).fit(SMALL, TAGS)
    all_tags = [tag for tags in TAGS for tag in tags]
    for y in (
        all_tags,
        np.array(all_tags),
        np.array(all_tags, dtype=object),
        pd.Series(all_tags, index=range(5, 18)),
        pd.Series(TAGS),
        tuple(map(tuple, TAGS)),
        pd.DataFrame({"tag": all_tags}),
        pl.DataFrame({"tags": TAGS}),
    ):
        flat_one = clone(nested).fit(SMALL, y)
        np.testing.assert_array_equal(flat_one.layer_weights_, nested.layer_weights_)
        assert flat_one.layer_scale_ == nested.layer_scale_
    numbers = {tag: number for number, tag in enumerate(sorted(set(all_tags)))}
    as_int = clone(nested).fit(SMALL, [[numbers[tag] for tag in tags] for tags in TAGS])
    np.testing.assert_allclose(as_int.layer_weights_, nested.layer_weights_, atol=1e-5)


@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_weighted_finds_the_informative_layer(
    bert: str, layer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [RIVER[start : start + 17] for start in range(0, len(RIVER) - 17, 2)]
    y = BertWordVectorizer(bert, layers=layer).transform(documents) @ np.random.default_rng(
        layer
    ).normal(size=32)
    vectorizer = BertWordVectorizer(bert, layers="all", layer_merge="weighted")
    assert vectorizer.fit(documents, y).layer_weights_.argmax() == layer
    assert vectorizer.fit(documents, y > np.median(y)).layer_weights_.argmax() == layer
    monkeypatch.setattr(
        "bertvectorizer.features.bert_span_base._MAX_TRAINING_BYTES", 4 * 32 * 4 * len(y) // 2
    )
    assert vectorizer.fit(documents, y).layer_weights_[layer] > 0.5, (
        "a sample of documents keeps its own targets"
    )


def test_floats_are_regression_targets(bert: str) -> None:
    numbers = [[len(word) / 2 for word in words] for words in SMALL]
    vectorizer = BertWordVectorizer(bert, layers="all", layer_merge="weighted").fit(SMALL, numbers)
    classes = BertWordVectorizer(bert, layers="all", layer_merge="weighted").fit(
        SMALL, [[str(one) for one in row] for row in numbers]
    )
    assert vectorizer.layer_weights_.sum() == pytest.approx(1, abs=1e-6)
    assert np.abs(vectorizer.layer_weights_ - classes.layer_weights_).max() > 1e-3


@pytest.mark.parametrize(
    "y",
    [
        [[0.5] * 3, [0.5, 1.0, 2.0, 0.5, np.nan], [], [1.0] * 5],
        [[0.5] * 3, [0.5, 1.0, 2.0, 0.5, np.inf], [], [1.0] * 5],
    ],
)
def test_targets_that_are_not_finite_are_refused(bert: str, y: Any) -> None:
    with pytest.raises(InvalidParameterError, match="y must"):
        BertWordVectorizer(bert, layers="all", layer_merge="weighted").fit(SMALL, y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, r"'layer_merge' parameter must be .* Got 'weighted' and y=None"),
        (
            [*TAGS[:3], ["0"] * 4],
            (
                r"Document 3 has 5 words and 4 targets\. Give one for each of the words that"
                r" words\(X\)"
            ),
        ),
        (TAGS[:3], r"one list of targets for each of 4 documents. Got 3 instead\. Give one"),
        (5, "y must be a list, .* Got int 5"),
        ("tags", "y must be a list, .* Got str 'tags'"),
        (
            pd.DataFrame({"a": TAGS, "b": TAGS}),
            r"Got a DataFrame with 2 columns: \['a', 'b'\]\. Choose one",
        ),
        (
            [*TAGS[:3], 3],
            (
                r"y must have a list of targets for each document, .* Got int 3 as document 3,"
                r" beside lists\. Put"
            ),
        ),
        ([TAGS[0], TAGS[1], "x", TAGS[3]], "Got str 'x' as document 2, beside lists"),
        (
            [*TAGS[:3], ["0", "0", ["1", "2"], "0", "0"]],
            r"Got list \['1', '2'\] as the target of word 2 of document 3\. Choose one",
        ),
        (
            [*TAGS[:3], ["0", "0", None, "0", "0"]],
            "Got None as the target of word 2 of document 3. Missing or infinite targets: 1.",
        ),
        (["0"] * 12 + [None], "Got None as target 12. Missing or infinite targets: 1."),
        ([*TAGS, []], "one list of targets for each of 4 documents. Got 5"),
        (["0"] * 4, "one target for each of 13 words. Got 4"),
        ([], "one .* 4 documents|one target for each of 13 words. Got 0"),
    ],
)
def test_targets_must_be_one_for_each_word(bert: str, y: Any, message: str) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        BertWordVectorizer(bert, layers="all", layer_merge="weighted").fit(SMALL, y)


def test_y_is_not_read_where_nothing_is_learnt(bert: str) -> None:
    vectorizer = BertWordVectorizer(bert).fit(SMALL, ["anything"])
    assert vectorizer.layer_weights_ is None
    assert vectorizer.layer_scale_ is None


def test_weighted_must_be_fitted_with_the_layers_it_reads(bert: str) -> None:
    vectorizer = BertWordVectorizer(bert, layers=[0, 1], layer_merge="weighted")
    with pytest.raises(NotFittedError, match="Call 'fit' with y first"):
        vectorizer.transform(SMALL)
    vectorizer.fit(SMALL, TAGS)
    with pytest.raises(NotFittedError, match=r"weights of the layers \[0, 1, 2, 3\]"):
        vectorizer.set_params(layers="all").transform(SMALL)
    assert vectorizer.fit(SMALL, TAGS).layer_weights_.shape == (4,)
    assert vectorizer.set_params(layer_merge="mean").fit(SMALL).layer_weights_ is None
    with pytest.raises(NotFittedError):
        vectorizer.set_params(layer_merge="weighted").transform(SMALL)


def test_a_fit_that_fails_leaves_the_estimator_as_it_was(bert: str) -> None:
    vectorizer = BertWordVectorizer(bert, layers="all", layer_merge="weighted").fit(SMALL, TAGS)
    before = dict(vars(vectorizer))
    with pytest.raises(InvalidParameterError):
        vectorizer.fit(SMALL, TAGS[:2])
    assert vars(vectorizer) == before


def test_random_state_draws_what_weighted_learns_from(
    bert: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [words for words in DOCUMENTS + SMALL + [RIVER] if words]
    tags = [[str(len(word) % 3) for word in words] for words in documents]
    whole = (
        BertWordVectorizer(bert, layers="all", layer_merge="weighted")
        .fit(documents, tags)
        .layer_weights_
    )
    monkeypatch.setattr(
        "bertvectorizer.features.bert_span_base._MAX_TRAINING_BYTES", 4 * 32 * 4 * 40
    )  # forty words

    def weights(seed: int) -> NDArray[np.float32]:
        found: NDArray[np.float32] = (
            BertWordVectorizer(bert, layers="all", layer_merge="weighted", random_state=seed)
            .fit(documents, tags)
            .layer_weights_
        )
        return found

    np.testing.assert_array_equal(weights(0), weights(0))
    assert any(np.abs(weights(0) - weights(seed)).max() > 1e-4 for seed in (1, 2))
    assert np.abs(weights(0) - whole).max() > 1e-4
    monkeypatch.setattr("bertvectorizer.features.bert_span_base._MAX_TRAINING_BYTES", 1)
    assert np.isfinite(weights(0)).all(), "at least one document is read"


# ---- Estimator


# Wrong values for every parameter; the directory of a model allows no 'revision'.
WRONG: dict[str, list[Any]] = {
    "model_name": [7, None, ""],
    "layers": ["last", 9, [-1, 3], [], None, True, 1.5],
    "layer_merge": ["stack", None, 1],
    "subtoken_pooling": ["avg", "max", None, 1],
    "tokenizer": [5, "(", b"bat", ["a"]],
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
    assert list(WRONG) == list(inspect.signature(BertWordVectorizer).parameters)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [(parameter, value) for parameter, values in WRONG.items() for value in values],
)
def test_a_wrong_parameter_is_named_with_its_value(bert: str, parameter: str, value: Any) -> None:
    vectorizer = BertWordVectorizer(
        **{"model_name": bert, parameter: value}
    )  # nothing is checked before fit
    default = inspect.signature(BertWordVectorizer).parameters[parameter].default
    for method in (
        "fit",
        "fit_transform",
        "transform",
        "iter_transform",
    ):  # the last before anything is drawn from it
        with pytest.raises(InvalidParameterError) as caught:
            getattr(vectorizer, method)(SMALL)
        message = str(caught.value)
        assert f"The '{parameter}' parameter " in message
        assert repr(value) in message
        if default == "auto" and isinstance(value, str):
            assert "'auto'" in message


def test_names_and_number_of_features(bert: str) -> None:
    for parameters, width in (
        ({}, 32),
        ({"layers": "all"}, 128),
        ({"layers": "all", "layer_merge": "sum", "subtoken_pooling": "first_last"}, 64),
    ):
        vectorizer = BertWordVectorizer(bert, **parameters)
        names = [f"bertwordvectorizer{number}" for number in range(width)]
        assert vectorizer.n_features_out_ == width
        assert vectorizer.get_feature_names_out().tolist() == names
        assert vectorizer.get_feature_names_out(["words"]).dtype == object
        assert vectorizer.fit(SMALL).transform(SMALL).shape == (N_SMALL, width)


def test_rows_are_words_whatever_output_is_configured(bert: str) -> None:
    import sklearn

    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(BertWordVectorizer(bert).fit_transform(SMALL), np.ndarray)


def test_tags() -> None:
    tags = get_tags(BertWordVectorizer())
    assert not tags.requires_fit
    assert not tags.target_tags.required
    assert (tags.input_tags.string, tags.input_tags.two_d_array) == (True, False)
    assert get_tags(BertWordVectorizer(layer_merge="weighted")).target_tags.required


def test_init_stores_its_arguments_untouched() -> None:
    layers = [-1, -2]
    vectorizer = BertWordVectorizer("any name", layers=layers)
    assert vectorizer.layers is layers
    assert vars(vectorizer).keys() == vectorizer.get_params().keys()
    assert repr(BertWordVectorizer(layers=-2)) == "BertWordVectorizer(layers=-2)"


@pytest.mark.parametrize("parameters", [{}, {"layers": "all", "layer_merge": "weighted"}])
def test_clone_and_pickle(bert: str, parameters: dict[str, Any]) -> None:
    vectorizer = BertWordVectorizer(bert, **parameters)
    X = vectorizer.fit_transform(SMALL, TAGS)
    copied = clone(vectorizer)
    assert vars(copied).keys() == copied.get_params().keys()
    np.testing.assert_array_equal(copied.fit_transform(SMALL, TAGS), X)
    stored = pickle.dumps(vectorizer)
    assert len(stored) < 100_000
    loaded = pickle.loads(stored)
    assert loaded.get_params() == vectorizer.get_params()
    np.testing.assert_array_equal(loaded.transform(SMALL), X)


def test_a_step_of_a_pipeline(bert: str) -> None:
    pipe = make_pipeline(
        BertWordVectorizer(bert, layer_merge="weighted", layers="all"), StandardScaler()
    )
    assert pipe.fit_transform(SMALL, TAGS).shape == (N_SMALL, 32)
    assert pipe.set_params(bertwordvectorizer__layer_merge="concat").fit(SMALL).transform(
        SMALL
    ).shape == (N_SMALL, 128)


def test_a_model_that_changed_is_noticed(bert: str, tmp_path: Path) -> None:
    shutil.copytree(bert, tmp_path / "model")
    vectorizer = BertWordVectorizer(tmp_path / "model").fit(SMALL)
    X = vectorizer.transform(SMALL)
    np.testing.assert_array_equal(vectorizer.set_params(model_name=bert).transform(SMALL), X)
    fingerprint = vectorizer.model_fingerprint_
    vectorizer.set_params(model_name=tmp_path / "model")
    shutil.copy(
        save_model("bert", tmp_path / "other", initializer_range=0.1) / "model.safetensors",
        tmp_path / "model",
    )
    for method in (vectorizer.transform, lambda X: next(vectorizer.iter_transform(X))):
        with pytest.raises(
            ModelChangedError,
            match=rf"fitted with a model of fingerprint {fingerprint}, but .* now has .* fit again",
        ):
            method(SMALL)
    assert vectorizer.fit_transform(SMALL).shape == X.shape
    assert vectorizer.device_ == "cpu"


def test_documents_are_encoded_once(bert: str, tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path / "store.sqlite")
    vectorizer = BertWordVectorizer(bert, layers=-1, store=store)
    X = vectorizer.fit_transform([*SMALL, *SMALL])
    np.testing.assert_array_equal(X[:N_SMALL], X[N_SMALL:])
    assert store.stats.encoded == 3
    np.testing.assert_array_equal(vectorizer.transform(SMALL), X[:N_SMALL])
    for pooling in POOLINGS:
        vectorizer.set_params(subtoken_pooling=pooling).fit_transform(SMALL)
    assert store.stats.encoded == 3, "other poolings of tokens are no other work"
    BertWordVectorizer(bert, layers="all", layer_merge="weighted", store=store).fit(
        SMALL, TAGS
    ).transform(SMALL)
    assert store.stats.encoded == 6


def test_show_progress_bar(bert: str, capsys: pytest.CaptureFixture[str]) -> None:
    X = BertWordVectorizer(bert, show_progress_bar=True, store=None).transform([*SMALL, *SMALL])
    shown = capsys.readouterr()
    assert "26.0/26.0 [" in shown.err
    assert "BertWordVectorizer: 100%" in shown.err
    assert shown.out == ""
    np.testing.assert_allclose(BertWordVectorizer(bert).transform(SMALL), X[:N_SMALL], atol=1e-6)
    assert capsys.readouterr() == ("", "")


def test_offsets_are_those_of_documents(bert: str) -> None:
    """Rows go on from one document to the next, none left out and none twice."""
    X = BertWordVectorizer(bert, layers=0).transform(
        [["bat"], [], ["bat", "crane", "bat"], ["crane"]]
    )
    for start, end in pairwise(np.cumsum([0, 1, 0, 3, 1]).tolist()):
        assert len(X[start:end]) == end - start
    assert np.abs(X[2] - X[4]).max() > 0.01
    np.testing.assert_array_equal(X[0], X[1])
