"""The bar of a training ends at 100 %, and callbacks of scikit-learn are told of epochs."""

from __future__ import annotations

import importlib.util
import re
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV

from bertvectorizer.errors import TrainingDivergedError
from bertvectorizer.models.training.loop import TrainingResult
from bertvectorizer.pipeline.fine_tuning import progress
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
    assert re.search(r"<00:00, .*tokens.*, loss=\d+\.\d{3}\]$", line), line
    below = [part for part in re.split("[\r\n]", shown.err) if "lower layers: 100%|" in part]
    assert bool(below) == (parameters.get("trainable_layers") != "all")


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


def test_a_training_that_goes_on_begins_behind_what_is_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress.TrainingBar("Model", 400, verbose=True, n_epochs=4) as bar:
        bar.go_on(300, TrainingResult(n_iter=3))
        bar.step(50, 1.0)
        assert bar._bar.format_dict["n"] - bar._bar.format_dict["initial"] == 50
    shown = capsys.readouterr().err
    assert "Model, epoch 3/4:  75%|" in shown
    assert "100%|" in last_line(shown)


class Recorder:
    """Notes what it is told of a fit, and asks to stop after an epoch."""

    def __init__(self, last_epoch: int | None = None) -> None:
        self.events: list[Any] = []
        self.chances: list[Any] = []
        self._last_epoch = last_epoch

    def setup(self, estimator: Any, context: Any) -> None:
        self.events.append("setup")

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        self.events.append(("begin", context.task_name, context.task_id, context.max_subtasks))

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, X: Any, y: Any, metadata: Any, fitted_estimator: Any
    ) -> bool:
        self.events.append(("end", context.task_name, context.task_id, metadata))
        assert accuracy_score(y, fitted_estimator.predict(X)) == fitted_estimator.score(X, y)
        self.chances.append(fitted_estimator.predict_proba(X))
        return context.task_name == "epoch" and context.task_id + 1 == self._last_epoch

    def teardown(self, estimator: Any, context: Any) -> None:
        self.events.append("teardown")


def test_callbacks_are_told_of_each_epoch(tiny_model: ModelFactory) -> None:
    recorder, weights = Recorder(), np.ones(12)
    model = classifier(tiny_model, epochs=2).set_callbacks(recorder)
    model.fit(TEXTS, LABELS, weights)
    metadata = {"sample_weight": weights}
    assert recorder.events == [
        "setup",
        ("begin", "fit", 0, 2),
        ("begin", "epoch", 0, 0),
        ("end", "epoch", 0, metadata),
        ("begin", "epoch", 1, 0),
        ("end", "epoch", 1, metadata),
        ("end", "fit", 0, metadata),
        "teardown",
    ]
    silent = classifier(tiny_model, epochs=2).fit(TEXTS, LABELS, weights).predict_proba(TEXTS)
    first, second, end = recorder.chances
    assert not np.array_equal(first, second)
    assert np.array_equal(second, end)
    assert np.array_equal(end, silent)


def test_a_callback_stops_training(tiny_model: ModelFactory) -> None:
    for parameters, last in (({}, 2), ({"early_stopping": True, "validation_fraction": 0.3}, 1)):
        recorder = Recorder(last)
        model = classifier(tiny_model, **parameters).set_callbacks(recorder).fit(TEXTS, LABELS)
        assert model.n_iter_ == len(model.loss_curve_) == last
        kinds = [event[:2] for event in recorder.events if isinstance(event, tuple)]
        assert kinds.count(("begin", "epoch")) == kinds.count(("end", "epoch")) == last


def test_callbacks_are_torn_down_after_an_error(tiny_model: ModelFactory) -> None:
    recorder = Recorder()
    model = classifier(tiny_model).set_callbacks(recorder).fit(TEXTS, LABELS)
    before = dict(vars(model))
    model.set_params(learning_rate=1e30)
    with pytest.raises(TrainingDivergedError):
        model.fit(TEXTS, LABELS)
    assert recorder.events[-1] == "teardown"
    assert vars(model.set_params(learning_rate=0.01)) == before


def test_scikit_learn_s_own_callbacks(
    tiny_model: ModelFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor = ScoringMonitor(scoring="accuracy")
    model = classifier(tiny_model, epochs=3).set_callbacks(monitor).fit(TEXTS, LABELS)
    scores = pd.DataFrame(monitor.get_logs().data)
    assert scores.query("task_name == 'epoch'").accuracy.iloc[-1] == model.score(TEXTS, LABELS)
    assert len(scores) == 4
    search = GridSearchCV(classifier(tiny_model), {"epochs": [1, 2]}, cv=2)
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(np.array(TEXTS), LABELS)
    shown = capsys.readouterr().out
    assert re.search(r"BertClassifier - fit.*100%", shown)


def test_versions_of_scikit_learn_without_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    spec = importlib.util.find_spec(progress.__name__)
    assert spec
    assert spec.loader
    old = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(old)

    class Estimator(old.CallbackSupportMixin):  # type: ignore[misc, name-defined]
        @old.with_callbacks  # type: ignore[untyped-decorator]
        def fit(self) -> bool:
            tasks = old.FitTasks(self, 2, TEXTS, LABELS)
            must_stop: bool = tasks.end_epoch(False, dict)
            tasks.end()
            return must_stop

    assert not Estimator().fit()
