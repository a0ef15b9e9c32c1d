"""Tagging schemes (IOB1, BIO, IOBES, plain): detection, entities, rules, conversion."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InvalidParameterError
from ...validation import invalid, short_repr

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "SCHEMES",
    "check_scheme",
    "convert_tags",
    "detect_scheme",
    "marks_entity",
    "transitions",
]

SCHEMES = ("IOB1", "BIO", "IOBES", "plain")

_SYNONYMS = {"L": "E", "U": "S", "M": "I", "W": "S"}  # BILOU and BMEWO are IOBES with other letters
_OTHER_NAMES = {
    "IOB2": "BIO",
    "IOB": "IOB1",
    "BIOES": "IOBES",
    "BILOU": "IOBES",
    "BMEWO": "IOBES",
    "BIO": "BIO",
    "IOBES": "IOBES",
}
_LETTERS = {"IOB1": "BI", "BIO": "BI", "IOBES": "BIESLUMW"}
_TYPED = re.compile(f"[{_LETTERS['IOBES']}]-.*", re.DOTALL)
_OTHER_SPELLING = re.compile(f"[{_LETTERS['IOBES']}]_.+|.+[-_][{_LETTERS['IOBES']}]", re.DOTALL)
_LOWER_CASE = re.compile(f"[{_LETTERS['IOBES'].lower()}]-.+|o", re.DOTALL)
_WRITTEN = {
    (True, True): "S",
    (True, False): "B",
    (False, True): "E",
    (False, False): "I",
}  # by whether its beginning, and its end, is marked

_Read = tuple[str, str | None]  # one of O B I E S, and the type of the entity; None outside all


def check_scheme(name: str, value: Any, also: Sequence[str | None] = ()) -> str | None:
    """Return the name of a scheme, or say what it is called here.

    Examples
    --------
    >>> check_scheme("scheme", "BIO")
    'BIO'
    """
    choices = (*also, *SCHEMES)
    if (value is None or isinstance(value, str)) and value in choices:
        return value
    called = _OTHER_NAMES.get(value.upper()) if isinstance(value, str) else None
    hint = f". {called!r} is its name here" if called else ""
    error = invalid(name, "one of " + ", ".join(map(repr, choices)), value)
    raise InvalidParameterError(f"{str(error)[:-1]}{hint}.") if called else error


def detect_scheme(sentences: Sequence[Sequence[str]]) -> str:
    """Say in which scheme sentences are tagged.

    Notes
    -----
    BIO in the wild has entities that begin with I. Tags are called IOB1 only where an entity begins
    with I and each B stands directly behind an entity of its type; so a stray I makes no IOB1 of
    tags whose other entities begin with B. Letters alone, without a type, are prefixes where there
    is a B among them and no other tag, or nothing but I.

    Examples
    --------
    >>> sentences = [["B-PER", "I-PER", "O"], ["I-PER", "I-PER", "O"], ["DET", "NOUN"]]
    >>> [detect_scheme([tags]) for tags in sentences]
    ['BIO', 'IOB1', 'plain']
    """
    return _detect(_checked(sentences))


def convert_tags(
    sentences: Sequence[Sequence[str]], to: str, scheme: str = "auto"
) -> list[list[str]]:
    """Write the same entities in another scheme.

    Notes
    -----
    Any order of the scheme's tags is read, by the rule of conlleval and seqeval: an entity begins
    at B and S, behind E and S, and where the tag before is O or of another type. So a stray ``I-X``
    begins an entity; conversion to the scheme at hand writes it ``B-X``.

    References
    ----------
    E. F. Tjong Kim Sang, J. Veenstra, "Representing Text Chunks", EACL 1999, section 2.

    Examples
    --------
    >>> convert_tags([["B-PER", "I-PER", "O", "B-LOC"]], "IOBES")
    [['B-PER', 'E-PER', 'O', 'S-LOC']]
    >>> convert_tags([["I-PER", "B-PER", "O"], ["I-LOC"]], "BIO")
    [['B-PER', 'B-PER', 'O'], ['B-LOC']]
    """
    check_scheme("to", to)
    check_scheme("scheme", scheme, also=("auto",))
    checked = _checked(sentences)
    scheme = _detect(checked) if scheme == "auto" else scheme
    if "plain" not in (scheme, to):
        read = _read_all(checked, scheme)
        return [_written([read[tag] for tag in tags], to) for tags in checked]
    if scheme != to and any(tag != "O" for tags in checked for tag in tags):
        remedy = (
            "Leave plain tags as they are."
            if scheme == "plain"
            else "Choose 'IOB1', 'BIO' or 'IOBES'."
        )
        raise InvalidParameterError(
            f"The 'to' parameter must be a scheme that can hold the same entities as {scheme!r},"
            f" which plain tags cannot. Got {to!r} instead. {remedy}"
        )
    return checked


def marks_entity(tag: str) -> bool:
    """Return whether a tag looks like one of an entity: a letter and a hyphen, or a letter alone.

    Examples
    --------
    >>> marks_entity("B-PER"), marks_entity("I"), marks_entity("NOUN"), marks_entity("O")
    (True, True, False, False)
    """
    return _TYPED.fullmatch(tag) is not None or (len(tag) == 1 and tag in _LETTERS["IOBES"])


def transitions(
    tags: Sequence[str], scheme: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Say which tags may begin a sentence, follow one another, and end it.

    Notes
    -----
    Where "O" is among the tags there is a way through any sentence; in plain tags and IOB1 there
    always is. In IOBES a type that lacks its E has no way out of its B, and without O no sentence
    of one word may have B and E alone.

    Examples
    --------
    >>> start, allowed, end = transitions(["O", "B-PER", "I-PER"], "BIO")
    >>> start.tolist(), end.tolist()
    ([True, True, False], [True, True, True])
    >>> allowed.tolist()
    [[True, True, False], [True, True, True], [True, True, True]]
    """
    check_scheme("scheme", scheme)
    checked = _checked([tags])
    k = len(checked[0])
    if scheme == "plain":
        return np.ones(k, dtype=bool), np.ones((k, k), dtype=bool), np.ones(k, dtype=bool)
    known = _read_all(checked, scheme)
    read = [known[tag] for tag in checked[0]]
    opens = np.array([letter in "BI" for letter, _ in read], dtype=bool)  # its entity may go on
    same = np.array([[a == b for _, b in read] for _, a in read], dtype=bool).reshape(k, k)
    within = opens[:, None] & same
    letters = {"IOB1": "B", "BIO": "I", "IOBES": "IE"}[scheme]
    bound = np.array(
        [letter in letters for letter, _ in read], dtype=bool
    )  # must have its entity, or one of its type, before it
    allowed = within | ~bound
    if scheme != "IOBES":
        return ~bound, allowed, np.ones(k, dtype=bool)
    return ~bound, np.where(opens[:, None], within & bound, allowed), ~opens


