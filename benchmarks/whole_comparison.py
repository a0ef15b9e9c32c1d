"""A whole comparison and one pass of encoding, each in a process of its own."""

from __future__ import annotations

import time
from typing import Any

_WARM_UP = "A text to warm up, which is not in the data."


def encode(texts: list[str]) -> dict[str, float]:
    """Encode the last four layers of all texts once, with the model loaded."""
    from bertvectorizer import BertVectorizer

    vectorizer = BertVectorizer(
        layers="-1,-2,-3,-4", device="cpu", local_files_only=True, store=None
    )
    vectorizer.transform([_WARM_UP])
    start = time.perf_counter()
    vectorizer.transform(texts)
    return {"seconds": time.perf_counter() - start}


def compare_all(texts: list[str], labels: list[int]) -> dict[str, Any]:
    """Run the default comparison; add up the seconds of classifiers and fitted features."""
    from bertvectorizer import BertVectorizer, compare, default_features

    BertVectorizer(device="cpu", local_files_only=True, store=None).transform([_WARM_UP])
    start = time.perf_counter()
    comparison = compare(texts, labels, default_features(device="cpu", local_files_only=True))
    seconds = time.perf_counter() - start
    learning = 0.0
    for name, outcome in comparison.outcomes.items():
        cost = outcome.cost
        for train, test in comparison.folds.splits:
            learning += (
                cost.fit_seconds * len(train) / 1000 + cost.predict_seconds * len(test) / 1000
            )
            if not outcome.is_contextual and name != "majority class":
                learning += cost.encode_seconds * len(test) / 1000
    return {
        "seconds": seconds,
        "learning_seconds": learning,
        "members": len(comparison.outcomes),
        "failures": comparison.failures,
    }
