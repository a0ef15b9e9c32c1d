"""Render a comparison as one HTML page without scripts or external resources."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ...errors import BertVectorizerError, InvalidParameterError
from ...models.checkpoint.text_tokens import replace_lone_surrogates
from ...validation import invalid
from ..comparison.example import load_example
from . import plots
from .confusion import count_confusions
from .figure_style import NARROW, WIDTH
from .formatting import (
    MAX_NAME,
    best_contextual,
    corrected,
    format_score,
    format_share,
    metric_name,
    one_line,
    shorten,
    verdict,
)
from .svg import figure_svg
from .tables import cost_table, find_flips, score_table, split_table
from .word_in_context import EXAMPLE_WORD, Occurrences, word_occurrences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..comparison.result import ComparisonResult

__all__ = ["render_report", "repr_html"]

_CONTEXT_CHARACTERS = 100
_MAX_MISTAKES = 5
_MAX_EXAMPLES = 3
_MAX_CLASSES = 12  # of a confusion matrix that can be read on a phone
_MAX_NOTES = 3
_LONGEST_WORD = 26  # letters that a cell of a table has room for
_LONGEST_WHOLE = 16  # letters of a word that is not broken at its hyphens
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_ORIGIN = ("file", "date", "command", "versions")  # settings for the head and the foot of the page


@dataclass(frozen=True)
class _Picture:
    """A figure, or the reason why there is none."""

    svg: Markup | None
    caption: str


def render_report(
    comparison: ComparisonResult, word: str | None = None, title: str | None = None
) -> str:
    """Return a comparison as an HTML page.

    ``word`` is a word of the texts whose occurrences are shown. None takes one of the built-in
    example if the texts are from there, or else shows none. ``title`` is the heading; None makes
    one. Everything that users wrote is escaped. Sections without content are left out.

    Examples
    --------
    >>> from bertvectorizer.pipeline import compare, load_example
    >>> example = load_example().head(40)
    >>> comparison = compare(example["text"], example["label"], ["TF-IDF words"], cv=2)
    >>> render_report(comparison)[:15]
    '<!doctype html>'
    """
    if title is not None and (not isinstance(title, str) or not one_line(title)):
        raise invalid("title", "a text that is not empty, or None", title)
    contextual = best_contextual(comparison)
    is_regression = comparison.target.kind == "regression"
    settings = comparison.settings
    source = one_line(Path(settings["file"]).name) if "file" in settings else ""
    pictures, left_out = _pictures(comparison)
    occurrences = _find_occurrences(comparison, word)
    if isinstance(occurrences, str):
        left_out.append(f"A word in context: {occurrences}")
    matrices = "Predicted and actual values" if is_regression else "Confusion matrices"
    flips = find_flips(comparison, contextual)
    confusions = list(_confusions(comparison, contextual))
    page = (
        _environment()
        .get_template("report.html")
        .render(
            title=one_line(title) if title else _default_title(source),
            about=_about(comparison),
            origin=[part for part in (source, settings.get("date")) if part],
            verdict=verdict(comparison),
            score_tables=split_table(score_table(comparison), 7 if comparison.n_test else 8),
            cost_table=cost_table(comparison) if _has_costs(comparison) else None,
            corner="top" if comparison.greater_is_better else "bottom",
            matrices=matrices,
            confusions=confusions,
            flips=flips,
            word=None if isinstance(occurrences, str) else _word(occurrences),
            primary=None if comparison.primary is None else shorten(comparison.primary, MAX_NAME),
            settings=[item for item in settings.items() if item[0] not in _ORIGIN],
            methods=comparison.methods,
            corrected=_corrected(comparison),
            notes=comparison.notes,
            max_notes=_MAX_NOTES,
            left_out=left_out,
            made_by=_made_by(settings),
            command=settings.get("command"),
            **pictures,
        )
    )
    return _printable(page.strip() + "\n")


def repr_html(comparison: ComparisonResult) -> str:
    """Return the table of a comparison as an HTML fragment for notebooks."""
    fragment = (
        _environment()
        .get_template("fragment.html")
        .render(
            table=score_table(comparison),
            verdict=verdict(comparison),
            best=_corrected(comparison),
            methods=comparison.methods,
        )
    )
    return _printable(fragment)


def _corrected(comparison: ComparisonResult) -> str:
    """Return the corrected score of the best feature set in words; "" if there is no selection."""
    best = comparison.corrected_best
    return f"{shorten(best.features, MAX_NAME)}, {corrected(best)}" * (best.n_candidates > 1)


def _printable(page: str) -> str:
    """Replace the characters that no page may hold."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", replace_lone_surrogates(page))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    return environment


