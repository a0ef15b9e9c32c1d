"""The bar of a training ends at 100 %, and callbacks of scikit-learn are told of epochs."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bertvectorizer.errors import TrainingDivergedError
from tests.pipeline.fine_tuning.sentences import LABELS, TEXTS, classifier
from tests.tiny import ModelFactory


def last_line(shown: str) -> str:
    return [line for line in re.split("[\r\n]", shown) if line.strip()][-1]


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"trainable_layers": 0},
        {"trainable_layers": "all"},
        {"early_stopping": True, "validation_fraction": 0.3, "epochs": 30},
    ],
)
def test_the_bar_ends_at_100_percent(
    parameters: dict[str, Any], tiny_model: ModelFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    model = classifier(tiny_model, verbose=True, **parameters).fit(TEXTS, LABELS)
    shown = capsys.readouterr()
    assert shown.out == ""
    line = last_line(shown.err)
    assert re.match(rf"BertClassifier, epoch {model.n_iter_}/\d+: 100%\|", line)
    assert re.search(r"<00:00, .* tokens/s, loss=\d\.\d{3}\]$", line)


def test_the_bar_stays_where_training_fails(
    tiny_model: ModelFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TrainingDivergedError):
        classifier(tiny_model, verbose=True, learning_rate=1e30).fit(TEXTS, LABELS)
    assert "100%" not in last_line(capsys.readouterr().err)


def test_without_verbose_nothing_is_shown(
    tiny_model: ModelFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    classifier(tiny_model).fit(TEXTS, LABELS)
    assert capsys.readouterr() == ("", "")
