"""Vectors of words in their texts: the tokens of a span, and their hidden states beside plain Hugging Face's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModel, AutoTokenizer

from bertvectorizer.models import DEFAULT_MODEL, open_checkpoint
from bertvectorizer.models.errors import InvalidParameterError, OutOfMemoryError, UnsupportedModelError
from bertvectorizer.models.spans import input_vectors, span_tokens, span_vectors
from tests.tiny import ModelFactory, save_sentence_transformer

CPU = torch.device("cpu")
TEXTS = ["The old bat flew in the night.", "A bat hit the ball, the bat!", "The old bat flew in the night.", "unbats"]
SPANS = np.array([[8, 11], [24, 27], [22, 29], [0, 6]])


def plain_vectors(directory: Path, texts: list[str], spans: np.ndarray, layer: int) -> np.ndarray:
    """Each text by itself, by the library's own words."""
    tokenizer, model = AutoTokenizer.from_pretrained(directory), AutoModel.from_pretrained(directory).eval()
    rows = []
    for text, (start, end) in zip(texts, spans, strict=True):
        encoded = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
        places = encoded.pop("offset_mapping")[0].tolist()
        with torch.inference_mode():
            states = model(**encoded, output_hidden_states=True).hidden_states[layer][0]
        inside = [number for number, (first, last) in enumerate(places) if first < end and last > start and last > first]
        rows.append(states[inside].mean(dim=0).numpy())
    return np.array(rows)


@pytest.mark.parametrize("family", ["bert", "gpt2", "mpnet"])
@pytest.mark.parametrize("layer", [-2, 0])
def test_vectors_are_those_of_plain_hugging_face(tiny_model: ModelFactory, family: str, layer: int) -> None:
    directory = tiny_model(family)
    checkpoint = open_checkpoint(directory)
    vectors = span_vectors(checkpoint, span_tokens(checkpoint, TEXTS, SPANS), layer, CPU, batch_tokens=20)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, plain_vectors(directory, TEXTS, SPANS, layer), atol=1e-5)


def test_vectors_of_the_default_model(default_model_directory: Path) -> None:
    checkpoint = open_checkpoint(DEFAULT_MODEL, local_files_only=True)
    texts, spans = ["Unbelievably, the bat-like crane flew.", "Its beak is long: a crane!"], np.array([[0, 12], [20, 25]])
    vectors = span_vectors(checkpoint, span_tokens(checkpoint, texts, spans), -2, CPU)
    np.testing.assert_allclose(vectors, plain_vectors(checkpoint.directory, texts, spans, -2), atol=1e-5)


def test_a_text_with_several_spans_is_read_once(tiny_model: ModelFactory) -> None:
    checkpoint = open_checkpoint(tiny_model("bert"))
    tokens = span_tokens(checkpoint, TEXTS, SPANS)
    assert tokens.sequence.tolist() == [0, 1, 0, 2]
    assert len(tokens.offsets) == 4
    nothing = span_tokens(checkpoint, [], np.empty((0, 2), dtype=np.int64))
    assert span_vectors(checkpoint, nothing, -1, CPU).shape == (0, 32)
    assert input_vectors(checkpoint, nothing).shape == (0, 32)


@pytest.mark.parametrize("n_before", [0, 70, 5000])
@pytest.mark.parametrize("n_after", [0, 70, 5000])
def test_a_long_text_is_read_around_the_word(tiny_model: ModelFactory, n_before: int, n_after: int) -> None:
    checkpoint = open_checkpoint(tiny_model("bert"))
    text = "the " * n_before + "bat" + " old" * n_after
    tokens = span_tokens(checkpoint, [text], np.array([[4 * n_before, 4 * n_before + 3]]))
    length = tokens.offsets[1]
    assert length == min(128, n_before + n_after + 3)
    begin, stop = tokens.bounds[0]
    (bat,) = open_vocabulary(checkpoint.directory, "bat")
    assert tokens.ids[begin:stop].tolist() == [bat]
    assert tokens.ids[[0, -1]].tolist() == [2, 3]
    if n_before == n_after == 5000:
        assert abs(begin - 64) <= 1


def test_two_places_far_apart_in_a_long_text_get_windows_of_their_own(tiny_model: ModelFactory) -> None:
    checkpoint = open_checkpoint(tiny_model("bert"))
    text = "bat " + "the " * 400 + "bat"
    tokens = span_tokens(checkpoint, [text, text], np.array([[0, 3], [len(text) - 3, len(text)]]))
    assert tokens.sequence.tolist() == [0, 1]


def test_a_span_longer_than_the_model_reads_is_read_as_far_as_it_goes(tiny_model: ModelFactory) -> None:
    checkpoint = open_checkpoint(tiny_model("bert"))
    text = "the " * 300
    tokens = span_tokens(checkpoint, [text], np.array([[40, 1160]]))
    assert tokens.bounds.tolist() == [[1, 127]]