def _breakable(text: str, longest: int = _LONGEST_WORD) -> Markup:
    """Escape a text; words too long for a cell may break, short ones not even at hyphens."""
    return Markup(" ").join(_breakable_word(word, longest) for word in str(text).split(" "))


def _breakable_word(word: str, longest: int) -> Markup:
    if "-" in word and len(word) <= _LONGEST_WHOLE:
        return Markup('<span class="whole">{}</span>').format(word)
    if len(word) <= longest:
        return escape(word)
    runs = re.findall("[^-/]+[-/]*|[-/]+", word)  # each ends after hyphens and slashes
    return Markup("<wbr>").join(
        run[i : i + longest] for run in runs for i in range(0, len(run), longest)
    )


def _default_title(source: str) -> str:
    return "Comparison of text features" + (f": {source}" if source else "")


def _made_by(settings: dict[str, str]) -> str:
    versions = settings.get("versions") or f"bertvectorizer {metadata.version('bertvectorizer')}"
    made = f"Made with {versions}"
    if "date" in settings:
        made += f", on {settings['date']}"
    return f"{made}. This page is one file and loads nothing."


def _about(comparison: ComparisonResult) -> str:
    target = comparison.target
    n_classes = 0 if target.classes is None else len(target.classes)
    kind = {"multilabel": f"{n_classes} labels", "regression": "regression"}
    name = shorten(target.name or "the target", MAX_NAME)
    n_sets = len(comparison.outcomes)
    noun = "pairs of texts" if comparison.texts.ndim == 2 else "texts"
    return (
        f"{n_sets} feature {'set' if n_sets == 1 else 'sets'}, each used to predict {name}"
        f" ({kind.get(target.kind, f'{n_classes} classes')}) from {len(comparison.texts):,} {noun}."
    )


def _pictures(comparison: ComparisonResult) -> tuple[dict[str, _Picture | None], list[str]]:
    """Return the pictures by name, and why some sections are left out."""
    metric = metric_name(comparison.metric)
    has_several_models = ", " in comparison.settings.get("models", "")
    wanted: dict[str, tuple[Callable[..., Figure], str, str]] = {
        "scores": (
            plots.plot_scores,
            f"{metric} of each feature set",
            "Points are the scores of the table, lines their 95 % intervals.",
        ),
        "cost": (
            plots.plot_cost,
            f"{metric} against seconds for 1,000 rows",
            "Labelled: the best, the best baseline, and what no other beats in both score and"
            " time, where there is room.",
        ),
        "layers": (
            plots.plot_layers,
            f"{metric} of each layer under each pooling",
            "The frame marks the best. Layer 0 is the embedding layer; – was not compared. The last"
            " layer is the default of BertVectorizer, as in the checkpoint; the one below it,"
            " layers=-2, is often better for classification."
            + (" Only the first model is shown." if has_several_models else ""),
        ),
        "curve": (
            plots.plot_learning_curve,
            f"{metric} against the number of labelled rows",
            "Solid: the best three contextual feature sets. Dashed: the best three baselines."
            f" Points are means over the folds. Bands: 95 % intervals of the best of each kind"
            f"{_curve_methods(comparison)}. Where a curve still rises at the"
            " right, more labelled rows are likely to help.",
        ),
    }
    names = {"scores": "Scores", "cost": "Cost", "layers": "Layers", "curve": "Learning curve"}
    pictures: dict[str, _Picture | None] = {}
    left_out = []
    if len(plots.layer_scores(comparison)) == 1:
        del wanted["layers"]  # a map of one cell shows nothing
        pictures["layers"] = None
        left_out.append("Layers: a single layer under a single pooling was compared.")
    for key, (plot, title, caption) in wanted.items():
        picture = _picture(partial(plot, comparison), key, title, caption)
        pictures[key] = picture if picture.svg else None
        if not picture.svg:
            left_out.append(f"{names[key]}: {picture.caption}")
    return pictures, left_out


