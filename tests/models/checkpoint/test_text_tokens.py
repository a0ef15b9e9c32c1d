"""Tests of models/checkpoint/text_tokens.py."""

from __future__ import annotations

import dataclasses
import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from bertvectorizer.errors import InvalidParameterError, ModelIntegrityError, UnsupportedModelError
from bertvectorizer.models import (
    Checkpoint,
    TextTokenizer,
    TokenizedTexts,
    Truncation,
    open_checkpoint,
)
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer, replace_lone_surrogates
from tests.tiny import ModelFactory, save_sentence_transformer

LONG = "the old bat flew in the night and hit the crane of the river bank. money in un bank s ing"
CLS, SEP = 2, 3


@pytest.fixture(scope="module")
def checkpoint(tiny_model: ModelFactory) -> Checkpoint:
    return open_checkpoint(str(tiny_model("bert")))


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Checkpoint) -> Any:
    return load_tokenizer(checkpoint)


def sequences(tokenized: TokenizedTexts) -> list[list[int]]:
    return [part.tolist() for part in np.split(tokenized.ids, tokenized.offsets[1:-1])]


def windows_of(tokenized: TokenizedTexts, text: int = 0) -> list[list[int]]:
    first, last = tokenized.first_window[text : text + 2]
    return sequences(tokenized)[first:last]


class TestTruncate:
    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        texts=st.lists(
            st.one_of(st.text(max_size=60), st.text("bat crane of the.", max_size=200)),
            min_size=1,
            max_size=5,
        ),
        max_length=st.integers(3, 40),
        side=st.sampled_from(["right", "left"]),
    )
    def test_wild_texts_equal_the_tokenizer_s_own_truncation(
        self,
        checkpoint: Checkpoint,
        tiny_model: ModelFactory,
        texts: list[str],
        max_length: int,
        side: str,
    ) -> None:
        own = AutoTokenizer.from_pretrained(tiny_model("bert"), truncation_side=side)
        tokenized = TextTokenizer(checkpoint, own, max_length=max_length)(texts)
        expected = own(
            [replace_lone_surrogates(text) for text in texts],
            truncation=True,
            max_length=max_length,
        )["input_ids"]
        assert sequences(tokenized) == expected
        whole = [
            own(replace_lone_surrogates(text), add_special_tokens=False)["input_ids"]
            for text in texts
        ]
        lost = [max(0, len(tokens) - (max_length - 2)) for tokens in whole]
        assert tokenized.truncation == Truncation(
            len(texts), np.count_nonzero(lost), sum(map(len, whole)), sum(lost)
        )

    @pytest.mark.parametrize("family", ["bert", "roberta", "gpt2"])
    def test_without_a_requested_limit_the_checkpoint_s_own_holds(
        self, tiny_model: ModelFactory, family: str
    ) -> None:
        checkpoint = open_checkpoint(str(tiny_model(family)))
        tokenizer = TextTokenizer(checkpoint, load_tokenizer(checkpoint))
        assert tokenizer.max_length == 128
        assert tokenizer([LONG * 20]).lengths.tolist() == [128]

    @pytest.mark.parametrize(("own", "limit"), [(12, 12), (1000, 512), (None, 128)])
    def test_a_sentence_transformer_s_limit_holds_up_to_the_positions(
        self, checkpoint: Checkpoint, tokenizer: Any, own: int | None, limit: int
    ) -> None:
        assert (
            TextTokenizer(dataclasses.replace(checkpoint, max_seq_length=own), tokenizer).max_length
            == limit
        )

    def test_a_tokenizer_without_a_limit_leaves_that_of_the_positions(
        self, tiny_model: ModelFactory
    ) -> None:
        checkpoint = open_checkpoint(str(tiny_model("roberta")))
        tokenizer = AutoTokenizer.from_pretrained(checkpoint.directory, model_max_length=int(1e30))
        assert TextTokenizer(checkpoint, tokenizer).max_length == 128

    def test_a_requested_limit_may_pass_the_tokenizer_s_but_not_the_positions(
        self, checkpoint: Checkpoint, tokenizer: Any
    ) -> None:
        assert TextTokenizer(checkpoint, tokenizer, max_length=512)(
            [LONG * 40]
        ).lengths.tolist() == [512]
        with pytest.raises(
            InvalidParameterError,
            match=(
                r"'max_length' parameter must be at most 512, the number of positions .*\. Got 513"
            ),
        ):
            TextTokenizer(checkpoint, tokenizer, max_length=513)

    @pytest.mark.parametrize("max_length", [2, 0, -1, 8.0, True, "8"])
    def test_what_leaves_no_room_or_is_no_length_is_refused(
        self, checkpoint: Checkpoint, tokenizer: Any, max_length: Any
    ) -> None:
        with pytest.raises(
            InvalidParameterError,
            match=r"'max_length' parameter must be an int in the range \[3, inf\) or None",
        ):
            TextTokenizer(checkpoint, tokenizer, max_length=max_length)

    def test_texts_that_fit_lose_nothing(self, checkpoint: Checkpoint, tokenizer: Any) -> None:
        tokenized = TextTokenizer(checkpoint, tokenizer, max_length=5)(["the old bat", "crane"])
        assert tokenized.truncation == Truncation(n_texts=2, n_truncated=0, n_tokens=4, n_lost=0)
        assert tokenized.truncation.share_lost == 0


