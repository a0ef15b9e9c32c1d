"""Render a comparison as one HTML page without scripts or external resources."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ...errors import BertVectorizerError, InvalidParameterError
from ...models.checkpoint.text_tokens import replace_lone_surrogates
from . import plots
from .confusion import count_confusions
from .formatting import (
    MAX_NAME,
    best_contextual,
    format_score,
    format_share,
    metric_name,
    one_line,
    shorten,
    verdict,
)
from .svg import figure_svg
from .tables import cost_table, find_flips, score_table
from .word_in_context import Occurrences, word_occurrences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..comparison.result import ComparisonResult

__all__ = ["render_report", "repr_html"]

_CONTEXT_CHARACTERS = 100
_MAX_MISTAKES = 5
_MAX_EXAMPLES = 3
_SECTIONS = (
    ("scores", "Scores"),
    ("cost", "Cost"),
    ("layers", "Layers"),
    ("learning-curve", "Learning curve"),
    ("confusion", "Mistakes"),
    ("flipped", "Rows that flipped"),
    ("word", "A word in context"),
    ("settings", "Settings"),
)


@dataclass(frozen=True)
class _Picture:
    """A figure, or the reason why there is none."""

    svg: Markup | None
    caption: str


def render_report(comparison: ComparisonResult, word: str | None = None) -> str:
    """Return a comparison as an HTML page.

    ``word`` is a word of the texts whose occurrences are shown; None takes the embedded example.
    Everything that users wrote is escaped.

    Examples
    --------
    >>> from bertvectorizer.pipeline import compare, load_example
    >>> example = load_example().head(40)
    >>> comparison = compare(example["text"], example["label"], ["TF-IDF words"], cv=2)
    >>> render_report(comparison)[:15]
    '<!doctype html>'
    """
    contextual = best_contextual(comparison)
    occurrences, no_word = _find_occurrences(comparison, word)
    is_regression = comparison.target.kind == "regression"
    page = (
        _environment()
        .get_template("report.html")
        .render(
            title="Is context worth it?",
            about=_about(comparison),
            sections=_SECTIONS,
            verdict=verdict(comparison),
            score_table=score_table(comparison),
            cost_table=cost_table(comparison),
            confusion_heading=(
                "Predicted against actual" if is_regression else "What was taken for what"
            ),
            confusions=list(_confusions(comparison, contextual)),
            flips=find_flips(comparison, contextual),
            word=None if occurrences is None else _word(occurrences),
            no_word=no_word,
            primary=None if comparison.primary is None else shorten(comparison.primary, MAX_NAME),
            settings=list(comparison.settings.items()),
            notes=comparison.notes,
            made_by=(
                f"Made by bertvectorizer {metadata.version('bertvectorizer')}. This page is one"
                " file and loads nothing."
            ),
            **_pictures(comparison),
        )
    )
    return replace_lone_surrogates(page.strip() + "\n").replace("\x00", "\N{REPLACEMENT CHARACTER}")


def repr_html(comparison: ComparisonResult) -> str:
    """Return the table of a comparison as an HTML fragment for notebooks."""
    fragment = (
        _environment()
        .get_template("fragment.html")
        .render(table=score_table(comparison), verdict=verdict(comparison))
    )
    return replace_lone_surrogates(fragment)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _about(comparison: ComparisonResult) -> str:
    kinds = {"multilabel": "labels", "regression": "regression"}
    target = shorten(comparison.target.name or "the target", MAX_NAME)
    return (
        f"{len(comparison.outcomes)} feature sets side by side on {len(comparison.texts):,} rows;"
        f" they predict {target} ({kinds.get(comparison.target.kind, 'classes')})."
    )


def _pictures(comparison: ComparisonResult) -> dict[str, _Picture | None]:
    metric = metric_name(comparison.metric)
    has_several_models = ", " in comparison.settings.get("models", "")
    scores = _picture(
        partial(plots.plot_scores, comparison),
        "scores",
        f"{metric} of each feature set",
        "The numbers are in the table below.",
    )
    pictures: dict[str, _Picture | None] = {
        # The caption is for screen readers only.
        "scores": replace(scores, caption="") if scores.svg else scores,
        "cost": _picture(
            partial(plots.plot_cost, comparison),
            "cost",
            f"{metric} against seconds for 1,000 rows",
            "Named are the best, the best baseline, and all that nothing beats in both quality and"
            " time. The numbers are in the tables.",
        ),
        "layers": _picture(
            partial(plots.plot_layers, comparison),
            "layers",
            f"{metric} of each layer under each pooling",
            "Framed is the best. Layer 0 is the embeddings; empty cells were not compared."
            + (" Only the first model is shown." if has_several_models else ""),
        ),
        "curve": None,
    }
    if comparison.learning_curve is not None:
        pictures["curve"] = _picture(
            partial(plots.plot_learning_curve, comparison),
            "curve",
            f"{metric} against the number of labelled rows",
            "The best three that are contextual (lines) and the best three that are not (dashes);"
            " the bands are the 95 % intervals of the best of either. A curve that still rises"
            " calls for more rows.",
        )
    return pictures


def _picture(draw: Callable[[], Figure], name: str, title: str, caption: str) -> _Picture:
    """Draw a figure; if that fails, the caption is the reason."""
    try:
        return _Picture(Markup(figure_svg(draw, f"figure-{name}", title, caption)), caption)
    except BertVectorizerError as error:
        return _Picture(None, str(error))


def _confusions(comparison: ComparisonResult, contextual: str | None) -> Iterator[dict[str, Any]]:
    """Yield the mistakes of the best contextual features and of the best baseline."""
    members = [(contextual, "best contextual"), (comparison.baseline, "best baseline")]
    for name, kind in members[: 1 if contextual == comparison.baseline else 2]:
        if name is None:
            continue
        shown = shorten(name, MAX_NAME)
        title, caption, mistakes = f"Predicted against actual, {shown}", "", []
        if comparison.target.kind != "regression":
            found = count_confusions(comparison, name)
            mistakes = [
                (shorten(truth), shorten(predicted), f"{count:,}")
                for truth, predicted, count in found.mistakes[:_MAX_MISTAKES]
            ]
            n_shown = len(found.rows)
            share = f"{n_shown} of " if n_shown < found.n_classes else ""
            what = "classes" if found.rows == found.columns else "labels"
            title = f"Confusion matrix, {shown}"
            caption = (
                f"Rows are the truth: {share}{found.n_classes} {what}. The stronger a cell's"
                " colour, the larger its share of the row."
            )
        draw = partial(plots.plot_confusion, comparison, name)
        picture = _picture(draw, kind.replace(" ", "-"), title, caption)
        yield {"name": shown, "kind": kind, "mistakes": mistakes, "picture": picture}


def _find_occurrences(
    comparison: ComparisonResult, word: str | None
) -> tuple[Occurrences | None, str]:
    """Return the occurrences of a word, or the reason why there are none."""
    if word is None and best_contextual(comparison) is None:  # load no model for an example
        reason = "This needs contextual features, or a word of the texts: to_html(path, word=…)."
        return None, reason
    try:
        return word_occurrences(comparison, word), ""
    except InvalidParameterError:
        raise
    except (BertVectorizerError, MemoryError) as error:
        return None, f"The picture could not be drawn: {error}"


def _word(found: Occurrences) -> dict[str, Any]:
    caption = f"Colours are {'its senses' if found.is_example else 'the labels of the texts'}."
    if math.isfinite(found.explained):
        share = format_share(found.explained)
        caption += f" Two dimensions show {share} of what differs in context."
    if math.isfinite(found.separation):
        caption += (
            f" Silhouette of the colours in all dimensions: {format_score(found.separation)}"
            " (1 is apart, 0 is mixed; without context it is 0)."
        )
    count = f"{found.n_found} occurrences"
    if len(found.texts) < found.n_found:
        count = f"{len(found.texts)} of {found.n_found:,} occurrences, drawn at random,"
    where = (
        f"Here are {count} in {'the embedded example' if found.is_example else 'your texts'}, read"
        f" at layer {found.layer} of {shorten(found.model_name, MAX_NAME)}."
    )
    if found.is_example:
        where += " Name a word of your own texts to see it here."
    examples = []
    for label in found.shown_labels:
        rows = np.flatnonzero(found.labels == label)[:_MAX_EXAMPLES]
        contexts = [_context(found.texts[row], *found.spans[row].tolist()) for row in rows]
        examples.append((shorten(label, MAX_NAME), contexts))
    word = one_line(found.word)
    title = f"{count} of the word “{word}”, without and with context"
    picture = _picture(partial(plots.plot_occurrences, found), "word", title, caption)
    return {"word": word, "where": where, "picture": picture, "examples": examples}


def _context(text: str, start: int, end: int) -> tuple[str, str, str]:
    """Return the text before a word, the word, and the text after it, both shortened."""
    before, after = text[:start], text[end:]
    if len(before) > _CONTEXT_CHARACTERS:
        before = "… " + before[-_CONTEXT_CHARACTERS:]
    if len(after) > _CONTEXT_CHARACTERS:
        after = after[:_CONTEXT_CHARACTERS] + " …"
    return before, text[start:end], after
