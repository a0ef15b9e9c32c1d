"""The tokens of spans: their positions, their windows, and their input embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModel

from bertvectorizer.errors import InvalidParameterError, UnsupportedModelError
from bertvectorizer.features.inputs.documents import read_documents
from bertvectorizer.models import open_checkpoint
from bertvectorizer.models.checkpoint.span_tokens import (
    SpanTokenizer,
    TokenizedSpans,
    input_vectors,
)
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from tests.plain import overlapping
from tests.tiny import ModelFactory, save_sentence_transformer
from tests.tolerance import tolerance

pytestmark = pytest.mark.numeric

TEXTS = ["The old bat flew in the night.", "A bat hit the ball, the bat!", "unbats"]
SPANS = [[8, 11], [20, 30], [24, 27], [0, 6]]
OWNERS = [0, 0, 1, 2]


def tokenizer_of(directory: Path, *options: Any, **more: Any) -> SpanTokenizer:
    checkpoint = open_checkpoint(directory)
    return SpanTokenizer(checkpoint, load_tokenizer(checkpoint), *options, **more)


def find_spans(
    directory: Path,
    texts: list[str],
    spans: list[list[int]],
    owners: list[int] | None = None,
    *options: Any,
    **more: Any,
) -> TokenizedSpans:
    """Find spans, each in a text of its own by default."""
    own = np.arange(len(spans)) if owners is None else np.array(owners, dtype=np.int64)
    return tokenizer_of(directory, *options, **more)(
        texts, np.array(spans, dtype=np.int64).reshape(-1, 2), own
    )


def hugging_face(directory: Path) -> Any:
    """The library's own tokenizer."""
    return load_tokenizer(open_checkpoint(directory))


def ids_of(directory: Path, *words: str) -> list[int]:
    ids: list[int] = hugging_face(directory).convert_tokens_to_ids(list(words))
    return ids


def ids_in(tokens: TokenizedSpans, row: int) -> list[int]:
    """The tokens of a span, read off its sequence."""
    sequence = tokens.ids[slice(*tokens.offsets[tokens.sequence[row] :][:2])]
    found: list[int] = sequence[slice(*tokens.bounds[row])].tolist()
    return found


@pytest.fixture(scope="module")
def bert(tiny_model: ModelFactory) -> Path:
    return tiny_model("bert")


def test_spans_of_one_text_share_a_sequence(bert: Path) -> None:
    tokens = find_spans(bert, TEXTS, SPANS, OWNERS)
    assert tokens.sequence.tolist() == [0, 0, 1, 2]
    assert (tokens.ids.dtype, tokens.offsets.dtype, tokens.bounds.dtype) == (
        np.int32,
        np.int64,
        np.int64,
    )
    assert len(tokens.offsets) == 4
    assert tokens.counts.tolist() == [1, 3, 1, 5]
    plain = hugging_face(bert)(TEXTS)["input_ids"]
    assert [
        tokens.ids[start:end].tolist()
        for start, end in zip(tokens.offsets, tokens.offsets[1:], strict=False)
    ] == plain
    assert ids_in(tokens, 0) == ids_in(tokens, 2) == ids_of(bert, "bat")
    assert ids_in(tokens, 3) == ids_of(bert, "un", "##b", "##a", "##t", "##s")


