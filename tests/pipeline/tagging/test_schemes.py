"""Schemes of tags: detected, converted without loss, and what may follow what."""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.pipeline.tagging.conll import read_conll
from bertvectorizer.pipeline.tagging.schemes import (
    SCHEMES,
    convert_tags,
    detect_scheme,
    transitions,
)

MARKING = SCHEMES[:3]
LETTERS = {"IOB1": "BI", "BIO": "BI", "IOBES": "BIES"}
TYPES = ["PER", "creative-work", ""]

# The same three sentences, written by hand in every scheme.
SAME = {
    "IOB1": [["I-PER", "I-PER", "B-PER", "I-LOC", "O", "I-PER"], ["O"], []],
    "BIO": [["B-PER", "I-PER", "B-PER", "B-LOC", "O", "B-PER"], ["O"], []],
    "IOBES": [["B-PER", "E-PER", "S-PER", "S-LOC", "O", "S-PER"], ["O"], []],
}
BILOU = [["B-PER", "L-PER", "U-PER", "U-LOC", "O", "U-PER"], ["O"], []]
BMEWO = [["B-PER", "E-PER", "W-PER", "W-LOC", "O", "W-PER"], ["O"], []]


def tag(letter: str, kind: str) -> str:
    return f"{letter}-{kind}" if kind and letter != "O" else letter


def any_tags(letters: str = "BIES") -> st.SearchStrategy[list[str]]:
    """Tags in any order, legal or not."""
    return st.lists(
        st.one_of(st.just("O"), st.builds(tag, st.sampled_from(letters), st.sampled_from(TYPES))),
        max_size=12,
    )


def entities(sentences: list[list[str]]) -> list[Any]:
    return [get_entities(tags) for tags in sentences]


# ---- Conversion


@pytest.mark.parametrize(("scheme", "to"), list(product(MARKING, MARKING)))
@pytest.mark.parametrize("given_scheme", [True, False])
def test_each_scheme_becomes_each_other(scheme: str, to: str, given_scheme: bool) -> None:
    assert convert_tags(SAME[scheme], to, scheme if given_scheme else "auto") == SAME[to]


@pytest.mark.parametrize("spelling", [BILOU, BMEWO])
@pytest.mark.parametrize("scheme", ["auto", "IOBES"])
def test_other_spellings_of_iobes_are_read(spelling: list[list[str]], scheme: str) -> None:
    for to in MARKING:
        assert convert_tags(spelling, to, scheme) == SAME[to]


def test_inner_words_of_bmes_are_read() -> None:
    assert convert_tags([["B-X", "M-X", "M-X", "E-X"]], "BIO") == [["B-X", "I-X", "I-X", "I-X"]]
    assert convert_tags([["B-X", "M-X"]], "BIO") == [["B-X", "I-X"]]
    assert convert_tags([["B", "M", "E", "S", "B", "E"]], "BIO") == [["B", "I", "I", "B", "B", "I"]]


@given(sentences=st.lists(any_tags(), max_size=4), to=st.sampled_from(MARKING))
def test_any_order_of_tags_is_read_as_seqeval_reads_it(sentences: list[list[str]], to: str) -> None:
    converted = convert_tags(sentences, to, "IOBES")
    assert entities(converted) == entities(sentences)
    assert [len(tags) for tags in converted] == [len(tags) for tags in sentences]
    assert set("".join(name[0] for tags in converted for name in tags)) <= set(LETTERS[to] + "O")


@given(
    sentences=st.lists(any_tags(), max_size=4),
    scheme=st.sampled_from(MARKING),
    to=st.sampled_from(MARKING),
)
def test_there_and_back_again_is_where_it_began(
    sentences: list[list[str]], scheme: str, to: str
) -> None:
    proper = convert_tags(sentences, scheme, "IOBES")
    assert convert_tags(convert_tags(proper, to, scheme), scheme, to) == proper
    assert convert_tags(proper, scheme, scheme) == proper


@given(
    sentences=st.lists(any_tags(), max_size=4),
    scheme=st.sampled_from(MARKING),
    to=st.sampled_from(MARKING),
)
def test_detection_never_changes_the_entities(
    sentences: list[list[str]], scheme: str, to: str
) -> None:
    proper = convert_tags(sentences, scheme, "IOBES")
    if detect_scheme(proper) != "plain":  # letters alone, with no B among them
        assert entities(convert_tags(proper, to)) == entities(sentences)


def test_an_entity_that_begins_with_i_is_one() -> None:
    stray = [["O", "I-PER", "I-LOC", "B-LOC", "O", "B-PER"]]
    assert detect_scheme(stray) == "BIO"
    assert convert_tags(stray, "BIO") == [["O", "B-PER", "B-LOC", "B-LOC", "O", "B-PER"]]
    assert convert_tags(stray, "IOBES") == [["O", "S-PER", "S-LOC", "S-LOC", "O", "S-PER"]]