class TestHeadTail:
    def test_a_quarter_from_the_start_and_the_rest_from_the_end(
        self, checkpoint: Checkpoint, tokenizer: Any
    ) -> None:
        body = tokenizer(LONG, add_special_tokens=False)["input_ids"]
        tokenized = TextTokenizer(checkpoint, tokenizer, max_length=10, overflow="head_tail")(
            [LONG, "the bat"]
        )
        assert sequences(tokenized) == [
            [CLS, *body[:2], *body[-6:], SEP],
            tokenizer("the bat")["input_ids"],
        ]
        assert tokenized.truncation == Truncation(2, 1, len(body) + 2, len(body) - 8)
        assert tokenized.truncation.share_lost == (len(body) - 8) / (len(body) + 2)

    @pytest.mark.parametrize("max_length", [3, 4, 5])
    def test_where_there_is_hardly_room(
        self, checkpoint: Checkpoint, tokenizer: Any, max_length: int
    ) -> None:
        body = tokenizer(LONG, add_special_tokens=False)["input_ids"]
        tokenized = TextTokenizer(
            checkpoint, tokenizer, max_length=max_length, overflow="head_tail"
        )([LONG])
        assert sequences(tokenized) == [[CLS, *body[-(max_length - 2) :], SEP]]


class TestWindow:
    @settings(max_examples=150)
    @given(words=st.integers(0, 60), room=st.integers(1, 20), data=st.data())
    def test_each_token_is_covered_and_neighbours_share_the_stride(
        self, checkpoint: Checkpoint, tokenizer: Any, words: int, room: int, data: st.DataObject
    ) -> None:
        stride = data.draw(st.integers(0, room - 1))
        text = " ".join(
            ["bat", "crane", "river", "bank", "money", "the", "a", "of"][number % 7]
            for number in range(words)
        )
        body = tokenizer(text, add_special_tokens=False)["input_ids"]
        tokenized = TextTokenizer(
            checkpoint, tokenizer, max_length=room + 2, overflow="window", stride=stride
        )([text, "bat"])
        parts = windows_of(tokenized)
        assert all(part[0] == CLS and part[-1] == SEP and len(part) <= room + 2 for part in parts)
        together = parts[0][1:-1]
        for before, part in pairwise(parts):
            assert len(before) == room + 2
            assert before[1:-1][room - stride :] == part[1:-1][:stride]
            assert len(part) > stride + 2
            together += part[1:-1][stride:]
        assert together == body
        assert windows_of(tokenized, 1) == [tokenizer("bat")["input_ids"]]
        assert tokenized.truncation == Truncation(2, 0, words + 1, 0)

    def test_without_a_stride_neighbours_share_a_quarter(
        self, checkpoint: Checkpoint, tokenizer: Any
    ) -> None:
        parts = windows_of(
            TextTokenizer(checkpoint, tokenizer, max_length=10, overflow="window")([LONG])
        )
        assert parts[0][-3:-1] == parts[1][1:3]
        assert parts == windows_of(
            TextTokenizer(checkpoint, tokenizer, max_length=10, overflow="window", stride=2)([LONG])
        )

    @pytest.mark.parametrize("stride", [8, 9, 100])
    def test_a_stride_as_long_as_a_window_is_refused(
        self, checkpoint: Checkpoint, tokenizer: Any, stride: int
    ) -> None:
        with pytest.raises(
            InvalidParameterError,
            match="'stride' parameter must be smaller than the 8 tokens of a window",
        ):
            TextTokenizer(checkpoint, tokenizer, max_length=10, overflow="window", stride=stride)

    @pytest.mark.parametrize("overflow", ["window", "truncate"])
    @pytest.mark.parametrize("stride", [-1, 1.0, "2", True])
    def test_what_is_no_stride_is_refused(
        self, checkpoint: Checkpoint, tokenizer: Any, stride: Any, overflow: str
    ) -> None:
        with pytest.raises(
            InvalidParameterError,
            match=r"'stride' parameter must be an int in the range \[0, inf\)",
        ):
            TextTokenizer(checkpoint, tokenizer, overflow=overflow, stride=stride)


