"""Tests of models/checkpoint/post_modules.py."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Dropout,
    LayerNorm,
    Normalize,
    Pooling,
    Transformer,
)

from bertvectorizer.errors import ModelChangedError, ModelIntegrityError
from bertvectorizer.models import OutputSpec, open_checkpoint, resolve_output_spec
from bertvectorizer.models.checkpoint.post_modules import apply_post_modules
from tests.tiny import ModelFactory, save_sentence_transformer

pytestmark = pytest.mark.numeric

TEXTS = ["the old bat flew in the night", "a ball", "the river bank. " * 5]


def pooled(model: SentenceTransformer) -> NDArray[np.float32]:
    """What the model has of the texts after its pooling."""
    with torch.inference_mode():
        features = model[1](model[0](model.preprocess(TEXTS)))
    vectors: NDArray[np.float32] = features["sentence_embedding"].numpy().copy()
    return vectors


def readout(directory: Path, normalize: str | bool = "auto") -> OutputSpec:
    return resolve_output_spec(open_checkpoint(str(directory)), normalize=normalize)


def plain(normalize: bool = False) -> OutputSpec:
    return OutputSpec((3,), "concat", ("mean",), (), normalize, 32)


def same(result: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return result


@pytest.mark.parametrize("dense", [None, 8, 48])
@pytest.mark.parametrize("normalize", [True, False])
def test_it_ends_where_sentence_transformers_does(
    tiny_model: ModelFactory, tmp_path: Path, dense: int | None, normalize: bool
) -> None:
    save_sentence_transformer(
        tiny_model("bert"), tmp_path, pooling=("cls", "mean"), dense=dense, normalize=normalize
    )
    model = SentenceTransformer(str(tmp_path), device="cpu")
    result = apply_post_modules(pooled(model), readout(tmp_path))
    assert result.shape == (len(TEXTS), dense or 64)
    same(result, model.encode(TEXTS))


def test_every_module_that_may_follow(tiny_model: ModelFactory, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        layer_norm = LayerNorm(32)
        torch.nn.init.normal_(layer_norm.norm.weight)
        modules = [
            Transformer(str(tiny_model("bert"))),
            Pooling(32),
            layer_norm,
            Dropout(0.5),
            Dense(32, 24),
            Normalize(),
            Dense(24, 16),
        ]
    SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path), create_model_card=False)
    model = SentenceTransformer(str(tmp_path), device="cpu")
    assert [module.name for module in readout(tmp_path).later_modules] == [
        "LayerNorm",
        "Dropout",
        "Dense",
        "Normalize",
        "Dense",
    ]
    for _ in range(2):  # nothing is drawn at random
        same(apply_post_modules(pooled(model), readout(tmp_path)), model.encode(TEXTS))


class TestNormalize:
    @pytest.fixture
    def directory(self, tiny_model: ModelFactory, tmp_path: Path) -> Path:
        return save_sentence_transformer(tiny_model("bert"), tmp_path, dense=8, normalize=True)

    def test_false_leaves_the_checkpoint_s_own_out(self, directory: Path) -> None:
        vectors = pooled(SentenceTransformer(str(directory), device="cpu"))
        raw, scaled = (
            apply_post_modules(vectors, readout(directory, False)),
            apply_post_modules(vectors, readout(directory)),
        )
        assert np.abs(np.linalg.norm(raw, axis=1) - 1).min() > 1e-3
        same(scaled, unit(raw))

    def test_true_scales_whatever_comes_out(self) -> None:
        vectors = np.random.default_rng(0).normal(size=(5, 32)).astype(np.float32)
        same(apply_post_modules(vectors, plain(normalize=True)), unit(vectors))

    def test_a_row_of_zeros_stays_one(self) -> None:
        vectors = np.zeros((2, 32), dtype=np.float32)
        vectors[1, 3] = 5
        result = apply_post_modules(vectors, plain(normalize=True))
        assert not result[0].any()
        assert result[1].tolist() == [0, 0, 0, 1, *[0] * 28]


def test_where_nothing_follows_nothing_is_done() -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 32)).astype(np.float32)
    assert apply_post_modules(vectors, plain()) is vectors


def test_the_vectors_given_stay_as_they_are(tiny_model: ModelFactory, tmp_path: Path) -> None:
    save_sentence_transformer(tiny_model("bert"), tmp_path, dense=8, normalize=True)
    vectors = np.random.default_rng(0).normal(size=(5, 32)).astype(np.float32)
    before = vectors.copy()
    result = apply_post_modules(vectors, readout(tmp_path, True))
    np.testing.assert_array_equal(vectors, before)
    assert result.flags.c_contiguous
    assert result.flags.writeable


def test_no_texts_are_no_rows_of_the_right_width(tiny_model: ModelFactory, tmp_path: Path) -> None:
    save_sentence_transformer(tiny_model("bert"), tmp_path, dense=8, normalize=True)
    assert apply_post_modules(np.zeros((0, 32), dtype=np.float32), readout(tmp_path)).shape == (
        0,
        8,
    )


def test_the_company_of_other_texts_changes_nothing(
    tiny_model: ModelFactory, tmp_path: Path
) -> None:
    save_sentence_transformer(tiny_model("bert"), tmp_path, dense=8, normalize=True)
    vectors = np.random.default_rng(0).normal(size=(50, 32)).astype(np.float32)
    alone = np.concatenate(
        [apply_post_modules(vectors[row : row + 1], readout(tmp_path)) for row in range(50)]
    )
    same(apply_post_modules(vectors, readout(tmp_path)), alone)


class TestFiles:
    @pytest.fixture
    def weights(self, tiny_model: ModelFactory, tmp_path: Path) -> Path:
        save_sentence_transformer(tiny_model("bert"), tmp_path / "model", dense=8)
        return tmp_path / "model" / "2_Dense" / "model.safetensors"

    def test_a_module_that_changed_is_read_again(self, weights: Path) -> None:
        vectors = np.random.default_rng(0).normal(size=(5, 32)).astype(np.float32)
        before = apply_post_modules(vectors, readout(weights.parents[1]))
        tensors = load_file(weights)
        save_file({name: -tensor for name, tensor in tensors.items()}, weights)
        after = apply_post_modules(vectors, readout(weights.parents[1]))
        assert np.abs(after - before).max() > 1e-2
        same(
            after,
            SentenceTransformer(str(weights.parents[1]), device="cpu")[2](
                {"sentence_embedding": torch.from_numpy(vectors)}
            )["sentence_embedding"]
            .detach()
            .numpy(),
        )

    @pytest.mark.parametrize("content", [b"", b"\xff" * 100, None])
    def test_a_module_that_is_damaged_is_an_error(
        self, weights: Path, content: bytes | None
    ) -> None:
        weights.write_bytes(weights.read_bytes()[:-10] if content is None else content)
        spec = readout(weights.parents[1])
        with pytest.raises(
            ModelIntegrityError, match=r"The module Dense in '.*2_Dense' cannot be loaded: "
        ):
            apply_post_modules(np.zeros((1, 32), dtype=np.float32), spec)

    def test_a_module_replaced_after_its_model_was_opened_is_not_applied(
        self, weights: Path
    ) -> None:
        spec = readout(weights.parents[1])
        save_file({name: 3 * tensor for name, tensor in load_file(weights).items()}, weights)
        with pytest.raises(ModelChangedError, match="2_Dense' changed while it was being read"):
            apply_post_modules(np.zeros((1, 32), dtype=np.float32), spec)

    def test_a_model_that_moved_is_the_same(self, weights: Path, tmp_path: Path) -> None:
        vectors = np.random.default_rng(0).normal(size=(5, 32)).astype(np.float32)
        before = apply_post_modules(vectors, readout(weights.parents[1]))
        shutil.move(weights.parents[1], tmp_path / "elsewhere")
        np.testing.assert_array_equal(
            apply_post_modules(vectors, readout(tmp_path / "elsewhere")), before
        )


class TestSettingsOfTheProcess:
    """The vectors of a checkpoint are those of its files, in float32."""

    @pytest.fixture
    def directory(self, tiny_model: ModelFactory, tmp_path: Path) -> Path:
        return save_sentence_transformer(tiny_model("bert"), tmp_path, dense=8, normalize=True)

    def apply(self, directory: Path) -> NDArray[np.float32]:
        vectors = np.random.default_rng(0).normal(size=(5, 32)).astype(np.float32)
        return apply_post_modules(vectors, readout(directory))

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
    def test_a_default_dtype(self, dtype: torch.dtype, directory: Path) -> None:
        expected = self.apply(Path(shutil.copytree(directory, directory / "copy")))
        torch.set_default_dtype(dtype)
        try:
            result = self.apply(directory)
        finally:
            torch.set_default_dtype(torch.float32)
        same(result, expected)

    def test_autocast(self, directory: Path) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = self.apply(directory)
        same(result, self.apply(directory))


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("n_features", [1, 5, 32])
def test_a_vector_is_truncated_before_it_is_normalized(normalize: bool, n_features: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 32)).astype(np.float32)
    spec = OutputSpec((3,), "concat", ("mean",), (), normalize, n_features)
    kept = vectors[:, :n_features]
    result = apply_post_modules(vectors, spec)
    same(result, unit(kept) if normalize else kept)
    assert result.flags.c_contiguous
