"""Fine-tuned transformers as scikit-learn estimators.

`trained` has the parameters of a training, and `base` what all share beside them: the fit, and the
network of a fitted estimator. `targets` has what is learned from y, and `progress` shows how far a
training is. `classifier` and `regressor` have the estimators of texts and pairs, `tagger` that of
words, and `answerer` that of questions: `answer_inputs` reads these and their answers,
`answer_spans` finds the best span of a context, and `squad_metrics` compares answers.
"""

from __future__ import annotations

from .answerer import BertAnswerer
from .classifier import BertClassifier
from .regressor import BertRegressor
from .tagger import BertTagger

__all__ = ["BertAnswerer", "BertClassifier", "BertRegressor", "BertTagger"]
