"""CPU seconds of one thread: of whole calls, and of one method within them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from bertvectorizer.models.training.lower_states import LowerStates


@contextmanager
def seconds_of(owner: type, method: str) -> Iterator[list[float]]:
    """Give a list to which each call of a method of a class adds its CPU seconds."""
    plain = getattr(owner, method)
    seconds: list[float] = []

    def timed(*arguments: Any, **named: Any) -> Any:
        start = time.process_time()
        try:
            return plain(*arguments, **named)
        finally:
            seconds.append(time.process_time() - start)

    with mock.patch.object(owner, method, timed):
        yield seconds


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call returns, and its CPU seconds."""
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


def fit_and_predict(estimator: Any, X: Any, y: Any, X_test: Any) -> tuple[Any, dict[str, float]]:
    """Fit, then predict; return the predictions and where the CPU seconds went.

    ``lower`` are the states below the trained layers, of the training rows; ``training`` is the
    rest of ``fit``, with tokenizing and building the network. ``prediction`` has everything.
    """
    with seconds_of(LowerStates, "prepare") as lower:
        _, fit = timed(lambda: estimator.fit(X, y))
    predictions, prediction = timed(lambda: estimator.predict(X_test))
    return predictions, {
        "lower_seconds": sum(lower),
        "training_seconds": fit - sum(lower),
        "prediction_seconds": prediction,
    }
