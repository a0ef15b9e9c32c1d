"""The progress bar of a training."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from ...models.training.loop import TrainingResult

__all__ = ["TrainingBar"]


class TrainingBar:
    """Shows the share of a training that is done, its loss and the time left, if it is verbose."""

    def __init__(self, title: str, n_tokens: int, n_epochs: int, verbose: bool) -> None:
        self._title = title
        self._n_tokens = n_tokens
        self._n_epochs = n_epochs
        self._verbose = verbose
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
            if kind is None:
                self._bar.update(self._n_tokens - self._bar.n)
            self._bar.close()

    def step(self, n_tokens: int, loss: float) -> None:
        """Show a step."""
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            self._bar.update(n_tokens)

    def epoch(self, result: TrainingResult) -> bool:
        """Show the end of an epoch; never stop."""
        if self._bar is not None:
            self._bar.set_description(f"{self._title}, epoch {result.n_iter}/{self._n_epochs}")
        return False