@pytest.mark.parametrize("overflow", ["cut", None, "TRUNCATE", True])
def test_what_is_no_overflow_is_refused(
    checkpoint: Checkpoint, tokenizer: Any, overflow: Any
) -> None:
    with pytest.raises(
        InvalidParameterError,
        match="'overflow' parameter must be one of 'truncate', 'head_tail', 'window'",
    ):
        TextTokenizer(checkpoint, tokenizer, overflow=overflow)


class TestPrompt:
    def with_prompts(self, checkpoint: Checkpoint, include_prompt: bool = True) -> Checkpoint:
        return dataclasses.replace(
            checkpoint,
            prompts={"query": "old bat "},
            default_prompt="a ",
            include_prompt=include_prompt,
        )

    @pytest.mark.parametrize(
        ("prompt", "text"),
        [(None, "a crane"), ("query", "old bat crane"), ("the ", "the crane"), ("", "crane")],
    )
    def test_it_stands_before_every_text(
        self, checkpoint: Checkpoint, tokenizer: Any, prompt: str | None, text: str
    ) -> None:
        tokenized = TextTokenizer(self.with_prompts(checkpoint), tokenizer, prompt)(["crane"])
        assert sequences(tokenized) == [tokenizer(text)["input_ids"]]
        assert tokenized.n_prompt_tokens == 0

    @pytest.mark.parametrize(("prompt", "n_prompt_tokens"), [(None, 2), ("query", 3), ("", 0)])
    def test_tokens_to_leave_out_include_the_special_ones_before(
        self, checkpoint: Checkpoint, tokenizer: Any, prompt: str | None, n_prompt_tokens: int
    ) -> None:
        tokenized = TextTokenizer(
            self.with_prompts(checkpoint, include_prompt=False), tokenizer, prompt
        )(["crane"])
        assert tokenized.n_prompt_tokens == n_prompt_tokens

    @pytest.mark.parametrize("overflow", ["head_tail", "window"])
    def test_it_stays_whole_before_every_piece_of_a_long_text(
        self, checkpoint: Checkpoint, tokenizer: Any, overflow: str
    ) -> None:
        """So that what is left out of the pooling is the prompt, never the text."""
        prompt = tokenizer("old bat", add_special_tokens=False)["input_ids"]
        tokenized = TextTokenizer(
            self.with_prompts(checkpoint, False),
            tokenizer,
            "query",
            max_length=8,
            overflow=overflow,
            stride=0,
        )([LONG])
        parts = sequences(tokenized)
        assert len(parts) > 1 if overflow == "window" else len(parts) == 1
        assert all(part[1:3] == prompt for part in parts)
        body = tokenizer(LONG, add_special_tokens=False)["input_ids"]
        kept = [token for part in parts for token in part[3:-1]]
        assert kept == body if overflow == "window" else kept == body[:1] + body[-3:]

    @pytest.mark.parametrize("overflow", ["head_tail", "window"])
    def test_a_prompt_that_leaves_no_room_is_refused(
        self, checkpoint: Checkpoint, tokenizer: Any, overflow: str
    ) -> None:
        with pytest.raises(
            InvalidParameterError,
            match=r"'max_length' parameter must be an int in the range \[5, inf\)",
        ):
            TextTokenizer(
                self.with_prompts(checkpoint), tokenizer, "query", max_length=4, overflow=overflow
            )

    @pytest.mark.parametrize("prompt", [1, b"query", ["query"], True])
    def test_what_is_no_prompt_is_refused(
        self, checkpoint: Checkpoint, tokenizer: Any, prompt: Any
    ) -> None:
        with pytest.raises(InvalidParameterError, match="'prompt' parameter must be a str or None"):
            TextTokenizer(checkpoint, tokenizer, prompt)