def _curve_methods(comparison: ComparisonResult) -> str:
    """Return by which methods the intervals of the learning curve are, by their numbers."""
    curve, methods = comparison.learning_curve, list(comparison.methods)
    used = set() if curve is None else {*curve["interval_method"]}
    return "".join(f" [{methods.index(method) + 1}]" for method in methods if method in used)


def _picture(
    draw: Callable[..., Figure], name: str, title: str, caption: str, is_half: bool = False
) -> _Picture:
    """Draw a figure for wide and for narrow pages; if that fails, the caption is the reason.

    A figure of half the width of a page is the narrow one everywhere.
    """
    widths = {"any": NARROW} if is_half else {"wide": WIDTH, "narrow": NARROW}
    try:
        drawn = [
            Markup('<div class="{}">{}</div>').format(
                kind,
                Markup(figure_svg(partial(draw, width=width), f"{name}-{kind}", title, caption)),
            )
            for kind, width in widths.items()
        ]
    except BertVectorizerError as error:
        return _Picture(None, str(error))
    return _Picture(Markup("").join(drawn), caption)


def _has_costs(comparison: ComparisonResult) -> bool:
    measured = comparison.table[["encode_seconds", "fit_seconds", "predict_seconds", "peak_mib"]]
    return bool(measured.notna().to_numpy().any())


def _confusions(comparison: ComparisonResult, contextual: str | None) -> Iterator[dict[str, Any]]:
    """Yield the mistakes of the best contextual features and of the best baseline."""
    members = [(contextual, "best contextual"), (comparison.baseline, "best baseline")]
    members = [(name, kind) for name, kind in members if name is not None]
    if contextual == comparison.baseline:
        members = members[:1]
    for name, kind in members:
        shown = shorten(name, MAX_NAME)
        title, caption, mistakes = f"Predicted and actual values, {shown}", "", []
        if comparison.target.kind != "regression":
            found = count_confusions(comparison, name, _MAX_CLASSES)
            mistakes = [
                (shorten(truth), shorten(predicted), f"{count:,}")
                for truth, predicted, count in found.mistakes[:_MAX_MISTAKES]
            ]
            title = f"Confusion matrix, {shown}"
            caption = "The stronger the colour of a cell, the larger its share of the row."
        draw = partial(plots.plot_confusion, comparison, name, at_most=_MAX_CLASSES)
        key = kind.replace(" ", "-")
        picture = _picture(draw, key, title, caption, is_half=len(members) == 2)
        yield {"name": shown, "kind": kind, "mistakes": mistakes, "picture": picture}


def _find_occurrences(comparison: ComparisonResult, word: str | None) -> Occurrences | str:
    """Return the occurrences of a word, or the reason why there are none."""
    if word is None:
        if best_contextual(comparison) is None or not _is_example(comparison):
            return 'No word was named, as in to_html(path, word="…") or --word.'
        word = EXAMPLE_WORD
    try:
        return word_occurrences(comparison, word)
    except InvalidParameterError:
        raise
    except (BertVectorizerError, MemoryError) as error:
        return str(error)


def _is_example(comparison: ComparisonResult) -> bool:
    """Whether the texts are those of the built-in example, with the word that it is known for."""
    texts = set(comparison.texts.ravel().tolist())
    example = load_example()
    return texts <= set(example["text"]) and not texts.isdisjoint(
        example.loc[example["word"].str.lower() == EXAMPLE_WORD, "text"]
    )


def _word(found: Occurrences) -> dict[str, Any]:
    caption = "Colours are the target of the texts."
    if math.isfinite(found.explained):
        share = format_share(found.explained)
        caption += f" In context, the two principal components explain {share} of the variance."
    if math.isfinite(found.separation):
        caption += (
            f" Silhouette score of the colours in all dimensions: {format_score(found.separation)}"
            " (1 is apart; 0 is mixed, as without context)."
        )
    count = f"{found.n_found} occurrences"
    if len(found.texts) < found.n_found:
        count = f"{len(found.texts)} of {found.n_found:,} occurrences, drawn at random,"
    where = f"Here are {count} at layer {found.layer} of {shorten(found.model_name, MAX_NAME)}."
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
