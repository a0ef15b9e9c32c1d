"""Values that are packed and unpacked."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from bertvectorizer import BertVectorizer, BertWordVectorizer, StaticVectorizer
from bertvectorizer.pipeline.saving.compact import (
    PackedNumbers,
    PackedStrings,
    PackedSubwords,
    PackedTable,
    pack,
    set_everywhere,
    unpack,
)
from bertvectorizer.pipeline.saving.safe_skops import read_skops, write_skops

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(), max_size=5),
    lambda values: (
        st.lists(values, max_size=4)
        | st.lists(values, max_size=4).map(tuple)
        | st.dictionaries(
            st.text(st.characters(), max_size=3)
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False),
            values,
            max_size=4,
        )
        | st.lists(st.text(st.characters(), max_size=3), min_size=65, max_size=70)
        | st.lists(st.integers(), min_size=65, max_size=70)
    ),
    max_leaves=8,
)


@settings(max_examples=50)
@given(VALUES)
def test_wild_values_are_packed_and_unpacked(value: Any) -> None:
    estimator = FunctionTransformer(kw_args=value)
    packed = pack(estimator)
    with tempfile.TemporaryDirectory() as directory:
        write_skops(packed, path := Path(directory, "value.skops"), [])
        written = read_skops(path)
    assert repr(unpack(written).kw_args) == repr(value)
    assert estimator.kw_args is value


def test_sparse_matrices_and_arrays_of_texts() -> None:
    matrix = sparse.csr_matrix(np.eye(3))
    packed = pack(
        FunctionTransformer(kw_args={"m": matrix, "a": np.array(["a", "\ud800"], dtype=object)})
    )
    got = unpack(packed).kw_args
    assert (got["m"] != matrix).nnz == 0
    assert got["a"].tolist() == ["a", "\ud800"]
    packed.kw_args["m"] = pack(matrix)
    packed.kw_args["m"].indices[0] = 77  # beyond the matrix, where scipy would read other memory
    with pytest.raises(ValueError, match="indices"):
        unpack(packed)


def test_subwords_of_another_width_are_refused() -> None:
    parts = PackedSubwords(np.ones((5, 3), dtype=np.float32), 3, 6)
    with pytest.raises(ValueError, match="another width"):
        PackedTable(PackedStrings.of(["bat"]), np.ones((1, 2), dtype=np.float32), parts).unpack(
            ["bat"]
        )


def test_what_is_shared_is_unpacked_once() -> None:
    numbers = PackedNumbers(np.arange(100))
    first, *others = unpack([numbers] * 30)
    assert first == list(range(100))
    assert all(other is first for other in others)
    nested: Any = [numbers]
    for _ in range(60):  # would be 2**60 lists
        nested = [nested, nested]
    unpack(nested)


def test_parameters_are_set_in_every_estimator_that_has_them() -> None:
    vectorizer, static = BertVectorizer("a"), StaticVectorizer("distill:a")
    inner = FeatureUnion([("bert", vectorizer), ("static", static)])
    pipeline = Pipeline([("union", inner), ("scale", StandardScaler())])
    fitted = BertWordVectorizer("a")
    pipeline.fitted_ = {"copies": [fitted]}
    set_everywhere(pipeline, local_files_only=True)
    set_everywhere(pipeline, model_name="b", no_parameter=1)
    assert [part.local_files_only for part in (vectorizer, static, fitted)] == [True] * 3
    assert [part.model_name for part in (vectorizer, fitted)] == ["b", "b"]
    assert not any(hasattr(part, "no_parameter") for part in (vectorizer, pipeline, inner))
