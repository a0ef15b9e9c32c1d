"""Pairs of texts as transformers' own tokenizers build and cut them."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers as hf
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.processors import ByteLevel, TemplateProcessing

from bertvectorizer.errors import InvalidParameterError, ModelIntegrityError, UnsupportedModelError
from bertvectorizer.models import (
    Checkpoint,
    PairTokenizer,
    TokenizedTexts,
    Truncation,
    open_checkpoint,
)
from bertvectorizer.models.checkpoint.text_tokens import (
    TokenBeyondTableError,
    load_tokenizer,
    replace_lone_surrogates,
)
from tests.tiny import SIZE, ModelFactory

LETTERS = "abcdefghijklmnopqrstuvwxyz"
GPT2 = {token: number for number, token in enumerate([*LETTERS, "Ġ", "<|endoftext|>"])}
PIECES = [("<pad>", 0.0), ("<unk>", -9.0), *((letter, -2.0) for letter in ["▁", *LETTERS])]


def own_tokenizers(tiny: ModelFactory, default: Path) -> dict[str, Any]:
    """Tokenizers of the families, as transformers makes them."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, "bat", "##s"]
    word_pieces = {token: number for number, token in enumerate(words)}
    byte_pairs = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "Ġ", *LETTERS]
    return {
        "MiniLM": hf.AutoTokenizer.from_pretrained(default),
        "tiny": hf.AutoTokenizer.from_pretrained(tiny("bert")),
        "from the end": hf.BertTokenizer(vocab=word_pieces, truncation_side="left"),
        "ELECTRA": hf.ElectraTokenizer(vocab=word_pieces),
        "DistilBERT": hf.DistilBertTokenizer(vocab=word_pieces),
        "RoBERTa": hf.RobertaTokenizer(
            vocab={token: number for number, token in enumerate(byte_pairs)}, merges=[]
        ),
        "ALBERT": hf.AlbertTokenizer(
            vocab=[("[CLS]", 0.0), ("[SEP]", 0.0), ("[MASK]", 0.0), *PIECES]
        ),
        "XLNet": hf.XLNetTokenizer(vocab=PIECES),
        "T5": hf.T5Tokenizer(vocab=[*PIECES, ("</s>", 0.0)], extra_ids=0),
        "CANINE": hf.CanineTokenizer(),  # in Python: cuts halves in another way
    }


@pytest.fixture(scope="module")
def tokenizers(tiny_model: ModelFactory, default_model_directory: Path) -> dict[str, Any]:
    return own_tokenizers(tiny_model, default_model_directory)


@pytest.fixture(scope="module")
def checkpoint(tiny_model: ModelFactory) -> Checkpoint:
    """A model with a vector for each token of all tokenizers."""
    bert = open_checkpoint(tiny_model("bert"))
    return dataclasses.replace(bert, config=hf.BertConfig(vocab_size=0x110000))


def sequences(tokenized: TokenizedTexts) -> list[list[int]]:
    return [part.tolist() for part in np.split(tokenized.ids, tokenized.offsets[1:-1])]


def types_of(tokenized: TokenizedTexts) -> list[list[int]]:
    types = np.zeros_like(tokenized.ids) if tokenized.types is None else tokenized.types
    assert types.dtype == np.int32
    return [part.tolist() for part in np.split(types, tokenized.offsets[1:-1])]


TEXT = st.text(max_size=25) | st.text("abs bat", max_size=50) | st.just("a [SEP] bat </s> <s>")


@settings(max_examples=60)
@given(pairs=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4), more_room=st.integers(0, 30))
def test_wild_pairs_equal_the_tokenizer_s_own(
    tokenizers: dict[str, Any], checkpoint: Checkpoint, pairs: list[tuple[str, str]], more_room: int
) -> None:
    firsts, seconds = map(list, zip(*pairs, strict=True))
    clean = [[replace_lone_surrogates(text) for text in texts] for texts in (firsts, seconds)]
    for name, own in tokenizers.items():
        max_length = own.num_special_tokens_to_add(pair=True) + 2 + more_room
        tokenize = PairTokenizer(checkpoint, own, max_length)
        assert (tokenize.new_tokens, tokenize.tokenizer) == ((), own), name
        tokenized = tokenize(firsts, seconds)
        expected = own(*clean, truncation="longest_first", max_length=max_length)
        ids = expected["input_ids"]
        assert sequences(tokenized) == ids, name
        types = expected.get("token_type_ids", [[0] * len(row) for row in ids])
        assert types_of(tokenized) == types, name
        whole = own(*clean)["input_ids"]
        n_special = own.num_special_tokens_to_add(pair=True)
        n_lost = [len(row) - len(cut) for row, cut in zip(whole, ids, strict=True)]
        assert tokenized.n_lost.tolist() == n_lost, name
        assert tokenized.n_tokens.tolist() == [len(row) - n_special for row in whole], name
        assert tokenized.first_window.tolist() == list(range(len(pairs) + 1))


