"""The names that skops files give to the types of this package: public ones, whatever the modules.

A file names a type by its module, and modules move. The names here stay as they are.
"""

from __future__ import annotations

import importlib
from functools import cache

from .. import saving

__all__ = ["FORMER_NAMES", "OWN_TYPES", "public_names"]

# Names in files that were written before modules moved into sub-packages -> public names.
FORMER_NAMES = {
    "bertvectorizer.features.bert.BertVectorizer": "bertvectorizer.BertVectorizer",
    "bertvectorizer.features.bert_spans.BertSpanVectorizer": "bertvectorizer.BertSpanVectorizer",
    "bertvectorizer.features.bert_words.BertWordVectorizer": "bertvectorizer.BertWordVectorizer",
    "bertvectorizer.features.static.StaticVectorizer": "bertvectorizer.StaticVectorizer",
    "bertvectorizer.features.weighting._Plain": "bertvectorizer.pipeline.saving.PlainWeighting",
    "bertvectorizer.features.weighting._PowerMean": "bertvectorizer.pipeline.saving.PowerMeans",
    "bertvectorizer.features.weighting._Sif": "bertvectorizer.pipeline.saving.SifWeighting",
    "bertvectorizer.features.weighting._Tfidf": "bertvectorizer.pipeline.saving.TfidfWeighting",
    "bertvectorizer.features.word2vec.Word2VecVectorizer": "bertvectorizer.Word2VecVectorizer",
    "bertvectorizer.features.word_base.OovReport": "bertvectorizer.features.OovReport",
    "bertvectorizer.models.crf.LinearChainCrf": "bertvectorizer.pipeline.saving.LinearChainCrf",
    "bertvectorizer.models.tokenization.Truncation": "bertvectorizer.models.Truncation",
    "bertvectorizer.pipeline.labeler.SequenceLabeler": "bertvectorizer.SequenceLabeler",
    **{
        f"bertvectorizer.pipeline.packed.{name}": f"bertvectorizer.pipeline.saving.{name}"
        for name in saving.__all__
        if name.startswith("Packed")
    },
}
# The public names of types, those of later ones added.
OWN_TYPES = frozenset(
    {
        *FORMER_NAMES.values(),
        "bertvectorizer.BertAnswerer",
        "bertvectorizer.BertClassifier",
        "bertvectorizer.BertRegressor",
        "bertvectorizer.BertTagger",
        "bertvectorizer.OverlapVectorizer",
        "bertvectorizer.PairVectorizer",
    }
)


@cache
def public_names() -> dict[str, str]:
    """Return the public names of types by the names of the modules that define them today."""
    names = {}
    for public in OWN_TYPES:
        module, _, name = public.rpartition(".")
        kind = getattr(importlib.import_module(module), name)
        names[f"{kind.__module__}.{kind.__qualname__}"] = public
    return names
