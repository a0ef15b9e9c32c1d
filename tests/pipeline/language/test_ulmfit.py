"""The recipe of ULM-FiT from end to end: adapt, then thaw from the head on, at rates by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertvectorizer import BertClassifier, LanguageModel
from bertvectorizer.models.training.loop import Training
from tests.tiny import ModelFactory
from tests.training import weights_of

REVIEWS = [
    ("A fine film, and the music stays with you for days.", "good"),
    ("Dull from the first scene to the last.", "bad"),
    ("The actors are superb, above all the old captain.", "good"),
    ("Nobody on the set seems to have read the script.", "bad"),
    ("I laughed until the man beside me laughed at me.", "good"),
    ("Two hours that I would like to have back.", "bad"),
    ("Warm, clever and short: see it twice.", "good"),
    ("The plot makes no sense, and then it ends.", "bad"),
] * 2
UNLABELLED = [
    *(text for text, _ in REVIEWS[:8]),
    "The film opened in May and ran for three weeks.",
    "Her third film was shot on an island, in the rain.",
    "The captain sails home, and the music stops.",
    "There is a second script, which nobody has read.",
]
N_LAYERS = 3
ULMFIT: dict[str, Any] = {
    "layer_decay": 1 / 2.6,
    "schedule": "slanted_triangular",
    "random_state": 0,
    "learning_rate": 1e-2,
    "weight_decay": 0.0,
    "batch_size": 4,
    "device": "cpu",
}


class Watched:
    """What each training does: weights before and after each epoch, and the rates of each step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.weights: list[dict[str, torch.Tensor]] = []
        self.rates: list[dict[str, float]] = []
        self.network: Any = None
        run_epoch, take_step = Training.run_epoch, Training._take_step

        def watched_epoch(training: Training) -> None:
            if self.network is not training._network:
                self.network = training._network
                self.weights, self.rates = [weights_of(self.network)], []
            run_epoch(training)
            self.weights.append(weights_of(self.network))

        def watched_step(training: Training, rows: Any) -> Any:
            result = take_step(training, rows)
            names = {id(each): name for name, each in self.network.named_parameters()}
            groups = training._optimizer.param_groups
            self.rates.append(
                {names[id(each)]: group["lr"] for group in groups for each in group["params"]}
            )
            return result

        monkeypatch.setattr(Training, "run_epoch", watched_epoch)
        monkeypatch.setattr(Training, "_take_step", watched_step)

    def changed(self, epoch: int) -> set[int]:
        """Return the layers that an epoch changed; the head is one above the last."""
        before, after = self.weights[epoch], self.weights[epoch + 1]
        return {
            self.network.depth_of(name)
            for name, each in after.items()
            if not torch.equal(each, before[name])
        }

    def check_rates(self, n_steps: int) -> None:
        """Compare the rates with equation 3 of the paper, and those of layers with each other."""
        assert len(self.rates) == n_steps
        cut, share, ratio = np.ceil(0.1 * n_steps), np.ceil(0.1 * n_steps) / n_steps, 32
        for step, rates in enumerate(self.rates):
            p = step / cut if step < cut else 1 - (step - cut) / (cut * (1 / share - 1))
            top = 1e-2 * (1 + p * (ratio - 1)) / ratio
            for name, rate in rates.items():
                below = max(N_LAYERS - self.network.depth_of(name), 0)
                assert rate == pytest.approx(top / 2.6**below), (step, name)


def test_the_recipe_adapts_then_thaws_from_the_adapted_weights(
    tiny_model: ModelFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    given = tiny_model("bert", initializer_range=0.1)
    language_model = LanguageModel(given, epochs=5, **ULMFIT).fit(UNLABELLED)
    assert language_model.loss_curve_[-1] < language_model.loss_curve_[0]
    for epoch in range(5):
        assert watched.changed(epoch) >= {0, 1, 2, 3}
    watched.check_rates(n_steps=15)
    adapted = watched.weights[-1]
    directory = language_model.save_pretrained(tmp_path / "adapted")

    X, y = map(list, zip(*REVIEWS, strict=True))
    epochs = N_LAYERS + 10
    classifier = BertClassifier(directory, unfreezing="gradual", epochs=epochs, **ULMFIT)
    classifier.fit(X, y)
    begin = watched.weights[0]
    moved = [name for name in adapted if name.startswith("base.") and "pooler" not in name]
    assert len(moved) > 30
    for name in moved:  # the classifier begins where the language model ended
        torch.testing.assert_close(begin[name], adapted[name], rtol=0, atol=0)
    for epoch in range(epochs):
        thawed = {depth for depth in range(N_LAYERS + 2) if depth > N_LAYERS - epoch}
        assert watched.changed(epoch) == thawed, epoch
    watched.check_rates(n_steps=4 * epochs)
    assert classifier.score(X, y) > 0.8