def test_plain_tags_stay_as_they_are() -> None:
    plain = [["DET", "NOUN"], ["O", "-LRB-", "NN-PL"]]
    assert convert_tags(plain, "plain") == plain
    assert convert_tags(plain, "plain", "plain") == plain
    assert convert_tags([["B-PER", "X"]], "plain", "plain") == [["B-PER", "X"]]


@pytest.mark.parametrize(
    ("sentences", "to"), [([["DET", "O"]], "BIO"), ([["B-PER", "O"]], "plain")]
)
def test_plain_tags_and_entities_do_not_become_each_other(
    sentences: list[list[str]], to: str
) -> None:
    with pytest.raises(InvalidParameterError, match=r"which plain tags cannot\. Got"):
        convert_tags(sentences, to)


@pytest.mark.parametrize("to", SCHEMES)
@pytest.mark.parametrize("scheme", ["auto", *SCHEMES])
@pytest.mark.parametrize("sentences", [[], [[]], [["O", "O"], []]])
def test_nothing_to_mark_is_the_same_in_every_scheme(
    sentences: list[list[str]], scheme: str, to: str
) -> None:
    assert convert_tags(sentences, to, scheme) == sentences


def test_what_was_given_is_left_alone() -> None:
    sentences = [["B-PER", "I-PER"]]
    convert_tags(sentences, "BIO")[0][0] = "changed"
    convert_tags(sentences, "IOBES")
    assert sentences == [["B-PER", "I-PER"]]


@pytest.mark.parametrize(
    "sentences",
    [
        (("B-PER", "O"), ("O",)),
        [np.array(["B-PER", "O"]), np.array(["O"], dtype=object)],
        pd.Series([["B-PER", "O"], ["O"]]),
        np.array([["B-PER", "O"], ["O"]], dtype=object),
        [pd.Series(["B-PER", "O"]), pd.Series(["O"])],
    ],
    ids=["tuples", "arrays", "series", "array of lists", "list of series"],
)
def test_sentences_in_other_containers(sentences: Any) -> None:
    converted = convert_tags(sentences, "IOBES")
    assert converted == [["S-PER", "O"], ["O"]]
    assert {type(name) for tags in convert_tags(sentences, "BIO") for name in tags} == {str}


def test_plain_tags_of_an_array_become_plain_str() -> None:
    assert {type(name) for name in convert_tags([np.array(["DET", "NOUN"])], "plain")[0]} == {str}


# ---- Which scheme it is


@pytest.mark.parametrize(
    ("sentences", "scheme"),
    [
        (SAME["IOB1"], "IOB1"),
        (SAME["BIO"], "BIO"),
        (SAME["IOBES"], "IOBES"),
        (BILOU, "IOBES"),
        (BMEWO, "IOBES"),
        ([["O", "O"], []], "BIO"),
        ([], "BIO"),
        ([["DET", "NOUN"]], "plain"),
        ([["O", "PER"]], "plain"),
        ([["I-PER", "I-PER"], ["O"]], "IOB1"),
        ([["B-PER"], ["I-PER"]], "BIO"),
        ([["I-PER", "B-PER"]], "IOB1"),
        ([["B-PER", "B-PER"]], "BIO"),
        ([["I-PER", "B-LOC"]], "BIO"),
        ([["B-PER", "I-LOC"]], "BIO"),
        ([["S-X"]], "IOBES"),
        ([["B", "I", "O"]], "BIO"),
        ([["I", "O", "I"]], "IOB1"),
        ([["B", "E", "S"]], "IOBES"),
        ([["M", "W"]], "plain"),
        ([["I", "N", "V"]], "plain"),
        ([["-LRB-", "NN", "VB"]], "plain"),
        ([["X-PER", "O"]], "plain"),
        ([["B_X", "I_X"]], "plain"),
        ([["B", "BI", "ES"]], "plain"),
        ([["B-X", "M-X"]], "IOBES"),
        ([["B", "M"]], "IOBES"),
    ],
)
def test_the_scheme_is_told_by_the_tags(sentences: list[list[str]], scheme: str) -> None:
    assert detect_scheme(sentences) == scheme


@given(sentences=st.lists(any_tags("BI"), max_size=4))
def test_proper_bio_is_never_taken_for_another_scheme(sentences: list[list[str]]) -> None:
    proper = convert_tags(sentences, "BIO", "BIO")
    assert detect_scheme(proper) == "BIO"