class TestTexts:
    def test_empty_texts_hold_the_special_tokens_alone(
        self, checkpoint: Checkpoint, tokenizer: Any
    ) -> None:
        assert sequences(TextTokenizer(checkpoint, tokenizer)(["", " \n\t", "bat"])) == [
            [CLS, SEP],
            [CLS, SEP],
            [CLS, 5, SEP],
        ]

    def test_empty_texts_without_special_tokens_hold_nothing(
        self, tiny_model: ModelFactory
    ) -> None:
        checkpoint = open_checkpoint(str(tiny_model("gpt2")))
        tokenized = TextTokenizer(checkpoint, load_tokenizer(checkpoint))(["", "bat", ""])
        assert tokenized.lengths.tolist() == [0, 1, 0]
        assert tokenized.first_window.tolist() == [0, 1, 2, 3]

    def test_no_texts(self, checkpoint: Checkpoint, tokenizer: Any) -> None:
        tokenized = TextTokenizer(checkpoint, tokenizer)([])
        assert (
            len(tokenized.ids),
            tokenized.offsets.tolist(),
            tokenized.first_window.tolist(),
        ) == (0, [0], [0])
        assert tokenized.truncation == Truncation(0, 0, 0, 0)
        assert tokenized.truncation.share_lost == 0

    def test_many_texts_equal_each_by_itself(self, checkpoint: Checkpoint, tokenizer: Any) -> None:
        """More than are given to the tokenizer at once."""
        texts = [" ".join(["bat"] * (number % 23)) for number in range(5000)]
        tokenized = TextTokenizer(checkpoint, tokenizer, max_length=12, overflow="window")(texts)
        assert len(tokenized.first_window) == 5001
        alone = TextTokenizer(checkpoint, tokenizer, max_length=12, overflow="window")
        for number in (0, 22, 2047, 2048, 2049, 4096, 4999):
            assert windows_of(tokenized, number) == sequences(alone([texts[number]]))

    def test_types(self, checkpoint: Checkpoint, tokenizer: Any) -> None:
        tokenized = TextTokenizer(checkpoint, tokenizer)(["bat"])
        assert (tokenized.ids.dtype, tokenized.offsets.dtype, tokenized.first_window.dtype) == (
            np.int32,
            np.int64,
            np.int64,
        )

    @pytest.mark.parametrize("surrogate", ["\ud800", "a\udfff", "\udc80\ud800"])
    def test_lone_surrogates_are_read_as_the_replacement_character(
        self, checkpoint: Checkpoint, tokenizer: Any, surrogate: str
    ) -> None:
        split = TextTokenizer(checkpoint, tokenizer)
        replaced = "".join(
            "\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in surrogate
        )
        assert sequences(split([f"bat {surrogate}"])) == sequences(split(["bat " + replaced]))

    def test_a_pair_of_surrogates_is_its_character(self) -> None:
        assert replace_lone_surrogates("\ud83d\ude00") == "\U0001f600"
        assert replace_lone_surrogates("bat \U0001f600") == "bat \U0001f600"

    @given(st.text(st.characters(codec=None), max_size=20))
    def test_what_is_replaced_is_valid_and_as_long(self, text: str) -> None:
        replaced = replace_lone_surrogates(text)
        replaced.encode()
        assert len(replaced) <= len(text)
        assert replace_lone_surrogates(replaced) == replaced

    def test_lower_case_where_the_checkpoint_says_so(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        directory = Path(shutil.copytree(tiny_model("bert"), tmp_path / "cased"))
        description = json.loads((directory / "tokenizer.json").read_text())
        description["normalizer"]["lowercase"] = False
        (directory / "tokenizer.json").write_text(json.dumps(description))
        save_sentence_transformer(directory, tmp_path / "saved")
        settings = tmp_path / "saved" / "sentence_bert_config.json"
        for lowers, word in ((False, 1), (True, 5)):
            settings.write_text(json.dumps({"do_lower_case": lowers}))
            checkpoint = open_checkpoint(str(tmp_path / "saved"))
            tokenizer = TextTokenizer(checkpoint, load_tokenizer(checkpoint))
            assert sequences(tokenizer(["Bat [SEP]"])) == [[CLS, word, SEP, SEP]]


class TestRefused:
    def test_token_types_in_a_single_text(
        self, tiny_model: ModelFactory, checkpoint: Checkpoint
    ) -> None:
        from tokenizers.processors import TemplateProcessing

        own = AutoTokenizer.from_pretrained(tiny_model("bert"))
        own.backend_tokenizer.post_processor = TemplateProcessing(
            single="$A:0 [SEP]:0 [CLS]:2", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        with pytest.raises(UnsupportedModelError, match="gives single texts several token types"):
            TextTokenizer(checkpoint, own)

    @pytest.mark.parametrize("content", [None, "{", "{}", "[]"])
    def test_a_missing_or_damaged_tokenizer(
        self, tiny_model: ModelFactory, tmp_path: Path, content: str | None
    ) -> None:
        directory = Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))
        if content is None:
            (directory / "tokenizer.json").unlink()
        else:
            (directory / "tokenizer.json").write_text(content)
        with pytest.raises(
            ModelIntegrityError,
            match=r"The tokenizer in .* cannot be read: .* Download the model again",
        ):
            load_tokenizer(open_checkpoint(str(directory)))

    def test_a_tokenizer_that_was_made_up_for_want_of_files(
        self, tiny_model: ModelFactory, tmp_path: Path
    ) -> None:
        """Transformers returns a BERT tokenizer without words, and every text becomes [UNK]."""
        directory = Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))
        for file in directory.glob("tokenizer*"):
            file.unlink()
        with pytest.raises(ModelIntegrityError, match="knows no words"):
            load_tokenizer(open_checkpoint(str(directory)))


@pytest.mark.parametrize("overflow", ["window", "head_tail"])
def test_a_prompt_that_leaves_no_room_for_text(checkpoint: Checkpoint, overflow: str) -> None:
    with pytest.raises(InvalidParameterError, match="The 'prompt' parameter must be shorter than"):
        TextTokenizer(
            checkpoint, load_tokenizer(checkpoint), prompt="bat " * 400, overflow=overflow
        )
