"""Workflows over the features: compare them, report, train, predict, embed whole files.

`progress_bar` shows how far a comparison is.
"""

from __future__ import annotations

from .comparison.candidates import (
    choose_features,
    default_features,
    fine_tuned_features,
    layer_features,
)
from .comparison.example import load_example
from .comparison.fitting import fit_pipeline
from .comparison.intervals.selection import BestScore
from .comparison.outcome import Cost, Outcome
from .files.embed import embed_file
from .files.predict import predict_file
from .files.read import read_chunks, read_sample, read_table
from .fine_tuning.answerer import BertAnswerer
from .fine_tuning.classifier import BertClassifier
from .fine_tuning.regressor import BertRegressor
from .fine_tuning.tagger import BertTagger
from .language.from_nothing import architectures, train_wordpiece
from .language.language_model import LanguageModel
from .report.result import Comparison
from .run_comparison import ComparisonInterrupted, compare
from .saving.pipeline_file import SavedPipeline, load_pipeline, save_pipeline
from .tagging.conll import read_conll
from .tagging.labeler import SequenceLabeler
from .tagging.tagged_sentences import TaggedSentences

__all__ = [
    "BertAnswerer",
    "BertClassifier",
    "BertRegressor",
    "BertTagger",
    "BestScore",
    "Comparison",
    "ComparisonInterrupted",
    "Cost",
    "LanguageModel",
    "Outcome",
    "SavedPipeline",
    "SequenceLabeler",
    "TaggedSentences",
    "architectures",
    "choose_features",
    "compare",
    "default_features",
    "embed_file",
    "fine_tuned_features",
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
    "train_wordpiece",
]