# ---- Faults


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ("B-PER", "must be a list of sentences.*Got 'B-PER' instead"),
        (5, "must be a list of sentences.*Got 5 instead"),
        (
            ["O", "B-PER"],
            (
                r"Got 'O' as sentence 0, counted from 0\. Put the tags of a sentence in a list of"
                r" its own"
            ),
        ),
        ([["O"], None], "Got None as sentence 1"),
        (
            [["O"], ["O", None]],
            r"Got None for word 1 of sentence 1, counted from 0\. Give each word a tag",
        ),
        ([["O", float("nan")]], "Got nan for word 1 of sentence 0"),
        ([["O"], [], [3]], "Got 3 for word 0 of sentence 2"),
        ([[""]], "not empty"),
        (
            [["O", "B-PER"], ["NOUN", "O"]],
            r"as 'B-PER' has, or none\. Got 'NOUN' for word 0 of sentence 1.*scheme='plain'",
        ),
        (
            [["O", "B_PER", "I_PER"]],
            r"one letter and a hyphen.*Got 'B_PER' for word 1 of sentence 0.*scheme='plain'",
        ),
        ([["O", "PER-B", "PER-I"]], "one letter and a hyphen.*Got 'PER-B'"),
        (
            [["O"], ["O", "b-PER", "i-PER"]],
            r"capital letter.*Got 'b-PER' for word 1 of sentence 1.*scheme='plain'",
        ),
        ([["o", "b-per"]], r"capital letter.*Got 'b-per' for word 1 of sentence 0"),
        (
            [["B-PER", "B-"]],
            (
                r"type behind its hyphen, as in 'B-PER'\. Got 'B-' for word 1 of sentence 0, .*Add"
                r" the type, or write 'B'"
            ),
        ),
        ([[["O"]]], r"Got \['O'\] for word 0 of sentence 0.*too deep"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(sentences: Any, message: str) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        detect_scheme(sentences)
    with pytest.raises(InvalidParameterError, match=message):
        convert_tags(sentences, "BIO")


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("E-PER", "BIO"),
        ("S-PER", "IOB1"),
        ("PER", "BIO"),
        ("X-PER", "IOBES"),
        ("-PER", "IOBES"),
        ("BI-PER", "BIO"),
        ("o", "BIO"),
    ],
)
def test_a_tag_of_another_scheme_is_named_with_its_place(name: str, scheme: str) -> None:
    with pytest.raises(
        InvalidParameterError,
        match=f"Tags in {scheme} must be .*Got '{name}' for word 1 of sentence 1, counted from 0",
    ):
        convert_tags([["O"], ["O", name]], "BIO", scheme)
    with pytest.raises(InvalidParameterError, match=f"Tags in {scheme} must be"):
        transitions(["O", name], scheme)


@pytest.mark.parametrize("scheme", ["IOB2", None, 1, ""])
def test_an_unknown_scheme_is_refused(scheme: Any) -> None:
    with pytest.raises(
        InvalidParameterError,
        match="The 'to' parameter must be one of 'IOB1', 'BIO', 'IOBES', 'plain'",
    ):
        convert_tags([], scheme)
    with pytest.raises(InvalidParameterError, match="The 'scheme' parameter must be one of 'auto'"):
        convert_tags([], "BIO", scheme)
    with pytest.raises(InvalidParameterError, match="The 'scheme' parameter must be one of 'IOB1'"):
        transitions([], scheme)


# ---- What may follow what


@pytest.mark.parametrize("scheme", MARKING)
def test_what_transitions_allow_is_what_conversion_leaves_alone(scheme: str) -> None:
    tags = ["O", *(tag(letter, kind) for kind in ("PER", "LOC") for letter in LETTERS[scheme])]
    start, allowed, end = transitions(tags, scheme)
    number = {name: index for index, name in enumerate(tags)}
    n_allowed = 0
    for length in (1, 2, 3):
        for names in product(tags, repeat=length):
            path = [number[name] for name in names]
            is_allowed = (
                start[path[0]] and end[path[-1]] and all(allowed[a, b] for a, b in pairwise(path))
            )
            assert is_allowed == (convert_tags([names], scheme, scheme) == [list(names)]), names
            n_allowed += is_allowed
    assert 0 < n_allowed < sum(len(tags) ** length for length in (1, 2, 3))


def test_transitions_of_other_spellings() -> None:
    ours = transitions(["O", "B-X", "I-X", "E-X", "S-X"], "IOBES")
    theirs = transitions(["O", "B-X", "M-X", "L-X", "U-X"], "IOBES")
    assert all(map(np.array_equal, ours, theirs))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("k", [0, 1])
def test_transitions_of_few_tags(scheme: str, k: int) -> None:
    start, allowed, end = transitions(["O"] * k, scheme)
    assert (start.shape, allowed.shape, end.shape) == ((k,), (k, k), (k,))
    assert start.dtype == allowed.dtype == end.dtype == np.bool_
    assert start.all()
    assert allowed.all()
    assert end.all()


def test_plain_tags_follow_each_other_freely() -> None:
    assert all(part.all() for part in transitions(["B-PER", "I-LOC", "NOUN"], "plain"))


# ---- Real sentences


@pytest.mark.parametrize("name", ["wnut17/emerging.dev.conll", "conll2002_es/esp.testb"])
def test_real_tags_keep_their_entities(name: str, shared_data: Path) -> None:
    tags = read_conll(shared_data / name).tags
    assert detect_scheme(tags) == "BIO"
    expected = entities(tags)
    assert sum(map(len, expected)) > 500
    for scheme in MARKING:
        converted = convert_tags(tags, scheme)
        assert detect_scheme(converted) == scheme
        assert entities(converted) == expected
