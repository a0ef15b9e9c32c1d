"""How far a training is: a bar, and the callbacks of scikit-learn 1.9."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ...private_api import begin_fit_task

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """An estimator without callbacks."""

    def with_callbacks(fit: Any) -> Any:
        """Return ``fit`` as it is."""
        return fit


if TYPE_CHECKING:
    from ...models.training.loop import TrainingResult

__all__ = ["CallbackSupportMixin", "FitTasks", "TrainingBar", "with_callbacks"]


class FitTasks:
    """Tells the callbacks of an estimator of its fit, and of each epoch as a part of it."""

    def __init__(
        self, estimator: Any, n_epochs: int, X: Any, y: Any, sample_weight: Any = None
    ) -> None:
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._details = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self._fit = begin_fit_task(estimator, n_epochs)
        self._epoch: Any = None
        if self._fit is not None:
            self._fit.call_on_fit_task_begin(**self._details)
            self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._epoch = self._fit.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(**self._details)

    def end_epoch(self, is_last: bool, state: Callable[[], dict[str, Any]]) -> bool:
        """End the task of an epoch; return whether a callback asks to stop.

        ``state`` returns the attributes of the estimator, as if the fit had ended here.
        """
        if self._fit is None:
            return False
        must_stop: bool = self._epoch.call_on_fit_task_end(
            **self._details, reconstruction_attributes=state
        )
        if not (must_stop or is_last):
            self._begin_epoch()
        return must_stop

    def end(self) -> None:
        """End the task of the fit."""
        if self._fit is not None:
            self._fit.call_on_fit_task_end(**self._details, reconstruction_attributes={})


class TrainingBar:
    """Shows the share of a training that is done, its loss and the time left, if it is verbose.

    With None as ``n_tokens`` it counts them. ``end_epoch`` is called at the end of each epoch, and
    returns whether to stop.
    """

    def __init__(
        self,
        title: str,
        n_tokens: int | None,
        verbose: bool,
        n_epochs: int = 0,
        end_epoch: Callable[[TrainingResult], bool] = lambda _: False,
    ) -> None:
        self._title = title
        self._n_tokens = n_tokens
        self._verbose = verbose
        self._n_epochs = n_epochs
        self._end_epoch = end_epoch
        self._bar: Any = None

    def __enter__(self) -> Self:
        if self._verbose:
            from tqdm.auto import tqdm

            self._bar = tqdm(
                total=self._n_tokens, unit=" tokens", unit_scale=True, desc=self._title
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            if kind is None and self._n_tokens is not None:
                self._bar.update(self._n_tokens - self._bar.n)
            self._bar.close()

    def step(self, n_tokens: int, loss: float | None = None) -> None:
        """Show a step."""
        if self._bar is not None:
            if loss is not None:
                self._bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            self._bar.update(n_tokens)

    def go_on(self, n_tokens: int, result: TrainingResult) -> None:
        """Begin behind the epochs of an earlier process, which do not tell the time left."""
        if self._bar is not None:
            self._bar.initial = self._bar.last_print_n = self._bar.n = n_tokens
            self._show_epoch(result)

    def epoch(self, result: TrainingResult) -> bool:
        """Show the end of an epoch; return whether to stop."""
        self._show_epoch(result)
        return self._end_epoch(result)

    def _show_epoch(self, result: TrainingResult) -> None:
        if self._bar is not None:
            self._bar.set_description(f"{self._title}, epoch {result.n_iter}/{self._n_epochs}")
