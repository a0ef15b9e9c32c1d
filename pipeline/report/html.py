"""A comparison as one web page that needs nothing else: no network, no script."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ...errors import BertVectorizerError, InvalidParameterError
from ...models.checkpoint.text_tokens import replace_lone_surrogates
from ..files.write import write_text
from . import plots
from .confusion import count_confusions
from .formatting import (
    best_contextual,
    metric_name,
    one_line,
    say_score,
    say_share,
    shorten,
    verdict,
)
from .svg import figure_svg
from .tables import cost_table, find_flips, score_table
from .word_in_context import Occurrences, word_occurrences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["render_report", "repr_html", "write_report"]

_LETTERS_AROUND = 100
_LONGEST_NAME = 60
_MOST_MISTAKES = 5
_EXAMPLES_OF_A_LABEL = 3
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


def render_report(comparison: Any, word: str | None = None) -> str:
    """Return a comparison as a web page.

    Parameters
    ----------
    comparison : Comparison
    word : str or None
        Word of the texts whose occurrences are shown in context; None takes the embedded example.

    Returns
    -------
    str
        HTML with everything inside it. Whatever users wrote stays text.

    Raises
    ------
    InvalidParameterError
        If the word is in no text.

    Examples
    --------
    >>> from bertvectorizer.pipeline import compare, load_example
    >>> example = load_example().head(40)
    >>> comparison = compare(example["text"], example["label"], ["majority class", "TF-IDF words"], cv=2)
    >>> render_report(comparison)[:15]
    '<!doctype html>'
    """
    contextual = best_contextual(comparison)
    occurrences, no_word = _find_occurrences(comparison, word)
    is_amount = comparison.target.kind == "regression"
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
                "Predicted against actual" if is_amount else "What was taken for what"
            ),
            confusions=list(_confusions(comparison, contextual)),
            flips=find_flips(comparison, contextual),
            word=None if occurrences is None else _word(occurrences),
            no_word=no_word,
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


def write_report(comparison: Any, path: str | Path, word: str | None = None) -> Path:
    """Write a comparison as a web page.

    Parameters
    ----------
    comparison : Comparison
    path : str or Path
        A file there is replaced at once, or stays as it is if anything fails.
    word : str or None
        As for `render_report`.

    Returns
    -------
    Path

    Raises
    ------
    InvalidParameterError
        If the directory does not exist or cannot be written to, or the word is in no text.
    """
    return write_text(path, render_report(comparison, word))


def repr_html(comparison: Any) -> str:
    """Return the table of a comparison as a fragment of HTML, for notebooks."""
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


def _about(comparison: Any) -> str:
    kind = {"multilabel": "labels", "regression": "amounts"}.get(comparison.target.kind, "classes")
    target = shorten(comparison.target.name or "the target", _LONGEST_NAME)
    return (
        f"{len(comparison.outcomes)} kinds of features side by side on {len(comparison.texts):,}"
        f" rows; they predict {target} ({kind})."
    )


def _pictures(comparison: Any) -> dict[str, _Picture | None]:
    metric = metric_name(comparison.metric)
    found: dict[str, _Picture | None] = {
        "scores": _picture(
            partial(plots.plot_scores, comparison),
            "scores",
            f"{metric} of each kind of features",
            "The numbers are in the table below.",
            is_shown=False,
        ),
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
            "Framed is the best. Layer 0 is the embeddings; empty cells were not compared.",
        ),
        "curve": None,
    }
    if comparison.learning_curve is not None:
        found["curve"] = _picture(
            partial(plots.plot_learning_curve, comparison),
            "curve",
            f"{metric} against the number of labelled rows",
            "The best three that are contextual (lines) and the best three that are not (dashes);"
            " the bands are the 95 % intervals of the best of either. A curve that still rises asks"
            " for more rows.",
        )
    return found


def _picture(
    draw: Callable[[], Figure], name: str, title: str, caption: str, is_shown: bool = True
) -> _Picture:
    """Draw a figure; a caption that is not shown is still told to screen readers."""
    try:
        return _Picture(
            Markup(figure_svg(draw, f"figure-{name}", title, caption)), caption if is_shown else ""
        )
    except BertVectorizerError as error:
        return _Picture(None, str(error))


def _confusions(comparison: Any, contextual: str | None) -> Iterator[dict[str, Any]]:
    is_amount = comparison.target.kind == "regression"
    for name, kind in ((contextual, "best contextual"), (comparison.baseline, "best baseline")):
        if name is None or (name == contextual and kind == "best baseline"):
            continue
        shown, mistakes, caption = shorten(name, _LONGEST_NAME), [], ""
        if not is_amount:
            found = count_confusions(comparison, name)
            mistakes = [
                (shorten(truth), shorten(taken), f"{count:,}")
                for truth, taken, count in found.mistakes[:_MOST_MISTAKES]
            ]
            many = (
                f"{len(found.rows)} of {found.n_classes}"
                if len(found.rows) < found.n_classes
                else str(found.n_classes)
            )
            what = "classes" if found.rows == found.columns else "labels"
            caption = (
                f"Rows are the truth: {many} {what}. The stronger a cell's colour, the larger its"
                " share of the row."
            )
        title = f"{'Predicted against actual' if is_amount else 'Confusion matrix'}, {shown}"
        drawn = _picture(
            partial(plots.plot_confusion, comparison, name), kind.replace(" ", "-"), title, caption
        )
        yield {"name": shown, "kind": kind, "mistakes": mistakes, "picture": drawn}


def _find_occurrences(comparison: Any, word: str | None) -> tuple[Occurrences | None, str]:
    """Return the occurrences of a word, or why there are none: a picture that cannot be drawn keeps no page from being written."""
    if (
        word is None and best_contextual(comparison) is None
    ):  # no model need be loaded for a picture that nobody asked for
        return (
            None,
            (
                "This needs contextual features. A word of the texts can be asked for by name:"
                " to_html(path, word=…)."
            ),
        )
    try:
        return word_occurrences(comparison, word), ""
    except InvalidParameterError:
        raise
    except (BertVectorizerError, MemoryError) as error:
        return None, f"The picture could not be drawn: {error}"


def _word(found: Occurrences) -> dict[str, Any]:
    told = f"Colours are {'its senses' if found.is_example else 'the labels of the texts'}."
    if math.isfinite(found.explained):
        told += f" Two dimensions show {say_share(found.explained)} of what differs in context."
    if math.isfinite(found.separation):
        silhouette = f" Silhouette of the colours in all dimensions: {say_score(found.separation)}"
        told += f"{silhouette} (1 is apart, 0 is mixed; without context it is 0)."
    count = f"{found.n_found} occurrences"
    if len(found.texts) < found.n_found:
        count = f"{len(found.texts)} of {found.n_found:,} occurrences, drawn at random,"
    where = (
        f"Here are {count} in {'the embedded example' if found.is_example else 'your texts'}, read"
        f" at layer {found.layer} of "
    )
    where += f"{shorten(found.model_name, _LONGEST_NAME)}."
    if found.is_example:
        where += " A word of your own texts is shown where it is asked for by name."
    examples = []
    for label in found.shown_labels:
        rows = [row for row, own in enumerate(found.labels) if own == label][:_EXAMPLES_OF_A_LABEL]
        examples.append(
            (
                shorten(label, _LONGEST_NAME),
                [_around(found.texts[row], *found.spans[row].tolist()) for row in rows],
            )
        )
    title = f"{count} of the word “{one_line(found.word)}”, without and with context"
    return {
        "word": one_line(found.word),
        "where": where,
        "picture": _picture(partial(plots.plot_occurrences, found), "word", title, told),
        "examples": examples,
    }


def _around(text: str, start: int, end: int) -> tuple[str, str, str]:
    """Return what stands before a word, the word, and what stands after it, not too much of either."""
    room = _LETTERS_AROUND
    before, after = text[:start], text[end:]
    left = ("… " + before[-room:]) if len(before) > room else before
    right = (after[:room] + " …") if len(after) > room else after
    return left, text[start:end], right