def open_vocabulary(directory: Path, *words: str) -> list[int]:
    return AutoTokenizer.from_pretrained(directory).convert_tokens_to_ids(list(words))


def test_prompt_and_lower_case_move_no_span(tiny_model: ModelFactory, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(
        save_sentence_transformer(tiny_model("bert"), tmp_path / "own", prompts={"q": "find: "}, default_prompt_name="q")
    )
    text = "\ud83e\udd87 İİ bat"  # a pair that becomes one character, and letters that become two
    tokens = span_tokens(checkpoint, [text], np.array([[6, 9]]))
    (bat,) = open_vocabulary(checkpoint.directory, "bat")
    assert tokens.ids[slice(*tokens.bounds[0])].tolist() == [bat]
    assert len(tokens.ids) > len(span_tokens(checkpoint, [text], np.array([[6, 9]]), prompt="").ids)


def test_what_holds_no_token_gets_zeros(tiny_model: ModelFactory) -> None:
    checkpoint = open_checkpoint(tiny_model("bert"))
    tokens = span_tokens(checkpoint, ["the  bat"], np.array([[3, 4]]))
    assert tokens.bounds.tolist() == [[0, 0]]
    assert not span_vectors(checkpoint, tokens, -1, CPU).any()
    assert not input_vectors(checkpoint, tokens).any()


def test_the_input_vector_is_the_same_wherever_a_word_stands(tiny_model: ModelFactory) -> None:
    checkpoint = open_checkpoint(tiny_model("albert"))
    vectors = input_vectors(checkpoint, span_tokens(checkpoint, TEXTS[:2], SPANS[:2]))
    assert vectors.shape == (2, 16), "ALBERT's words are narrower than its layers"
    np.testing.assert_array_equal(vectors[0], vectors[1])
    words = AutoModel.from_pretrained(checkpoint.directory).get_input_embeddings().weight.detach().numpy()
    np.testing.assert_allclose(vectors[0], words[open_vocabulary(checkpoint.directory, "bat")[0]], atol=1e-6)


@settings(max_examples=40)
@given(text=st.text(min_size=1, max_size=30), data=st.data())
def test_any_span_of_any_text_has_bounds_inside_its_sequence(tiny_model: ModelFactory, text: str, data: st.DataObject) -> None:
    checkpoint = open_checkpoint(tiny_model("bert"))
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    tokens = span_tokens(checkpoint, [text], np.array([[start, end]]))
    begin, stop = tokens.bounds[0]
    assert 0 <= begin <= stop <= len(tokens.ids)
    assert begin == stop or (begin >= 1 and stop <= len(tokens.ids) - 1), "special tokens belong to no span"


@pytest.mark.parametrize("span", [(-1, 2), (2, 2), (3, 2), (0, 7)])
def test_a_span_outside_its_text_is_refused(tiny_model: ModelFactory, span: tuple[int, int]) -> None:
    with pytest.raises(InvalidParameterError, match="that of row 1 has 6 characters"):
        span_tokens(open_checkpoint(tiny_model("bert")), ["unbats", "unbats"], np.array([[0, 1], span]))


@pytest.mark.parametrize("layer", [4, -5])
def test_a_layer_that_the_model_lacks_is_refused(tiny_model: ModelFactory, layer: int) -> None:
    checkpoint = open_checkpoint(tiny_model("bert"))
    with pytest.raises(InvalidParameterError, match=r"'layer' parameter must be an int in the range \[-4, 3\]"):
        span_vectors(checkpoint, span_tokens(checkpoint, TEXTS, SPANS), layer, CPU)


def test_a_tokenizer_without_places_is_refused(tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = open_checkpoint(tiny_model("bert"))
    monkeypatch.setattr("transformers.PreTrainedTokenizerFast.is_fast", property(lambda self: False))
    with pytest.raises(UnsupportedModelError, match="does not tell where"):
        span_tokens(checkpoint, TEXTS, SPANS)


def test_batches_shrink_when_memory_runs_out(tiny_model: ModelFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    from bertvectorizer.models.backbone import Backbone

    checkpoint = open_checkpoint(tiny_model("bert"))
    tokens = span_tokens(checkpoint, TEXTS, SPANS)
    expected = span_vectors(checkpoint, tokens, -2, CPU)
    run, most = Backbone.hidden_states, [20]

    def cramped(self: Backbone, ids: np.ndarray, *rest: object) -> object:
        if len(ids) > most[0]:
            raise torch.OutOfMemoryError("no room")
        return run(self, ids, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Backbone, "hidden_states", cramped)
    np.testing.assert_allclose(span_vectors(checkpoint, tokens, -2, CPU), expected, atol=1e-5)
    most[0] = 3
    with pytest.raises(OutOfMemoryError, match="One sequence of"):
        span_vectors(checkpoint, tokens, -2, CPU)
