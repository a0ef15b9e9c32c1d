"""The sizes of an ELMo, as ``options.json`` has them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ModelIntegrityError, UnsupportedModelError
from ...validation import short_repr

__all__ = ["N_CHARACTERS", "OPTIONS", "ElmoOptions", "cell_name", "find_options", "read_options"]

OPTIONS = "options.json"  # or a name that ends so, as those of the published models do
# The bytes, the ends of a sentence and of a word, and the padding behind a word.
N_CHARACTERS = 261
_MOST_LAYERS = 1 << 8
_LARGEST = 1 << 20
_LONGEST_WORD = 1 << 12
_ACTIVATIONS = ("relu", "tanh")


@dataclass(frozen=True)
class ElmoOptions:
    """The sizes of an ELMo, with bilm-tf's names for its weights.

    ``filters`` are the width and the number of the filters of each convolution over characters,
    ``n_units`` the width of an LSTM's cell, and ``width`` that of a direction's output. None clips
    nothing.
    """

    n_layers: int
    n_units: int
    width: int
    cell_clip: float | None
    projection_clip: float | None
    skips: bool
    activation: str
    character_width: int
    filters: tuple[tuple[int, int], ...]
    n_highways: int
    longest_word: int

    @property
    def n_filters(self) -> int:
        """Width of a word's vector after the convolutions."""
        return sum(number for _, number in self.filters)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each weight by its name in the HDF5 file."""
        n_filters = self.n_filters
        shapes: dict[str, tuple[int, ...]] = {"char_embed": (N_CHARACTERS, self.character_width)}
        for index, (width, number) in enumerate(self.filters):
            shapes[f"CNN/W_cnn_{index}"] = (1, width, self.character_width, number)
            shapes[f"CNN/b_cnn_{index}"] = (number,)
        for index in range(self.n_highways):
            for gate in ("carry", "transform"):
                shapes[f"CNN_high_{index}/W_{gate}"] = (n_filters, n_filters)
                shapes[f"CNN_high_{index}/b_{gate}"] = (n_filters,)
        if n_filters != self.width:
            shapes["CNN_proj/W_proj"] = (n_filters, self.width)
            shapes["CNN_proj/b_proj"] = (self.width,)
        for direction in (0, 1):
            for layer in range(self.n_layers):
                cell = cell_name(direction, layer)
                shapes[f"{cell}/W_0"] = (2 * self.width, 4 * self.n_units)
                shapes[f"{cell}/B"] = (4 * self.n_units,)
                if self.width < self.n_units:
                    shapes[f"{cell}/W_P_0"] = (self.n_units, self.width)
        return shapes


def cell_name(direction: int, layer: int) -> str:
    """Return where the weights of a layer are; direction 0 reads forward, 1 backward."""
    return f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"


def find_options(directory: Path) -> Path | None:
    """Return the file with the options of the ELMo in a directory, None if there is none."""
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(OPTIONS))
    except OSError:
        return None
    found = [directory / name for name in names if os.path.isfile(directory / name)]
    if len(found) > 1:
        raise ModelIntegrityError(
            f"The directory {str(directory)!r} must have one file of options of an ELMo"
            f" (*{OPTIONS}). Got {short_repr([path.name for path in found], 200)}. Put each model"
            " into a directory of its own."
        )
    return found[0] if found else None


def read_options(path: Path, content: Mapping[str, Any]) -> ElmoOptions:
    """Return the options in the content of a file, or raise if one breaks its rule."""
    read = _Reader(path, content)
    if "char_cnn" not in content:
        raise UnsupportedModelError(
            f"The file '{path}' has no 'char_cnn', as of a language model that reads words by a"
            " table of vectors. Supported are ELMos that read characters. Choose such a model."
        )
    if content.get("bidirectional", True) is not True:
        read.fail("bidirectional", "true, or missing", content["bidirectional"])
    # One more counts the padding behind a sentence, for which no file has a vector.
    read.integer("char_cnn.n_characters", N_CHARACTERS, N_CHARACTERS + 1)
    longest_word = read.integer("char_cnn.max_characters_per_token", 3, _LONGEST_WORD)
    width = read.integer("lstm.projection_dim", 1, _LARGEST)
    return ElmoOptions(
        n_layers=read.integer("lstm.n_layers", 1, _MOST_LAYERS),
        n_units=read.integer("lstm.dim", width, _LARGEST),
        width=width,
        cell_clip=read.limit("lstm.cell_clip"),
        projection_clip=read.limit("lstm.proj_clip"),
        skips=read.flag("lstm.use_skip_connections"),
        activation=read.choice("char_cnn.activation", _ACTIVATIONS),
        character_width=read.integer("char_cnn.embedding.dim", 1, _LARGEST),
        filters=read.filters("char_cnn.filters", longest_word),
        n_highways=read.integer("char_cnn.n_highway", 0, _MOST_LAYERS, default=0),
        longest_word=longest_word,
    )


class _Reader:
    """Reads values of nested objects by dotted names."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self._path, self._content = path, content

    def _value(self, name: str) -> Any:
        value: Any = self._content
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def fail(self, name: str, rule: str, value: Any) -> None:
        raise ModelIntegrityError(
            f"The file '{self._path}' must have {rule} as {name!r}. Got {short_repr(value)}"
            " instead. Correct it, or download the model again."
        )

    def integer(self, name: str, least: int, most: int, default: int | None = None) -> int:
        value = self._value(name)
        if value is None and default is not None:
            return default
        if type(value) is not int or not least <= value <= most:
            self.fail(name, f"an integer from {least:,} to {most:,}", value)
        return int(value)

    def limit(self, name: str) -> float | None:
        value = self._value(name)
        if value is None:
            return None
        # Not above what float32 holds, and not NaN.
        if type(value) not in (int, float) or not 0 < value < 1e38:
            self.fail(name, "a positive number, or null", value)
        return float(value)

    def flag(self, name: str) -> bool:
        value = self._value(name)
        if value is not None and type(value) is not bool:
            self.fail(name, "true or false", value)
        return bool(value)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self._value(name)
        if value not in choices:
            self.fail(name, " or ".join(map(repr, choices)), value)
        return str(value)

    def filters(self, name: str, longest_word: int) -> tuple[tuple[int, int], ...]:
        value = self._value(name)
        pairs = value if isinstance(value, list) and len(value) <= _MOST_LAYERS else []
        if not pairs or not all(
            isinstance(pair, list)
            and len(pair) == 2
            and all(type(number) is int for number in pair)
            and 1 <= pair[0] <= longest_word
            and 1 <= pair[1] <= _LARGEST
            for pair in pairs
        ):
            rule = f"pairs of a width from 1 to {longest_word} and a number of filters"
            self.fail(name, rule, value)
        return tuple((width, number) for width, number in pairs)
