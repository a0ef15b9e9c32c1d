"""Workflows over the features: compare them, report, train, predict, embed whole files."""

from __future__ import annotations

from .compare import ComparisonInterrupted, compare
from .comparison import Comparison
from .conll import read_conll
from .embed import embed_file
from .example import load_example
from .fitting import fit_pipeline
from .labeler import SequenceLabeler
from .outcome import Cost, Outcome
from .persistence import SavedPipeline, load_pipeline, save_pipeline
from .predict import predict_file
from .roster import choose_features, default_features, layer_features
from .tables import read_chunks, read_sample, read_table
from .tagged_sentences import TaggedSentences

__all__ = [
    "Comparison",
    "ComparisonInterrupted",
    "Cost",
    "Outcome",
    "SavedPipeline",
    "SequenceLabeler",
    "TaggedSentences",
    "choose_features",
    "compare",
    "default_features",
    "embed_file",
    "fit_pipeline",
    "layer_features",
    "load_example",
    "load_pipeline",
    "predict_file",
    "read_chunks",
    "read_conll",
    "read_sample",
    "read_table",
    "save_pipeline",
]
