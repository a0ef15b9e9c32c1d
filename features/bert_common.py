"""What all estimators over a transformer share: its model, its device, and the care that both stay what they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import ModelChangedError, UnsupportedModelError
from ..models import Checkpoint, check_precision, open_checkpoint, resolve_device
from ..models.network.devices import tokens_per_batch
from ..validation import check_flag, check_int
from ..warning import warn_user

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from sklearn.utils import Tags

    from ..models.store.embedding_store import EmbeddingStore

__all__ = ["BertBase", "progress_bar"]


class BertBase:
    """Base of the estimators that read a transformer; a subclass stores the parameters named below in ``__init__``."""

    model_name: str | Path
    precision: str
    device: str | torch.device | None
    batch_tokens: int | None
    revision: str | None
    local_files_only: bool
    trust_remote_code: bool
    store: str | Path | EmbeddingStore | None

    def _checkpoint(self) -> Checkpoint:
        check_flag("local_files_only", self.local_files_only)
        check_flag("trust_remote_code", self.trust_remote_code)
        return open_checkpoint(
            self.model_name, self.revision, self.local_files_only, self.trust_remote_code
        )

    def _device_to_fit(self) -> tuple[torch.device, str]:
        """Device and precision, as they are asked for."""
        device = resolve_device(self.device)
        return device, check_precision(self.precision, device)

    def _device_to_transform(self) -> tuple[torch.device, str]:
        """Device and precision; an estimator fitted on a GPU that isn't here goes on without it."""
        try:
            return self._device_to_fit()
        except UnsupportedModelError as error:
            if not self._is_elsewhere():
                raise
            device = resolve_device(None)
            warn_user(f"{error} This fitted estimator runs on '{device}' in float32 instead.")
            return device, "float32"

    def _is_elsewhere(self) -> bool:
        """Whether this estimator was fitted on a device that this machine lacks."""
        try:
            resolve_device(getattr(self, "device_", "cpu"))
        except UnsupportedModelError:
            return True
        return False

    def _budget(self, device: torch.device, checkpoint: Checkpoint) -> int:
        """Most tokens in a batch."""
        return check_int("batch_tokens", self.batch_tokens, 1, optional=True) or tokens_per_batch(
            device, checkpoint.widest
        )

    def _keep_model(self, checkpoint: Checkpoint, device: torch.device) -> None:
        """Set the fitted attributes that say which model this is, and where it ran."""
        self.model_fingerprint_ = checkpoint.fingerprint
        self.device_ = str(device)

    def _check_same_model(self, checkpoint: Checkpoint) -> None:
        fitted = getattr(self, "model_fingerprint_", checkpoint.fingerprint)
        if fitted != checkpoint.fingerprint:
            raise ModelChangedError(
                f"This estimator was fitted with a model of fingerprint {fitted}, but"
                f" {self.model_name!r} in '{checkpoint.directory}' now has"
                f" {checkpoint.fingerprint}. Bring the former model back (a pinned 'revision'"
                " helps), or fit again."
            )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()  # type: ignore[misc]  # what comes next in the order of bases
        tags.requires_fit = False
        return tags


@contextmanager
def progress_bar(estimator: Any, total: int, unit: str) -> Iterator[Callable[[float], Any] | None]:
    """Show a bar if ``show_progress_bar`` asks for one, and yield what moves it on; at the end it is full."""
    if not check_flag("show_progress_bar", estimator.show_progress_bar):
        yield None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, unit=f" {unit}", unit_scale=True, desc=type(estimator).__name__) as bar:
        yield bar.update
        bar.update(total - bar.n)  # what came from the store
