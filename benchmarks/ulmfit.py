"""ULM-FiT on Spanish tweets, with and without each of its parts, by the number of labels.

Run ``python -m benchmarks.ulmfit``; README.md says what each number means. Each measurement is
written when it is done, and a later run goes on with those that are missing.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from bertvectorizer import BertClassifier, BertVectorizer
from bertvectorizer.models.checkpoint.source import DEFAULT_MODEL

from .adapted import FOLDER, ULMFIT, adapt
from .common import RESULTS, machine, parser
from .cpu_seconds import fit_and_predict
from .kept_results import KeptResults, Measurement
from .language_tables import ulmfit_table
from .texts import tass

RECIPE: dict[str, Any] = {**ULMFIT, "unfreezing": "gradual"}
PLAIN: dict[str, Any] = {"layer_decay": 1.0, "schedule": "constant", "unfreezing": None}
FROZEN = "frozen features"
# Whether the model is adapted first, and what differs from the recipe; None takes frozen features.
WAYS: dict[str, tuple[bool, dict[str, Any] | None]] = {
    "ULM-FiT": (True, {}),
    "without adaptation": (False, {}),
    "without discriminative rates": (True, {"layer_decay": PLAIN["layer_decay"]}),
    "without slanted triangular rates": (True, {"schedule": PLAIN["schedule"], "warmup": 0.0}),
    "without gradual unfreezing": (True, {"unfreezing": PLAIN["unfreezing"]}),
    "without any of the four": (False, {**PLAIN, "warmup": 0.0}),
    f"{FROZEN}, adapted": (True, None),
    FROZEN: (False, None),
}
# Labels, seeds and ways, the most important first.
CASES: tuple[tuple[int, tuple[int, ...], tuple[str, ...]], ...] = (
    (500, (0,), tuple(WAYS)),
    (100, (0, 1, 2), tuple(WAYS)),
    (2000, (0,), ("ULM-FiT", "without adaptation", "without any of the four", FROZEN)),
    (500, (1, 2), tuple(WAYS)),
)


def measurements(
    data: Path, folder: Path, layers: Literal["all"] | int, epochs: int, n_test: int
) -> Iterator[Measurement]:
    """Yield what to measure."""
    texts, labels = tass(data, "train")
    test = [rows[:n_test] for rows in _shuffled(*tass(data, "dev"), seed=0)]

    def measure(n_labels: int, seed: int, way: str) -> dict[str, Any]:
        is_adapted, changes = WAYS[way]
        model: str | Path = DEFAULT_MODEL
        if is_adapted:
            model = adapt(data, "tass", 2400, 2, folder, **ULMFIT).directory
        X, y = (rows[:n_labels] for rows in _shuffled(texts, labels, seed))
        if changes is None:
            estimator: Any = make_pipeline(
                BertVectorizer(model, layers=-2, pooling="mean", store=None),
                StandardScaler(),
                LogisticRegressionCV(
                    Cs=[0.001, 0.01, 0.1], cv=5, max_iter=1000, scoring="f1_macro"
                ),
            )
        else:
            estimator = BertClassifier(
                model,
                trainable_layers=layers,
                pooling=("cls", "max", "mean"),  # as in section 3.3 of the paper
                epochs=epochs,
                head_learning_rate=2e-3,
                random_state=seed,
                store=None,
                device="cpu",
                **{**RECIPE, **changes},
            )
        predictions, seconds = fit_and_predict(estimator, X, y, test[0])
        return {
            "f1": float(f1_score(test[1], predictions, average="macro")),
            "accuracy": float(np.mean(np.array(test[1]) == predictions)),
            **({} if changes is None else {"loss_curve": estimator.loss_curve_}),
            **seconds,
        }

    for n_labels, seeds, ways in CASES:
        for seed in seeds:
            for way in ways:
                key = {"labels": n_labels, "seed": seed, "way": way}
                if WAYS[way][1] is not None:
                    key |= {"layers": layers, "epochs": epochs}
                yield Measurement(
                    {**key, "test": n_test},
                    lambda n_labels=n_labels, seed=seed, way=way: measure(n_labels, seed, way),
                )


def _shuffled(texts: list[str], labels: list[str], seed: int) -> tuple[list[str], list[str]]:
    """Return rows in an order drawn with a seed, of which the first ones serve."""
    order = np.random.default_rng(seed).permutation(len(texts))
    return [texts[row] for row in order], [labels[row] for row in order]


def main(arguments: Iterable[str] | None = None) -> None:
    """Run what the result file lacks."""
    known = parser(__doc__)
    known.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="what to run")
    known.add_argument("--layers", default="3", help="layers that train, from the top, or all")
    known.add_argument("--epochs", type=int, default=5, help="of the classifier")
    known.add_argument("--test", type=int, default=1000, help="tweets to test on")
    known.add_argument("--adapted", type=Path, default=FOLDER, help="where checkpoints are kept")
    options = known.parse_args(None if arguments is None else list(arguments))
    warnings.filterwarnings("ignore", message=".*rank correlation")
    warnings.filterwarnings("ignore", category=FutureWarning, module="sklearn")
    threadpool_limits(1)
    torch.set_num_threads(1)
    results = KeptResults(RESULTS / f"{options.name or 'ulmfit'}.json")
    layers = options.layers if options.layers == "all" else int(options.layers)
    for key, run in measurements(
        options.data, options.adapted, layers, options.epochs, options.test
    ):
        if key["way"] in options.ways and not results.has("tass", key):
            print(", ".join(f"{name} {each}" for name, each in key.items()), file=sys.stderr)
            row = {**key, **run()}
            print(f"    {row}", file=sys.stderr, flush=True)
            results.add("tass", {"machine": machine(), "threads": 1}, row)
    print("\n" + ulmfit_table(results.read()))


if __name__ == "__main__":
    main()
