"""Tests of models/pooling/layers.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertvectorizer.errors import InvalidParameterError
from bertvectorizer.models.pooling.layers import resolve_layers

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize(
    ("layers", "resolved"),
    [
        (-1, (6,)),
        (0, (0,)),
        (-7, (0,)),
        (6, (6,)),
        (np.int64(-2), (5,)),
        ([-1, 0], (6, 0)),
        ((3,), (3,)),
        (np.array([1, 2]), (1, 2)),
        (range(2), (0, 1)),
        ("-1,-2,-3,-4", (6, 5, 4, 3)),
        (" 2 , 1 ", (2, 1)),
        ("4", (4,)),
        ("all", (0, 1, 2, 3, 4, 5, 6)),
        (" all ", (0, 1, 2, 3, 4, 5, 6)),
    ],
)
def test_every_way_to_name_layers(layers: Any, resolved: tuple[int, ...]) -> None:
    assert resolve_layers(layers, n_layers=6) == resolved


@given(
    st.integers(1, 48).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n), min_size=1, unique=True))
    )
)
def test_negative_numbers_count_from_the_end_as_in_python(case: tuple[int, list[int]]) -> None:
    n_layers, numbers = case
    from_the_end = [number - n_layers - 1 for number in numbers]
    assert (
        resolve_layers(from_the_end, n_layers)
        == resolve_layers(numbers, n_layers)
        == tuple(numbers)
    )
    assert [list(range(n_layers + 1))[number] for number in from_the_end] == numbers


@pytest.mark.parametrize(
    "layers",
    [
        "",
        "last",
        "1,,2",
        "1;2",
        "-1,",
        None,
        True,
        False,
        1.0,
        [],
        (),
        [1.0],
        ["1"],
        [True],
        {},
        [[1]],
    ],
)
def test_what_is_no_layer_specification_is_refused(layers: Any) -> None:
    with pytest.raises(
        InvalidParameterError,
        match="'layers' parameter must be an int, a list of ints, a string such as",
    ):
        resolve_layers(layers, n_layers=6)


@pytest.mark.parametrize("layers", [7, -8, [0, 7], "-1,-9"])
def test_layers_out_of_range_are_refused(layers: Any) -> None:
    with pytest.raises(
        InvalidParameterError, match=r"in the range \[-7, 6\] for this model of 6 layers\. Got"
    ):
        resolve_layers(layers, n_layers=6)


@pytest.mark.parametrize("layers", [[-1, 6], "0,0", "2,-5"])
def test_a_layer_named_twice_is_refused(layers: Any) -> None:
    with pytest.raises(
        InvalidParameterError,
        match=r"'layers' parameter must be free of repetition \(it resolves to \[",
    ):
        resolve_layers(layers, n_layers=6)