def _checked(sentences: Iterable[Iterable[Any]]) -> list[list[str]]:
    """Return the tags as lists of str, or name the first that is none."""
    if isinstance(sentences, str) or not isinstance(sentences, Iterable):
        raise InvalidParameterError(
            "Tags must be a list of sentences, each a list of str. Got"
            f" {short_repr(sentences)} instead."
            " Give [[tag, ...], ...]."
        )
    checked: list[list[str]] = []
    for number, tags in enumerate(sentences):
        if isinstance(tags, str) or not isinstance(tags, Iterable):
            remedy = (
                "Put the tags of a sentence in a list of its own: [tags]."
                if isinstance(tags, str)
                else (
                    "Give the list of its tags, which is [] for a sentence of no words; drop"
                    " sentences whose tags are not known."
                )
            )
            raise InvalidParameterError(
                f"Tags must be a list of sentences, each a list of str. Got {short_repr(tags)} as"
                f" sentence {number}, counted from 0. {remedy}"
            )
        checked.append([])
        for word, tag in enumerate(tags):
            if isinstance(tag, (list, tuple, np.ndarray)):
                raise InvalidParameterError(
                    "Tags must be a list of sentences, each a list of str. Got"
                    f" {short_repr(tag)} for"
                    f" word {word} of sentence {number}, counted from 0: these lists are too deep."
                    " Give one tag for each word, without a list of its own."
                )
            if not isinstance(tag, str) or not tag:
                raise InvalidParameterError(
                    f"Each tag must be a str that is not empty. Got {short_repr(tag)} for word"
                    f" {word} of sentence {number}, counted from 0. Give each word a tag; a word"
                    " outside all entities has 'O'."
                )
            checked[-1].append(str(tag))
    return checked


