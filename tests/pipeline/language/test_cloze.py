"""Tests of pipeline/language/cloze.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from bertvectorizer.errors import InvalidParameterError, InvalidTextError
from bertvectorizer.models import TextTokenizer, open_checkpoint
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.pipeline.language.cloze import MaskedTexts, candidate_tokens, read_candidates
from tests.tiny import SIZE, ModelFactory, save_with_head

ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())


def save_roberta(directory: Path) -> Path:
    """Write a model whose tokenizer reads bytes, and marks the tokens that begin a word."""
    whole = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *ALPHABET, "ba", "bat", "Ġb", "Ġbat"]
    vocabulary = {token: number for number, token in enumerate(whole)}
    merges = [("b", "a"), ("ba", "t"), ("Ġ", "b"), ("Ġ", "bat")]
    size = {"vocab_size": len(vocabulary)}
    save_with_head(hf.AutoModelForMaskedLM, "roberta", directory, **size)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), False, False)
    hf.RobertaTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=128, mask_token="<mask>"
    ).save_pretrained(directory)
    return directory


def read(directory: Path, *texts: str) -> tuple[MaskedTexts, TextTokenizer, Any]:
    checkpoint = open_checkpoint(str(directory))
    tokenizer = load_tokenizer(checkpoint)
    reader = TextTokenizer(checkpoint, tokenizer, "")
    return MaskedTexts.of(texts, reader, tokenizer, "row {}".format), reader, tokenizer


def test_masks_are_found_and_filled_in_the_text_as_it_is(tiny_model: ModelFactory) -> None:
    masked, reader, tokenizer = read(tiny_model("bert"), "Un[MASK]  Bat [MASK]!", "[MASK]")
    assert masked.rows.tolist() == [0, 0, 1]
    assert masked.numbers.tolist() == [0, 1, 0]
    assert [masked.around(index) for index in range(3)] == [
        ("Un", "  Bat [MASK]!"),
        ("Un[MASK]  Bat ", "!"),
        ("", ""),
    ]
    tokens = candidate_tokens(["Bat", "##s"], masked, reader, tokenizer)
    assert tokenizer.convert_ids_to_tokens(tokens[0].tolist()) == ["bat", "##s"]
    table = masked.table(tokens, np.array([[0.1, 0.3], [0.2, 0.1], [0.0, 0.1]]), tokenizer)
    assert table["token"].tolist() == ["##s", "bat", "bat", "##s", "##s", "bat"]
    assert table["text"].tolist()[:4] == [
        "Uns  Bat [MASK]!",
        "Unbat  Bat [MASK]!",
        "Un[MASK]  Bat bat!",
        "Un[MASK]  Bats!",
    ]
    named = masked.table(tokens, np.full((3, 2), 0.1), tokenizer, ["Bat", "##s"])
    assert named["text"].tolist()[:2] == ["UnBat  Bat [MASK]!", "Uns  Bat [MASK]!"]
    assert named["share"].tolist() == [0.5] * 6


def test_a_word_has_another_token_after_a_space(tmp_path: Path) -> None:
    masked, reader, tokenizer = read(
        save_roberta(tmp_path / "model"), "[MASK] a <mask>", "a(<mask>)"
    )
    tokens = candidate_tokens([" bat", "b"], masked, reader, tokenizer)
    names = [tokenizer.convert_ids_to_tokens(row) for row in tokens.tolist()]
    assert names == [["bat", "b"], ["Ġbat", "Ġb"], ["bat", "b"]]
    table = masked.table(tokens, np.array([[0.3, 0.1]] * 3), tokenizer)
    assert table["text"].tolist()[::2] == ["bat a <mask>", "<mask> a bat", "a(bat)"]
    other = tokenizer.convert_tokens_to_ids(["Ġbat", "bat", "bat"])
    table = masked.table(np.array(other)[:, None], np.ones((3, 1)), tokenizer)
    assert table["text"].tolist() == ["bat a <mask>", "<mask> abat", "a(bat)"]


def test_texts_without_a_mask(tmp_path: Path, tiny_model: ModelFactory) -> None:
    with pytest.raises(InvalidTextError, match=r"mask, '\[MASK\]', .* 'a \[mask\]' in row 1\."):
        read(tiny_model("bert"), "a [MASK]", "a [mask]")
    with pytest.raises(InvalidTextError, match=r"'<mask>' or '\[MASK\]'.* '' in row 0\."):
        read(save_roberta(tmp_path / "model"), "")


@pytest.mark.parametrize("targets", ["bat", b"bat", [], [""], [None], ["bat", 3], {"bat": 1}, 5])
def test_candidates_are_a_list_of_words(targets: Any) -> None:
    with pytest.raises(InvalidParameterError, match=r"'targets'.*list of different words"):
        read_candidates(targets)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bat", "batman"], r"'batman' is 4 of them: 'bat', '##m', '##a', '##n'.*log_likelihood"),
        (["☃"], "'☃' is not in its vocabulary"),
        (["[SEP]"], "special token"),
        (["bat", "Bat"], "'bat' and 'Bat' are the same"),
    ],
)
def test_candidates_are_single_tokens(
    words: list[str], message: str, tiny_model: ModelFactory
) -> None:
    masked, reader, tokenizer = read(tiny_model("bert"), "a [MASK]")
    assert reader.mask_id is not None
    assert reader.mask_id < SIZE
    with pytest.raises(InvalidParameterError, match=message):
        candidate_tokens(words, masked, reader, tokenizer)