def test_whatever_the_number_at_once(
    checkpoint: Checkpoint, tokenizers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenize = PairTokenizer(checkpoint, tokenizers["tiny"], max_length=8)
    pairs = ["a", "", "bats " * 5, "the crane", "hit"], ["old bat", "a", "", "river " * 9, "a"]
    whole = tokenize(*pairs)
    assert whole.types is not None
    assert set(whole.types) == {0, 1}
    assert whole.truncation == Truncation(5, 2, 27, 11)
    monkeypatch.setattr("bertvectorizer.models.checkpoint.pair_tokens._PAIRS_AT_ONCE", 2)
    for field in dataclasses.fields(TokenizedTexts):
        np.testing.assert_array_equal(
            getattr(tokenize(*pairs), field.name), getattr(whole, field.name)
        )
    nothing = tokenize([], [])
    assert (nothing.ids.shape, nothing.offsets.tolist()) == ((0,), [0])


def test_a_prompt_is_for_single_texts(checkpoint: Checkpoint, tokenizers: dict[str, Any]) -> None:
    own = tokenizers["tiny"]
    prompted = dataclasses.replace(checkpoint, default_prompt="find: ", add_special_tokens=False)
    assert sequences(PairTokenizer(prompted, own)(["a"], ["bat"])) == [own("a", "bat")["input_ids"]]


CAUSAL = {
    "GPT-2": (
        lambda: hf.GPT2Tokenizer(vocab=GPT2, merges=[]),
        ["<|endoftext|>", "<delimiter>", "<extract>"],
    ),
    "GPT": (
        lambda: hf.OpenAIGPTTokenizer(
            vocab={"<unk>": 0, **{f"{letter}</w>": n for n, letter in enumerate(LETTERS, 1)}},
            merges=[],
        ),
        ["<start>", "<delimiter>", "<extract>"],
    ),
    # transformers does not read the form of its pairs again
    "GPT-NeoX": (
        lambda: hf.GPTNeoXTokenizer(vocab=GPT2, merges=[]),
        ["<|endoftext|>", "<delimiter>", "<extract>"],
    ),
}


@pytest.mark.parametrize("name", CAUSAL)
def test_tokenizers_without_pairs_get_start_delimiter_and_extract(
    tiny_model: ModelFactory, tmp_path: Path, name: str
) -> None:
    make, places = CAUSAL[name]
    own = make()
    before = len(own), own("a", "b")["input_ids"], own("a b")["input_ids"]
    checkpoint = open_checkpoint(tiny_model("gpt2", vocab_size=len(own)))
    pairs = ["a", "b c", ""], ["c", "d e f g h i", "<extract> g"]
    tokenize = PairTokenizer(checkpoint, own, max_length=8)
    tokenized = tokenize(*pairs)
    assert tokenized.types is None
    assert (tokenize.new_tokens, tokenize.vocab_size) == (
        tuple(token for token in places if token != "<|endoftext|>"),
        len(tokenize.tokenizer),
    )
    start, delimiter, extract = tokenize.tokenizer.convert_tokens_to_ids(places)
    bodies = [tokenize.tokenizer(texts)["input_ids"] for texts in pairs]
    assert sequences(tokenized) == [
        [start, *a[:2], delimiter, *b[:3], extract] for a, b in zip(*bodies, strict=True)
    ]
    assert (len(own), own("a", "b")["input_ids"], own("a b")["input_ids"]) == before, (
        "the tokenizer that others share stays as it was"
    )

    # Saved beside a model with vectors for the new tokens
    model = hf.AutoModel.from_pretrained(checkpoint.directory)
    model.resize_token_embeddings(tokenize.vocab_size, mean_resizing=False)
    model.save_pretrained(tmp_path)
    tokenize.tokenizer.save_pretrained(tmp_path)
    saved = open_checkpoint(tmp_path)
    again = load_tokenizer(saved)
    read = PairTokenizer(saved, again, max_length=8)
    assert (read.new_tokens, read.vocab_size) == ((), tokenize.vocab_size)
    np.testing.assert_array_equal(read(*pairs).ids, tokenized.ids)
    assert again("a b")["input_ids"] == before[2], "single texts have no more tokens than before"
    if name != "GPT-NeoX":
        assert again(*pairs, truncation=True, max_length=8)["input_ids"] == sequences(tokenized)


def test_a_form_for_single_texts_alone_gets_one_for_pairs(
    tiny_model: ModelFactory, checkpoint: Checkpoint
) -> None:
    own = hf.AutoTokenizer.from_pretrained(tiny_model("bert"))
    own.backend_tokenizer.post_processor = TemplateProcessing(
        single="[MASK] $A [SEP]", special_tokens=[("[MASK]", 4), ("[SEP]", 3)]
    )
    tokenize = PairTokenizer(checkpoint, own)
    assert tokenize.new_tokens == ()
    expected = [
        [4, *own("a bat", add_special_tokens=False)["input_ids"], 3, *own("hit")["input_ids"][1:]]
    ]
    assert sequences(tokenize(["a bat"], ["hit"])) == expected
    assert [tokenize.tokenizer("a bat", "hit")["input_ids"]] == expected
    assert tokenize.tokenizer("hit")["input_ids"] == own("hit")["input_ids"]


def test_rows_of_the_table_that_no_token_has_are_used_first(tiny_model: ModelFactory) -> None:
    checkpoint = open_checkpoint(tiny_model("gpt2", vocab_size=SIZE + 7))
    own = copy.deepcopy(load_tokenizer(checkpoint))
    own.backend_tokenizer.post_processor = ByteLevel(trim_offsets=True)
    tokenize = PairTokenizer(checkpoint, own)
    kept = repr(tokenize.tokenizer.backend_tokenizer.post_processor)
    assert "ByteLevel" in kept, "offsets are trimmed as before"
    assert (len(tokenize.new_tokens), tokenize.vocab_size) == (3, SIZE + 7)
    assert sequences(tokenize(["a"], ["a"]))[0][0] == SIZE


@pytest.mark.parametrize("side", [0, 1])
def test_a_token_beyond_the_table_is_named_with_its_text(
    tiny_model: ModelFactory, side: int
) -> None:
    own = hf.AutoTokenizer.from_pretrained(tiny_model("bert"))
    own.add_tokens(["zebra"])
    pairs = [["the bat", "hit"], ["a ball", "a"]]
    pairs[side][1] = "zebra crane"
    tokenize = PairTokenizer(open_checkpoint(tiny_model("bert")), own)
    with pytest.raises(TokenBeyondTableError, match="has the token 'zebra', number") as found:
        tokenize(*pairs)
    assert found.value.text == "zebra crane"


def test_what_cannot_be_tokenized_is_refused(
    tiny_model: ModelFactory, checkpoint: Checkpoint, tokenizers: dict[str, Any]
) -> None:
    own = tokenizers["tiny"]
    with pytest.raises(InvalidParameterError, match=r"range \[5, inf\) or None. Got 4"):
        PairTokenizer(checkpoint, own, max_length=4)
    with pytest.raises(ModelIntegrityError, match="read 4 tokens of a pair of texts, of which 3"):
        PairTokenizer(dataclasses.replace(checkpoint, max_seq_length=4), own)
    with pytest.raises(InvalidParameterError, match="as long as 'first', which has 2 texts"):
        PairTokenizer(checkpoint, own)(["a", "bat"], ["a"])
    one_type = dataclasses.replace(checkpoint, config=hf.BertConfig(type_vocab_size=1))
    with pytest.raises(ModelIntegrityError, match="token type 1, but the model has vectors for 1"):
        PairTokenizer(one_type, own)
    other = hf.AutoTokenizer.from_pretrained(tiny_model("bert"))
    other.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A", pair="$A [SEP] $B $B", special_tokens=[("[SEP]", 3)]
    )
    with pytest.raises(UnsupportedModelError, match="splits the texts of a pair in another way"):
        PairTokenizer(checkpoint, other)
