"""The contenders, and how each turns a list of texts into vectors."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Contender:
    """One row of the tables.

    Attributes
    ----------
    name : str
    engine : str
        Key of `ENGINES`.
    precision : str
    options : dict
        Further parameters of the engine.
    requires : tuple of str
        Packages without which it is left out.
    """

    name: str
    engine: str
    precision: str
    options: dict[str, Any]
    requires: tuple[str, ...] = ()


def contender(
    engine: str, precision: str = "float32", requires: tuple[str, ...] = (), **options: Any
) -> Contender:
    """Return a contender, named by its settings."""
    name = " ".join([engine, precision, *(f"{key}={value}" for key, value in options.items())])
    return Contender(name, engine, precision, options, requires)


@dataclass(frozen=True)
class ModelSetup:
    """The model directory, its ONNX file, and the device."""

    model: str
    onnx: str
    device: str


class Engine(ABC):
    """A contender, loaded."""

    def __init__(self, contender: Contender, setup: ModelSetup) -> None:
        self.load(contender, setup)

    @abstractmethod
    def load(self, contender: Contender, setup: ModelSetup) -> None:
        """Load the model."""

    @abstractmethod
    def encode(self, texts: list[str]) -> np.ndarray:
        """Return one vector per text, in main memory. *Shape:* ``(n_texts, hidden)``."""


class SentenceTransformers(Engine):
    """``SentenceTransformer.encode`` with its default batch size of 32 texts."""

    def load(self, contender: Contender, setup: ModelSetup) -> None:
        import torch
        from sentence_transformers import SentenceTransformer

        options = {"dtype": getattr(torch, contender.precision)}
        self._model = SentenceTransformer(
            setup.model, device=setup.device, model_kwargs=options, local_files_only=True
        )

    def encode(self, texts: list[str]) -> np.ndarray:
        return self._model.encode(texts, show_progress_bar=False).astype(np.float32, copy=False)


class Skrub(Engine):
    """skrub's text encoder without PCA; its block scaling is reverted."""

    def load(self, contender: Contender, setup: ModelSetup) -> None:
        import pandas as pd
        import skrub

        name = (
            "LLMEncoder" if hasattr(skrub, "LLMEncoder") else "TextEncoder"
        )  # its name before skrub 0.11
        self._column = pd.Series
        self._encoder = getattr(skrub, name)(setup.model, n_components=None, device=setup.device)
        self._encoder.fit(self._column(["one text", "another text"], name="text"))

    def encode(self, texts: list[str]) -> np.ndarray:
        frame = self._encoder.transform(self._column(texts, name="text"))
        return frame.to_numpy() * self._encoder.scaling_factor_


class ExportedModel(Engine):
    """A runtime of exported networks, in sentence-transformers' batches."""

    def load(self, contender: Contender, setup: ModelSetup) -> None:
        from .network import load_tokenizer

        self._tokenizer = load_tokenizer(Path(setup.model))
        self._open(setup.onnx, contender.precision)

    @abstractmethod
    def _open(self, path: str, precision: str) -> None:
        """Load the network."""

    @abstractmethod
    def _states(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Run the network. *Shape:* ``(n_texts, length, hidden)``."""

    def encode(self, texts: list[str]) -> np.ndarray:
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        vectors: list[np.ndarray] = []
        for start in range(0, len(order), 32):
            vectors.append(self._encode_batch([texts[row] for row in order[start : start + 32]]))
        return np.concatenate(vectors)[np.argsort(order)]

    def _encode_batch(self, texts: list[str]) -> np.ndarray:
        encodings = self._tokenizer.encode_batch(texts)
        lengths = np.array([len(encoding.ids) for encoding in encodings])
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.zeros(mask.shape, dtype=np.int64)
        ids[mask] = np.concatenate([encoding.ids for encoding in encodings])
        states = self._states(ids, mask.astype(np.int64))
        means = np.einsum("blh,bl->bh", states, mask.astype(np.float32)) / lengths[:, None]
        return means / np.linalg.norm(means, axis=1, keepdims=True)


class OnnxRuntime(ExportedModel):
    """ONNX Runtime with all graph optimizations; int8 by its own dynamic quantization."""

    def _open(self, path: str, precision: str) -> None:
        import onnxruntime

        if precision == "int8":
            from onnxruntime.quantization import quantize_dynamic

            path, exact = f"{path}.int8", path
            quantize_dynamic(exact, path, per_channel=True)
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def _states(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return self._session.run(None, {"ids": ids, "mask": mask})[0]


class OpenVino(ExportedModel):
    """OpenVINO's runtime on the CPU."""

    def _open(self, path: str, precision: str) -> None:
        import openvino

        hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
        core = openvino.Core()
        model = core.read_model(path)
        self._model = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})

    def _states(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return self._model([ids, mask])[0]


class Bertvectorizer(Engine):
    """This library: ``BertVectorizer(store=None).transform``."""

    def load(self, contender: Contender, setup: ModelSetup) -> None:
        from bertvectorizer import BertVectorizer

        settings = {
            "precision": contender.precision,
            "device": setup.device,
            "local_files_only": True,
            "store": None,
        }
        self._vectorizer = BertVectorizer(**settings, **contender.options)
        self._vectorizer.transform(["one text"])

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.asarray(self._vectorizer.transform(texts))


ENGINES: dict[str, type[Engine]] = {
    "sentence-transformers": SentenceTransformers,
    "skrub": Skrub,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "bertvectorizer": Bertvectorizer,
}


def export_onnx(directory: str, path: str) -> None:
    """Write the network as ONNX, in a form whose GELU and softmax ONNX Runtime fuses."""
    import torch
    from transformers import AutoModel

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModel.from_pretrained(
                directory,
                attn_implementation="eager",
                add_pooling_layer=False,
                local_files_only=True,
            ).eval()

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            added = (1.0 - mask[:, None, None].float()) * torch.finfo(torch.float32).min
            return self.model(
                input_ids=ids, attention_mask=added, token_type_ids=torch.zeros_like(ids)
            ).last_hidden_state

    example = torch.ones((2, 7), dtype=torch.long)
    axes = {0: "texts", 1: "tokens"}
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the older exporter announces its end; the newer one loses the mask
        torch.onnx.export(
            States(), (example, example), path,
            input_names=["ids", "mask"], output_names=["states"], opset_version=17, dynamo=False,
            dynamic_axes={"ids": axes, "mask": axes, "states": axes},
        )  # fmt: skip