def _detect(sentences: list[list[str]]) -> str:
    distinct = dict.fromkeys(tag for tags in sentences for tag in tags)
    marks = [tag for tag in distinct if tag != "O"]
    bare = [tag for tag in marks if len(tag) == 1 and tag in _LETTERS["IOBES"]]
    typed = [tag for tag in marks if _TYPED.fullmatch(tag)]
    other = [tag for tag in marks if tag not in bare and tag not in typed]
    if not marks:
        return "BIO"
    _check_types(sentences, typed)
    if typed and other:
        raise InvalidParameterError(
            f"Tags must all be 'O' or have a prefix, as {typed[0]!r} has, or none. Got"
            f" {short_repr(other[0])} for {_position(sentences, other[0])}. Correct the tag, or"
            " set scheme='plain' if that is not a prefix."
        )
    if not typed and (other or not ("B" in bare or bare == ["I"])):
        if (
            {"O", "o"} & distinct.keys()
            and other != ["o"]
            and not bare
            and all(_LOWER_CASE.fullmatch(tag) for tag in other)
        ):
            first = next(tag for tag in other if tag != "o")
            raise InvalidParameterError(
                "The prefix of a tag must be a capital letter, as in 'B-PER', and 'O' too. Got"
                f" {first!r} for {_position(sentences, first)}. Spell tags so, or set"
                " scheme='plain' if that is not a prefix."
            )
        if "O" in distinct and all(_OTHER_SPELLING.fullmatch(tag) for tag in marks):
            raise InvalidParameterError(
                "The prefix of a tag must be one letter and a hyphen, as in 'B-PER'. Got"
                f" {marks[0]!r} for {_position(sentences, marks[0])}. Spell tags so, or set"
                " scheme='plain' if that is not a prefix."
            )
        return "plain"
    if any(tag[0] not in "BI" for tag in marks):
        return "IOBES"
    known = _read_all(sentences, "BIO")
    stray = lone = False
    for tags in sentences:
        for (_, before), (letter, kind) in pairwise([("O", None), *(known[tag] for tag in tags)]):
            stray |= letter == "I" and kind != before
            lone |= letter == "B" and kind != before
    return "IOB1" if stray and not lone else "BIO"


def _read_all(sentences: list[list[str]], scheme: str) -> dict[str, _Read]:
    """Return what each distinct tag says, or name the first that is none of the scheme."""
    read: dict[str, _Read] = {"O": ("O", None)}
    distinct = dict.fromkeys(tag for tags in sentences for tag in tags)
    _check_types(sentences, [tag for tag in distinct if _TYPED.fullmatch(tag)])
    for tag in distinct:
        letter, _, kind = tag.partition("-")
        if tag != "O":
            if len(letter) != 1 or letter not in _LETTERS[scheme]:
                shown = ", ".join(f"'{letter}-...'" for letter in _LETTERS[scheme])
                raise InvalidParameterError(
                    f"Tags in {scheme} must be 'O' or one of {shown}. Got {short_repr(tag)} for"
                    f" {_position(sentences, tag)}. Correct the tag, or choose another scheme"
                    " (scheme='auto' detects it)."
                )
            read[tag] = _SYNONYMS.get(letter, letter), kind
    return read


def _check_types(sentences: list[list[str]], typed: list[str]) -> None:
    for tag in typed:
        if len(tag) == 2:
            raise InvalidParameterError(
                f"A tag must have a type behind its hyphen, as in 'B-PER'. Got {tag!r} for"
                f" {_position(sentences, tag)}. Add the type, or write {tag[0]!r} if there is one"
                " type only."
            )


def _position(sentences: list[list[str]], wanted: str) -> str:
    number, word = next(
        (number, tags.index(wanted)) for number, tags in enumerate(sentences) if wanted in tags
    )
    return f"word {word} of sentence {number}, counted from 0"


def _written(read: list[_Read], to: str) -> list[str]:
    """Return the tags of a sentence in a scheme."""
    around = [("O", None), *read, ("O", None)]
    # A boundary before each word and behind the last one: an entity cannot go on across it.
    cut = [
        letter in "BS" or before[0] in "ES" or before[1] != kind
        for before, (letter, kind) in pairwise(around)
    ]
    tags = []
    for word, (_, kind) in enumerate(read):
        begins = cut[word] and (to != "IOB1" or around[word][1] == kind)
        ends = cut[word + 1] and to == "IOBES"
        letter = "O" if kind is None else _WRITTEN[begins, ends]
        tags.append(f"{letter}-{kind}" if kind else letter)
    return tags
