"""The weights of an ELMo, read from HDF5 without running or following anything in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ModelIntegrityError, UnsafeModelError, UnsupportedModelError
from ...foreign import foreign_errors_as
from ...validation import short_repr

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .options import ElmoOptions

__all__ = ["check_weights", "find_weights", "read_weights"]

_ENDING = ".hdf5"
# What tells weights from vectors of words and sentences, which bilm-tf writes beside them.
_TABLE = "char_embed"
_REMEDY = "Download the model again."
# Compression that HDF5 brings itself. For any other it would load a library by its number.
_FILTERS = (1, 2, 3)  # deflate, shuffle, fletcher32
_LARGEST_RATIO = 4
_MOST_SPARE = 1 << 20


def find_weights(directory: Path) -> Path:
    """Return the file with the weights of the ELMo in a directory."""
    if find_spec("h5py") is None:
        raise UnsupportedModelError(
            f"The model in '{directory}' is an ELMo, whose weights are read by the library h5py,"
            " which is not installed. Remedy: pip install 'bertvectorizer[elmo]'."
        )
    names = sorted(name for name in os.listdir(directory) if name.endswith(_ENDING))
    files = [directory / name for name in names if os.path.isfile(directory / name)]
    found = []
    for path in files:
        with _opened(path) as file, _reading(path):
            if file.get(_TABLE, getlink=True) is not None:
                found.append(path)
    if len(found) == 1:
        return found[0]
    listed = short_repr([path.name for path in found or files], 200)
    got = f"Got {listed}" if files else "It has none"
    raise ModelIntegrityError(
        f"The directory '{directory}' must have one file of weights of an ELMo: *{_ENDING} with"
        f" {_TABLE!r}. {got}. Put the weights beside the options, each model in a directory of its"
        " own."
    )


def check_weights(path: Path, options: ElmoOptions) -> None:
    """Raise unless a file has all weights of an ELMo, each of its shape. No number is read."""
    shapes = options.shapes
    n_numbers = sum(int(np.prod(shape, dtype=object)) for shape in shapes.values())
    n_bytes = os.path.getsize(path)
    if n_numbers > _LARGEST_RATIO * n_bytes + _MOST_SPARE:
        raise ModelIntegrityError(
            f"The weights in '{path}' do not fit the options: a model of their sizes has"
            f" {n_numbers:,} numbers, and the file has {n_bytes:,} bytes. {_REMEDY}"
        )
    with _opened(path) as file:
        for name, shape in shapes.items():
            _dataset(file, path, name, shape)


def read_weights(path: Path, options: ElmoOptions) -> dict[str, NDArray[np.float32]]:
    """Return the weights of an ELMo by their names, all finite."""
    check_weights(path, options)
    weights: dict[str, NDArray[np.float32]] = {}
    with _opened(path) as file:
        for name, shape in options.shapes.items():
            dataset = _dataset(file, path, name, shape)
            with _reading(path), np.errstate(over="ignore"):
                values: NDArray[np.float32] = dataset[()].astype(np.float32)
            if not np.isfinite(values).all():
                raise ModelIntegrityError(
                    f"The weights {name!r} in '{path}' must be finite in float32. Some are infinite"
                    f" or NaN. {_REMEDY}"
                )
            weights[name] = values
    return weights


def _dataset(file: Any, path: Path, name: str, shape: tuple[int, ...]) -> Any:
    """Return a dataset of real numbers that lies in the file itself."""
    import h5py

    with _reading(path):
        *groups, _ = parts = name.split("/")
        place = file
        for number, part in enumerate(parts):
            link = place.get(part, getlink=True) if isinstance(place, h5py.Group) else None
            if link is None:
                raise ModelIntegrityError(
                    f"The file '{path}' has no weights {name!r}, which the options ask for."
                    f" {_REMEDY}"
                )
            if not isinstance(link, h5py.HardLink):
                _refuse(path, name, "is a link to another place")
            place = place[part]
            if number == len(groups) and not isinstance(place, h5py.Dataset):
                _refuse(path, name, "is no array")
        dataset = place
        if dataset.is_virtual or dataset.external:
            _refuse(path, name, "lies in another file")
        creation = dataset.id.get_create_plist()
        filters = [creation.get_filter(index)[0] for index in range(creation.get_nfilters())]
        if not set(filters) <= set(_FILTERS):
            _refuse(path, name, f"needs a decoder of other software (HDF5 filters {filters})")
        if dataset.dtype.kind != "f" or dataset.shape != shape:
            raise ModelIntegrityError(
                f"The weights {name!r} in '{path}' must be real numbers of shape {shape}, as the"
                f" options say. Got {dataset.dtype} of shape {dataset.shape}. Put the options of"
                " this model beside it, or download both again."
            )
    return dataset


def _refuse(path: Path, name: str, fault: str) -> None:
    raise UnsafeModelError(
        f"The file '{path}' is refused: {short_repr(name)} {fault}. Only arrays in the file itself"
        " are read. Choose another copy of the model."
    )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open an HDF5 file to read, without a lock, which some network drives refuse."""
    import h5py

    with _reading(path):
        file = h5py.File(path, "r", locking=False)
    with file:
        yield file


def _reading(path: Path) -> Any:
    return foreign_errors_as(
        ModelIntegrityError,
        f"The file '{path}' cannot be read as HDF5",
        f"It is damaged, cut short, or of another format. {_REMEDY}",
    )
