"""Fine-tuned transformers as scikit-learn estimators.

`base` has what all share: parameters, the fit, the network of a fitted estimator; `targets` has
what is learned from y, and `progress` shows how far a training is. `classifier` and `regressor`
have the estimators of texts and pairs, and `tagger` that of words.
"""

from __future__ import annotations

from .classifier import BertClassifier
from .regressor import BertRegressor
from .tagger import BertTagger

__all__ = ["BertClassifier", "BertRegressor", "BertTagger"]
