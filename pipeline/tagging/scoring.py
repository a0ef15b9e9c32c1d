"""How good predicted tags are: entities by seqeval, plain tags word by word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import InvalidParameterError
from .schemes import convert_tags, marks_entity

__all__ = ["check_true_tags", "tag_report", "tag_score"]

_KNOWN_TO_SEQEVAL = re.compile(r"[OBIES]|[BIES]-.*", re.DOTALL)


def check_true_tags(
    true: list[list[str]], known: Sequence[str], scheme: str, name: str = "y"
) -> None:
    """Refuse plain tags where entities were learned, and entities where plain tags were."""
    marks = list(dict.fromkeys(tag for tags in true for tag in tags if tag != "O"))
    if not marks:
        return
    n_entities = sum(map(marks_entity, marks))
    if scheme != "plain" and not n_entities:
        raise InvalidParameterError(
            f"{name} must mark entities, as the training tags did, in {scheme}. Got plain tags,"
            f" such as {marks[0]!r}, instead. Give tags with prefixes, such as 'B-PER', or fit with"
            " scheme='plain'."
        )
    if scheme == "plain" and n_entities == len(marks) and not any(map(marks_entity, known)):
        raise InvalidParameterError(
            f"{name} must hold plain tags, as the training tags were, such as {known[0]!r}. Got"
            f" tags that mark entities, such as {marks[0]!r}, instead. Give tags of the kind that"
            " was learned, or fit with these."
        )


def tag_score(true: list[list[str]], predicted: list[list[str]], scheme: str) -> float:
    """Return the micro-averaged F1 of entities; of plain tags, the share of words that are right.

    Examples
    --------
    >>> tag_score([["B-PER", "I-PER", "O", "B-LOC"]], [["B-PER", "I-PER", "O", "B-ORG"]], "BIO")
    0.5
    >>> tag_score([["DET", "NOUN"]], [["DET", "VERB"]], "plain")
    0.5
    """
    if scheme == "plain":
        right = [
            a == b for pair in zip(true, predicted, strict=True) for a, b in zip(*pair, strict=True)
        ]
        return sum(right) / len(right) if right else 0.0
    if not true:
        return 0.0  # seqeval refuses that
    from seqeval.metrics import f1_score

    return float(f1_score(_for_seqeval(true, scheme), predicted, zero_division=0))


def tag_report(
    true: list[list[str]], predicted: list[list[str]], scheme: str, output_dict: bool, digits: int
) -> str | dict[str, Any]:
    """Return precision, recall, F1 and number of each type of entity; of plain tags, of each tag.

    Examples
    --------
    >>> truth, found = [["B-PER", "I-PER", "O"]], [["B-PER", "I-PER", "B-PER"]]
    >>> report = tag_report(truth, found, "BIO", output_dict=True, digits=2)
    >>> report["PER"]["precision"], report["PER"]["recall"]
    (0.5, 1.0)
    """
    if scheme == "plain":
        from sklearn.metrics import classification_report as report_of_words

        flat = [[tag for tags in sentences for tag in tags] for sentences in (true, predicted)]
        if not flat[0]:
            return {} if output_dict else "There are no words."
        return _plain_numbers(
            report_of_words(*flat, output_dict=output_dict, digits=digits, zero_division=0)
        )
    from seqeval.metrics import classification_report as report_of_entities

    if all(
        tag == "O" for sentences in (true, predicted) for tags in sentences for tag in tags
    ):  # here seqeval fails
        if not output_dict:
            return "There are no entities, neither in y nor among those predicted."
        nothing = {"precision": 0.0, "recall": 0.0, "f1-score": 0.0, "support": 0}
        return {f"{kind} avg": dict(nothing) for kind in ("micro", "macro", "weighted")}
    true = _for_seqeval(true, scheme)
    return _plain_numbers(
        report_of_entities(true, predicted, output_dict=output_dict, digits=digits, zero_division=0)
    )


def _plain_numbers(report: Any) -> str | dict[str, Any]:
    """Return a report as it is, but for its numbers: Python's own, which JSON takes."""
    if isinstance(report, str):
        return report
    return {
        name: _plain_numbers(value) if isinstance(value, dict) else np.asarray(value).item()
        for name, value in report.items()
    }


def _for_seqeval(tags: list[list[str]], scheme: str) -> list[list[str]]:
    """Return tags with the prefixes that seqeval knows; it warns about others."""
    known = all(map(_KNOWN_TO_SEQEVAL.fullmatch, {tag for own in tags for tag in own}))
    return tags if known else convert_tags(tags, scheme)
