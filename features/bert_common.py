"""What the Bert vectorizers share: parameters, model, device, encoder and progress bar."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from ..errors import (
    ModelChangedError,
    ModelIntegrityError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from ..models import Checkpoint, check_precision, open_checkpoint, resolve_device
from ..models.checkpoint.text_tokens import TokenBeyondTableError
from ..models.network.devices import PRECISIONS, Precision, PrecisionChoice, tokens_per_batch
from ..private_api import prints_as_estimator
from ..validation import check_flag, check_int
from ..warning import warn_user

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch
    from sklearn.utils import Tags

    from ..models.store.embedding_store import EmbeddingStore

__all__ = ["FLAGS", "BertBase", "naming_moved", "naming_row", "progress_bar"]

FLAGS = ("show_progress_bar", "local_files_only", "trust_remote_code")

_Encoder = TypeVar("_Encoder")

_MAX_ENCODERS = 8
_encoders: dict[tuple[object, ...], Any] = {}


class BertBase(Generic[_Encoder]):
    """Base of the estimators that read a transformer, generic over how they read it."""

    model_name: str | Path
    layers: int | Sequence[int] | str
    layer_merge: Literal["auto", "concat", "sum", "mean", "weighted"]
    max_length: int | None
    stride: int | None
    prompt: str | None
    precision: PrecisionChoice
    device: str | torch.device | None
    batch_tokens: int | None
    revision: str | None
    local_files_only: bool
    trust_remote_code: bool
    store: str | Path | EmbeddingStore | None
    show_progress_bar: bool

    _reads_elmo: ClassVar[bool] = False

    # Parameters that an encoder depends on, beside the checkpoint.
    _encoder_parameters: ClassVar[tuple[str, ...]] = (
        "layers", "max_length", "stride", "prompt", "precision", "device", "batch_tokens",
    )  # fmt: skip

    @prints_as_estimator
    def __repr__(self, N_CHAR_MAX: int = 700) -> str:  # as in scikit-learn
        text: str = super().__repr__(N_CHAR_MAX)  # type: ignore[call-arg]  # of the next base
        found = None if self.precision in PRECISIONS else getattr(self, "precision_", None)
        return text if found is None else f"{text}  # in {found}"

    def _set_parameters(self, parameters: dict[str, Any]) -> None:
        """Store the parameters of ``__init__``, given its ``locals()``, as they are."""
        for name, value in parameters.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    def _checkpoint(self) -> Checkpoint:
        for name in FLAGS:
            check_flag(name, getattr(self, name))
        with naming_moved(self, "model_name", hasattr(self, "model_fingerprint_")):
            checkpoint = open_checkpoint(
                self.model_name, self.revision, self.local_files_only, self.trust_remote_code
            )
        if not self._reads_elmo:
            checkpoint.require_transformer(type(self).__name__)
        return checkpoint

    @abstractmethod
    def _make_encoder(
        self, checkpoint: Checkpoint, device: torch.device, precision: Precision
    ) -> _Encoder:
        """Return the encoder of these parameters, or raise if one breaks its rule."""

    def _encoder(self, *, is_fitting: bool = False) -> _Encoder:
        """Return the encoder of the present parameters; the last few stay in memory.

        An estimator fitted on a device that this machine lacks continues without it, and so does
        one whose choice of a precision this machine lacks.
        """
        checkpoint = self._checkpoint()
        if not is_fitting:
            self._check_same_model(checkpoint)
        precision = self.precision if is_fitting else self._precision_of_fit()
        # By their representation: lists cannot be keys, and True must not be taken for 1.
        parameters = repr([getattr(self, name) for name in self._encoder_parameters])
        key = (
            *(type(self), checkpoint.directory, checkpoint.fingerprint),
            *(checkpoint.trust_remote_code, parameters, precision),
        )
        known: _Encoder | None = _encoders.get(key)
        if known is not None:
            return known
        try:
            device = resolve_device(self.device)
            resolved = _check_precision(checkpoint, precision, device)
        except UnsupportedModelError as error:
            is_elsewhere = self._is_elsewhere()
            if is_fitting or not (is_elsewhere or precision != self.precision):
                raise
            device = resolve_device(None if is_elsewhere else self.device)
            warn_user(f"{error} This fitted estimator runs on '{device}' in float32 instead.")
            return self._make_encoder(checkpoint, device, "float32")
        encoder = self._make_encoder(checkpoint, device, resolved)
        while len(_encoders) >= _MAX_ENCODERS:
            _encoders.pop(next(iter(_encoders)), None)
        _encoders[key] = encoder
        self._note(encoder, precision)
        return encoder

    def _precision_of_fit(self) -> PrecisionChoice:
        """Return ``precision``; what ``fit`` took for it where it was ``"auto"`` or ``"fast"``."""
        if self.precision in ("auto", "fast"):
            return getattr(self, "precision_", self.precision)
        return self.precision

    def _note(self, encoder: _Encoder, precision: PrecisionChoice) -> None:
        """Note an encoder for worker processes, where these can use it."""

    def _is_elsewhere(self) -> bool:
        """Whether this estimator was fitted on a device that this machine lacks."""
        try:
            resolve_device(getattr(self, "device_", "cpu"))
        except UnsupportedModelError:
            return True
        return False

    def _batch_size(self, device: torch.device, checkpoint: Checkpoint) -> int:
        """Most tokens in a batch."""
        return check_int("batch_tokens", self.batch_tokens, 1, optional=True) or tokens_per_batch(
            device, checkpoint.widest
        )

    def _check_same_model(self, checkpoint: Checkpoint) -> None:
        fitted = getattr(self, "model_fingerprint_", checkpoint.fingerprint)
        if fitted != checkpoint.fingerprint:
            raise ModelChangedError(
                f"This estimator was fitted with a model of fingerprint {fitted}, but"
                f" {self.model_name!r} in '{checkpoint.directory}' now has"
                f" {checkpoint.fingerprint}, so it is another model than in fit. Bring the former"
                " model back (a pinned 'revision' helps), or name its place by"
                " set_params(model_name=...), or fit again. Fit again, too, if an earlier version"
                " saved the estimator: its fingerprints left some files out."
            )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()  # type: ignore[misc]  # of the next base
        tags.requires_fit = False
        return tags


def _check_precision(
    checkpoint: Checkpoint, precision: PrecisionChoice, device: torch.device
) -> Precision:
    """Return the number format that ``precision`` means for a model on a device."""
    if checkpoint.elmo is None:
        return check_precision(precision, device)
    # Errors of a recurrent network add up from word to word; no other format was tried.
    resolved = check_precision("auto" if precision == "fast" else precision, device)
    if resolved != "float32":
        raise UnsupportedModelError(
            f"The precision {precision!r} cannot be used for the ELMo in '{checkpoint.directory}',"
            " which is computed in float32. Use precision='float32', 'auto' or 'fast'."
        )
    return resolved


@contextmanager
def naming_moved(
    estimator: object, parameter: str, is_fitted: bool, option: str = "--model"
) -> Iterator[None]:
    """Say how a fitted estimator gets the new place of a model that is no longer at its old one.

    ``option`` is that of the command ``predict``.
    """
    try:
        yield
    except ModelNotFoundError as error:
        if not is_fitted:
            raise
        name = type(estimator).__name__
        raise ModelNotFoundError(
            f"{error}\nThis {name} was fitted with it. If it was moved, give its new place by"
            f" set_params({parameter}=...), in a pipeline by"
            f" set_params({name.lower()}__{parameter}=...), with the name of its step (the command"
            f" 'predict': {option}). A SequenceLabeler, PairVectorizer or ColumnTransformer"
            " has a fitted copy, which needs it: labeler.vectorizer_ or"
            " named_transformers_['name']. The content must be that of fit."
        ) from None


@contextmanager
def naming_row(row_of: Callable[[str], int], what: str = "row") -> Iterator[None]:
    """Name the row of a text that has a token beyond the model's table."""
    try:
        yield
    except TokenBeyondTableError as error:
        raise ModelIntegrityError(f"{error} It is in {what} {row_of(error.text)}.") from None


@contextmanager
def progress_bar(
    estimator: BertBase[Any], total: int, unit: str
) -> Iterator[Callable[[float], Any] | None]:
    """Show a bar if ``show_progress_bar`` is set, and yield the function that advances it.

    It ends at 100 %, whatever was in the store, and also where there was nothing to do.
    """
    if not estimator.show_progress_bar:
        yield None
        return
    from tqdm.auto import tqdm

    with tqdm(
        total=total,
        unit=f" {unit}",
        unit_scale=True,
        desc=type(estimator).__name__,
        bar_format=None if total else "{desc}: 100%|{n_fmt}{unit}",  # tqdm has none for nothing
    ) as bar:
        yield bar.update
        bar.update(total - bar.n)  # texts that the store had
