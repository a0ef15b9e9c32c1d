"""Tests of models/language/corpus.py."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from bertvectorizer.errors import StoreError
from bertvectorizer.models import TextTokenizer, open_checkpoint
from bertvectorizer.models.checkpoint.text_tokens import TokenBeyondTableError, load_tokenizer
from bertvectorizer.models.language import corpus as module
from bertvectorizer.models.language.corpus import Corpus
from tests.processes import Process
from tests.tiny import ModelFactory, save_model

DOCUMENTS = [["The old bats flew.", "", "un\ud800s"], [], ["a bat in the night"], "hitting"]


@pytest.fixture(scope="module")
def tokenizer(tiny_model: ModelFactory) -> TextTokenizer:
    checkpoint = open_checkpoint(str(tiny_model("bert")))
    return TextTokenizer(checkpoint, load_tokenizer(checkpoint), "")


def test_tokens_are_those_of_the_tokenizer_and_chunks_change_nothing(
    tokenizer: TextTokenizer, tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus(tokenizer, DOCUMENTS)
    texts = [*DOCUMENTS[0], *DOCUMENTS[2], DOCUMENTS[3]]
    own = load_tokenizer(open_checkpoint(str(tiny_model("bert"))))
    expected = [
        own(text.replace("\ud800", "\ufffd"), add_special_tokens=False)["input_ids"]
        for text in texts
    ]
    assert [part.tolist() for part in np.split(corpus.ids, corpus.offsets[1:-1])] == expected
    assert corpus.documents.tolist() == [0, 3, 3, 4, 5]
    assert (corpus.n_texts, corpus.n_documents) == (5, 4)
    pieces = own.convert_ids_to_tokens(corpus.ids.tolist())
    assert corpus.starts_word.tolist() == [not piece.startswith("##") for piece in pieces]
    assert not corpus.starts_word.all()
    with pytest.raises(ValueError, match="read-only"):
        corpus.ids[0] = 1

    monkeypatch.setattr(module, "_TEXTS_AT_ONCE", 2)
    again = Corpus(tokenizer, iter(DOCUMENTS))
    assert again.digest == corpus.digest
    assert again.ids.tolist() == corpus.ids.tolist()
    flat = Corpus(tokenizer, texts)
    assert flat.ids.tolist() == corpus.ids.tolist()
    assert flat.digest != corpus.digest  # of which texts make up a document


def test_words_of_bytes_and_of_sentencepiece_begin_where_they_do(
    tokenizer: TextTokenizer, tmp_path: Path
) -> None:
    import transformers as hf
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokens = dict.fromkeys(["<unk>", *"\u2581\u0120abcd,", "\u2581a", "\u0120a", "bc"])
    vocabulary = {token: number for number, token in enumerate(tokens)}
    merges = [("\u2581", "a"), ("\u0120", "a"), ("b", "c")]

    def starts(text: str, own: Tokenizer) -> list[tuple[str, bool]]:
        directory = save_model("bert", tmp_path / own.to_str()[-9:-6].replace("/", "_"))
        hf.PreTrainedTokenizerFast(tokenizer_object=own, unk_token="<unk>").save_pretrained(
            directory
        )
        checkpoint = open_checkpoint(str(directory))
        loaded = load_tokenizer(checkpoint)
        ids, begins, _ = TextTokenizer(checkpoint, loaded, "").words_of([text])
        return list(zip(loaded.convert_ids_to_tokens(ids.tolist()), begins.tolist(), strict=True))

    byte_level = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_level.decoder = decoders.ByteLevel()
    assert starts("bcd abc,", byte_level) == [
        ("bc", True), ("d", False), ("\u0120a", True), ("bc", False), (",", True)
    ]  # fmt: skip
    # As of Llama: the mark is all that tells words.
    marks = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
    marks.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    assert starts("abc ad", marks) == [
        ("\u2581a", True), ("bc", False), ("\u2581a", True), ("d", False)
    ]  # fmt: skip


def test_memory_does_not_grow_with_the_texts(
    tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TEXTS_AT_ONCE", 64)

    def peak(n_texts: int) -> int:
        tracemalloc.start()
        Corpus(tokenizer, ("the old bats flew in the night " * 8 for _ in range(n_texts)))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(64)
    # 62 tokens and 250 characters a text; 8 bytes of each stay in memory.
    assert peak(1280) - peak(128) < 1152 * 62


def test_nothing_is_left_after_a_kill_an_error_or_the_end(
    tokenizer: TextTokenizer, tmp_path: Path, tiny_model: ModelFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    code = """
import sys
from bertvectorizer.models import TextTokenizer, open_checkpoint
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.language import corpus
corpus._TEXTS_AT_ONCE = 2
def texts():
    yield from ["a bat"] * 100
    print("written", flush=True)
    input()
checkpoint = open_checkpoint(sys.argv[1])
corpus.Corpus(TextTokenizer(checkpoint, load_tokenizer(checkpoint), ""), texts())
"""
    with Process("-c", code, tiny_model("bert"), TMPDIR=tmp_path) as process:
        assert process.read_line() == "written"
        process.kill()
        process.wait()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def broken() -> Iterator[str]:
        yield "a bat"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Corpus(tokenizer, broken())
    corpus = Corpus(tokenizer, ["a bat"])
    assert corpus.ids.tolist() == [11, 5]
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_our_error(
    tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_full_disk() -> IO[Any]:
        return os.fdopen(os.open("/dev/full", os.O_RDWR), "r+b", buffering=0)

    monkeypatch.setattr(tempfile, "TemporaryFile", on_full_disk)
    with pytest.raises(StoreError, match=r"No space left.*TMPDIR"):
        Corpus(tokenizer, ["a bat"])


def test_no_tokens_and_unknown_ones(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    empty = Corpus(tokenizer, ["", []])
    assert (len(empty.ids), empty.offsets.tolist(), empty.n_documents) == (0, [0, 0], 2)
    checkpoint = open_checkpoint(str(save_model("bert", tmp_path / "few", vocab_size=8)))
    few = TextTokenizer(checkpoint, load_tokenizer(checkpoint), "")
    with pytest.raises(TokenBeyondTableError, match="'the bat'"):
        Corpus(few, ["bat", "the bat"])
