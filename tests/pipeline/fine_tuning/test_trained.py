"""Tests of pipeline/fine_tuning/trained.py; the tests of each estimator try its parameters."""

from __future__ import annotations

from bertvectorizer import BertAnswerer, BertClassifier, BertRegressor, BertTagger, LanguageModel
from bertvectorizer.pipeline.fine_tuning.trained import TrainedEstimator


def test_all_estimators_that_train_take_the_parameters_of_a_training() -> None:
    names = set(TrainedEstimator.__annotations__)
    for kind in (BertAnswerer, BertClassifier, BertRegressor, BertTagger, LanguageModel):
        parameters = kind().get_params()
        assert issubclass(kind, TrainedEstimator)
        missing = names - set(parameters)
        assert missing <= {"missing"}, (kind, missing)
