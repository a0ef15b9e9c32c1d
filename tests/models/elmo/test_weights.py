"""Weights of an ELMo in HDF5: what is refused, and that nothing else is opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertvectorizer.errors import ModelIntegrityError, UnsafeModelError, UnsupportedModelError
from bertvectorizer.models.elmo import weights as weights_module
from bertvectorizer.models.elmo.options import ElmoOptions, read_options
from bertvectorizer.models.elmo.weights import check_weights, find_weights, read_weights
from tests.tiny_elmo import changed_options, h5py, save_elmo

BIAS = "RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell/B"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return save_elmo(tmp_path / "elmo")


@pytest.fixture
def options(directory: Path) -> ElmoOptions:
    path = directory / "options.json"
    return read_options(path, json.loads(path.read_text()))


def put(value: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file[BIAS]
        if value is not None:
            file[BIAS] = value

    return change


def compressed(file: Any) -> None:
    values = file[BIAS][()]
    del file[BIAS]
    file.create_dataset(BIAS, data=values, compression="lzf")


def elsewhere(file: Any) -> None:
    del file[BIAS]
    place = Path(file.filename).parent / "other.bin"
    place.write_bytes(bytes(4 * 48))
    file.create_dataset(BIAS, shape=(48,), dtype="f4", external=[(str(place), 0, 4 * 48)])


def virtual(file: Any) -> None:
    del file[BIAS]
    layout = h5py.VirtualLayout(shape=(48,), dtype="f4")
    layout[:] = h5py.VirtualSource("other.hdf5", "x", shape=(48,))
    file.create_virtual_dataset(BIAS, layout)


@pytest.mark.parametrize(
    ("change", "kind", "fault"),
    [
        (put(None), ModelIntegrityError, "has no weights"),
        (put(np.zeros(47, np.float32)), ModelIntegrityError, r"of shape \(48,\).*Got float32"),
        (put(np.zeros(48, np.int32)), ModelIntegrityError, "must be real numbers.*Got int32"),
        (put(b"text"), ModelIntegrityError, "must be real numbers"),
        (put(np.full(48, np.nan, np.float32)), ModelIntegrityError, "must be finite"),
        (put(np.full(48, 1e300)), ModelIntegrityError, "must be finite"),
        (put(h5py.SoftLink("/char_embed")), UnsafeModelError, "is a link"),
        (put(h5py.ExternalLink("other.hdf5", "/x")), UnsafeModelError, "is a link"),
        (elsewhere, UnsafeModelError, "lies in another file"),
        (virtual, UnsafeModelError, "lies in another file"),
        (compressed, UnsafeModelError, "decoder of other software"),
    ],
)
def test_a_wrong_array_is_named(
    directory: Path,
    options: ElmoOptions,
    change: Callable[[Any], None],
    kind: type[Exception],
    fault: str,
) -> None:
    path = find_weights(directory)
    read_weights(path, options)
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(kind, match=fault) as caught:
        read_weights(path, options)
    assert str(path) in str(caught.value)
    assert BIAS in str(caught.value)


@pytest.mark.parametrize("keep", [0, 7, 500, -1])
def test_a_file_that_is_cut_short_or_no_hdf5_is_named(directory: Path, keep: int) -> None:
    path = directory / "weights.hdf5"
    path.write_bytes(b"no HDF5" if keep == 7 else path.read_bytes()[:keep])
    with pytest.raises(ModelIntegrityError, match=r"cannot be read as HDF5.*again") as caught:
        find_weights(directory)
    assert str(path) in str(caught.value)


def test_numbers_of_other_widths_and_standard_compression_are_read(
    directory: Path, options: ElmoOptions
) -> None:
    path = find_weights(directory)
    before = read_weights(path, options)
    with h5py.File(path, "a") as file:
        values = file[BIAS][()]
        del file[BIAS]
        file.create_dataset(
            BIAS, data=values.astype(">f8"), compression="gzip", shuffle=True, fletcher32=True
        )
    after = read_weights(path, options)
    np.testing.assert_array_equal(after[BIAS], before[BIAS])
    assert after[BIAS].dtype == np.float32


def test_one_file_has_the_weights_and_vectors_beside_it_do_not_count(directory: Path) -> None:
    with h5py.File(directory / "vocab_embedding.hdf5", "w") as file:
        file["embedding"] = np.zeros((4, 6))
    assert find_weights(directory).name == "weights.hdf5"
    (directory / "copy.hdf5").write_bytes((directory / "weights.hdf5").read_bytes())
    with pytest.raises(ModelIntegrityError, match=r"one file of weights.*copy\.hdf5"):
        find_weights(directory)
    for name in ("weights.hdf5", "copy.hdf5"):
        (directory / name).unlink()
    with pytest.raises(ModelIntegrityError, match=r"one file of weights.*vocab_embedding"):
        find_weights(directory)
    (directory / "vocab_embedding.hdf5").unlink()
    with pytest.raises(ModelIntegrityError, match="It has none"):
        find_weights(directory)


def test_huge_options_take_no_memory(directory: Path) -> None:
    huge = changed_options({"lstm.dim": 1 << 20, "lstm.projection_dim": 1 << 20})
    with pytest.raises(ModelIntegrityError, match="do not fit the options"):
        check_weights(directory / "weights.hdf5", read_options(directory / "options.json", huge))


def test_a_missing_h5py_is_named(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_module, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedModelError, match=r"pip install 'bertvectorizer\[elmo\]'"):
        find_weights(directory)