def test_nothing_has_no_tokens(bert: Path) -> None:
    nothing = find_spans(bert, [], [])
    assert (nothing.ids.shape, nothing.offsets.tolist(), nothing.bounds.shape) == (
        (0,),
        [0],
        (0, 2),
    )
    assert input_vectors(open_checkpoint(bert), nothing).shape == (0, 32)
    assert find_spans(bert, ["a bat", "bats"], []).offsets.tolist() == [0], (
        "a text that no span is in is not read"
    )


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_texts_are_found_whatever_the_number_at_once(
    tiny_model: ModelFactory, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [*TEXTS, "", "the " * 300, "a bat"]
    spans, owners = [*SPANS, [0, 3], [800, 803], [2, 5]], [*OWNERS, 4, 4, 5]
    expected = find_spans(tiny_model(family), texts, spans, owners)
    monkeypatch.setattr("bertvectorizer.models.checkpoint.span_tokens._TEXTS_AT_ONCE", 2)
    found = find_spans(tiny_model(family), texts, spans, owners)
    for name in ("ids", "offsets", "sequence", "bounds"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("n_before", [0, 70, 5000])
@pytest.mark.parametrize("n_after", [0, 70, 5000])
def test_a_long_text_is_read_around_the_word(bert: Path, n_before: int, n_after: int) -> None:
    text = "the " * n_before + "bat" + " old" * n_after
    tokens = find_spans(bert, [text], [[4 * n_before, 4 * n_before + 3]], overlap=0.75)
    length = tokens.offsets[1]
    assert length == min(128, n_before + n_after + 3)
    begin, stop = tokens.bounds[0]
    assert tokens.ids[begin:stop].tolist() == ids_of(bert, "bat")
    assert tokens.ids[[0, -1]].tolist() == [2, 3]
    if n_before == n_after == 5000:
        assert abs(begin - 64) <= 16, "half a step of a quarter of the window"


def test_two_places_far_apart_in_a_long_text_get_windows_of_their_own(bert: Path) -> None:
    text = "bat " + "the " * 400 + "bat"
    tokens = find_spans(bert, [text], [[0, 3], [len(text) - 3, len(text)]], [0, 0])
    assert tokens.sequence.tolist() == [0, 1]
    assert len(tokens.offsets) == 3, "windows that no span needs are left out"


def test_places_near_each_other_in_a_long_text_share_a_window(bert: Path) -> None:
    text = "the " * 400
    tokens = find_spans(bert, [text], [[4 * word, 4 * word + 3] for word in range(400)], [0] * 400)
    assert np.all(np.diff(tokens.sequence) >= 0)
    assert len(tokens.offsets) - 1 == 1 + -(-(400 - 126) // (126 - 31))
    assert tokens.counts.tolist() == [1] * 400


def test_a_span_longer_than_the_model_reads_is_read_as_far_as_it_goes(bert: Path) -> None:
    tokens = find_spans(bert, ["the " * 300], [[40, 1160]])
    assert tokens.bounds.tolist() == [[1, 127]]
    assert find_spans(bert, ["the " * 300 + "x"], [[0, 1201]]).bounds.tolist() == [[1, 127]]


@settings(max_examples=200)
@given(
    words=st.lists(st.text("abcxyz", min_size=1, max_size=7), min_size=1, max_size=25),
    max_length=st.integers(3, 14),
    stride=st.integers(0, 11),
    blank=st.integers(0, 30),
)
def test_each_span_is_read_in_the_window_with_most_text_around_it(
    bert: Path, words: list[str], max_length: int, stride: int, blank: int
) -> None:
    room = max_length - 2
    stride = min(stride, room - 1)
    text, spans = " ".join(words), []
    for word in words:
        start = spans[-1][1] + 1 if spans else 0
        spans.append([start, start + len(word)])
    if blank < len(spans):
        spans[blank] = [0, 0]
    found = find_spans(bert, [text], spans, [0] * len(spans), max_length=max_length, stride=stride)
    encoded = hugging_face(bert)(text, add_special_tokens=False, return_offsets_mapping=True)
    body, offsets = encoded["input_ids"], encoded["offset_mapping"]
    last = max(len(body) - room, 0)
    grid = [*range(0, last, room - stride), last]
    windows = set()
    for row, (start, end) in enumerate(spans):
        tokens = overlapping(offsets, start, end) if start < end else []
        assert ids_in(found, row) == [body[token] for token in tokens][:room]
        if not tokens:
            assert found.bounds[row].tolist() == [0, 0]
            continue
        window = tokens[0] - (int(found.bounds[row, 0]) - 1)
        sequence = found.ids[slice(*found.offsets[found.sequence[row] :][:2])].tolist()
        assert sequence == [2, *body[window : window + room], 3]
        windows.add(window)

        def context(of: int, tokens: list[int] = tokens) -> float:
            return min(
                tokens[0] - of if of else np.inf,
                of + room - 1 - tokens[-1] if of < last else np.inf,
            )

        holding = [of for of in grid if of <= tokens[0] and tokens[-1] < of + room]
        if holding:
            assert window in holding
            assert context(window) == max(map(context, holding))
        elif len(tokens) < room:
            everywhere = [
                of for of in range(last + 1) if of <= tokens[0] and tokens[-1] < of + room
            ]
            assert context(window) == max(map(context, everywhere)), (
                "a window of its own has the span in its middle"
            )
        else:
            assert window == min(tokens[0], last)
    assert len(found.offsets) - 1 == len(windows)


@settings(max_examples=60)
@given(
    documents=st.lists(
        st.lists(st.text(max_size=4) | st.sampled_from(["bats", "The", "n't"]), max_size=12),
        max_size=4,
    ),
    max_length=st.integers(4, 60),
)
def test_first_tokens_of_words_are_those_of_the_library(
    default_model_directory: Path, bert: Path, documents: list[list[str]], max_length: int
) -> None:
    read = read_documents(documents)
    for directory in (default_model_directory, bert):
        tokens = tokenizer_of(directory, "", max_length)(read.texts, read.spans, read.owners)
        assert np.all(tokens.lengths <= max_length)
        sequences = [part.tolist() for part in np.split(tokens.ids, tokens.offsets[1:-1])]
        own, expected = hugging_face(directory), []
        for words in read.nested:
            whole = own(words, is_split_into_words=True) if words else None
            numbers = whole.word_ids() if whole else []
            expected += [
                whole["input_ids"][numbers.index(word)] if word in numbers else -1
                for word in range(len(words))
            ]
            if len(numbers) <= max_length and any(number is not None for number in numbers):
                assert whole["input_ids"] in sequences
        first = tokens.first_tokens
        assert np.where(first < 0, -1, np.append(tokens.ids, 0)[first]).tolist() == expected


@pytest.fixture(scope="module")
def lowering(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that lowers texts itself, and has a prompt."""
    directory = tmp_path_factory.mktemp("lowering") / "own"
    save_sentence_transformer(bert, directory, prompts={"q": "find: "}, default_prompt_name="q")
    (config,) = directory.rglob("sentence_bert_config.json")
    config.write_text('{"max_seq_length": 128, "do_lower_case": true}')
    return directory


@pytest.mark.parametrize(
    "text",
    [
        # A pair that becomes one character, and letters that become two
        "\ud83e\udd87 q \u0130\u0130 k",
        "\ud83e\udd87 q \u0130 k",  # as many as before, but elsewhere
        "\u0130 q \ud83e\udd87 k",
        "\ud83e\udd87\ud83e\udd87 Q \ud83e\udd87 K",
        "\ud83e q \udd87 k",  # lone ones
        "\u0391\u03a3 Q \u0391\u03a3' k",  # a letter that lowers in two ways
    ],
)
def test_prompt_surrogates_and_lower_case_move_no_span(lowering: Path, text: str) -> None:
    assert open_checkpoint(lowering).do_lower_case
    spans = [[index, index + 1] for index in (text.replace("Q", "q").index("q"), len(text) - 1)]
    tokens = find_spans(lowering, [text], spans, [0, 0])
    assert [ids_in(tokens, row) for row in range(2)] == [
        [token] for token in ids_of(lowering, "q", "k")
    ]
    assert len(tokens.ids) > len(find_spans(lowering, [text], spans, [0, 0], prompt="").ids)
    assert len(tokens.offsets) == 2


def test_the_prompt_stands_before_every_window(lowering: Path) -> None:
    text = "the " * 300 + "bat"
    tokens = find_spans(lowering, [text], [[0, 3], [1200, 1203]], [0, 0])
    prompt = hugging_face(lowering)("find: ")["input_ids"][:-1]
    assert tokens.lengths.tolist() == [128, 128]
    for start in tokens.offsets[:-1]:
        assert tokens.ids[start : start + len(prompt)].tolist() == prompt
    assert tokens.bounds[0].tolist() == [len(prompt), len(prompt) + 1]
    assert ids_in(tokens, 1) == ids_of(lowering, "bat")


@pytest.mark.parametrize("span", [[3, 4], [3, 3], [3, 5], [8, 8]])
def test_what_holds_no_token_has_no_bounds(bert: Path, span: list[int]) -> None:
    tokens = find_spans(bert, ["the  bat"], [span])
    assert tokens.bounds.tolist() == [[0, 0]]
    assert tokens.offsets.tolist() == [0], "and is read nowhere"
    assert not input_vectors(
        open_checkpoint(bert), find_spans(bert, ["the  bat"], [[0, 3], span], [0, 0])
    )[1].any()


def test_the_input_vector_is_the_same_wherever_a_word_stands(tiny_model: ModelFactory) -> None:
    albert = tiny_model("albert")
    vectors = input_vectors(
        open_checkpoint(albert), find_spans(albert, TEXTS[:2], [SPANS[0], SPANS[2]])
    )
    assert vectors.shape == (2, 16), "ALBERT's words are narrower than its layers"
    np.testing.assert_array_equal(vectors[0], vectors[1])
    words = AutoModel.from_pretrained(albert).get_input_embeddings().weight.detach().numpy()
    np.testing.assert_allclose(vectors[0], words[ids_of(albert, "bat")[0]], atol=tolerance(1))


def test_the_input_vector_of_several_tokens_is_their_mean(bert: Path) -> None:
    vectors = input_vectors(open_checkpoint(bert), find_spans(bert, TEXTS, SPANS, OWNERS))
    words = AutoModel.from_pretrained(bert).get_input_embeddings().weight.detach().numpy()
    np.testing.assert_allclose(
        vectors[1], words[ids_of(bert, "the", "night", ".")].mean(axis=0), atol=tolerance(3)
    )


@settings(max_examples=40)
@given(text=st.text(st.characters(exclude_categories=[]), min_size=1, max_size=30), data=st.data())
def test_any_span_of_any_text_has_bounds_inside_its_sequence(
    lowering: Path, text: str, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    tokens = find_spans(lowering, [text], [[start, end]])
    begin, stop = tokens.bounds[0]
    assert 0 <= begin <= stop <= len(tokens.ids)
    assert begin == stop or (begin >= 1 and stop <= len(tokens.ids) - 1), (
        "special tokens belong to no span"
    )


@settings(max_examples=60)
@given(
    texts=st.lists(
        st.text(
            st.characters(exclude_categories=["Cs"]) | st.sampled_from("aİ \u0301我"), max_size=20
        ),
        max_size=5,
    ),
    data=st.data(),
)
def test_the_tokens_of_a_span_are_those_that_overlap_it(
    bert: Path, texts: list[str], data: st.DataObject
) -> None:
    owners = (
        sorted(data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=6))) if texts else []
    )
    spans = [
        sorted(data.draw(st.tuples(*2 * [st.integers(0, len(texts[owner]))]))) for owner in owners
    ]
    found = find_spans(bert, texts, spans, owners)
    for row, (owner, (start, end)) in enumerate(zip(owners, spans, strict=True)):
        encoded = hugging_face(bert)(texts[owner], return_offsets_mapping=True)
        tokens = overlapping(encoded["offset_mapping"], start, end) if start < end else []
        assert found.bounds[row].tolist() == ([tokens[0], tokens[-1] + 1] if tokens else [0, 0])
        assert ids_in(found, row) == [encoded["input_ids"][token] for token in tokens] or not tokens


@pytest.mark.parametrize("span", [[-1, 2], [3, 2], [0, 7], [7, 7]])
def test_a_span_outside_its_text_is_refused(bert: Path, span: list[int]) -> None:
    with pytest.raises(InvalidParameterError, match=r"that of row 1 has 6 characters.* Got \("):
        find_spans(bert, ["unbats", "unbats"], [[0, 1], span])


def test_a_tokenizer_without_offsets_is_refused(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "transformers.PreTrainedTokenizerFast.is_fast", property(lambda self: False)
    )
    with pytest.raises(UnsupportedModelError, match="does not return the offsets"):
        tokenizer_of(bert)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 2}, r"'max_length' parameter must be an int in the range \[3, inf\)"),
        (
            {"max_length": 10, "stride": 8},
            r"'stride' parameter must be smaller than the 8 tokens of a window. Got 8",
        ),
        ({"prompt": "bat " * 200}, r"'prompt' parameter must be shorter than the 126 tokens"),
        (
            {"prompt": "bat ", "max_length": 3},
            r"'max_length' parameter must be an int in the range \[4, inf\)",
        ),
    ],
)
def test_a_window_must_have_room(bert: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        tokenizer_of(bert, **options)
