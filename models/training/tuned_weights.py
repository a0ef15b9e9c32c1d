"""What training changed: as bytes for an estimator, and as a directory that other tools open."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ...errors import ModelIntegrityError
from ...output_file import atomic_directory
from ..checkpoint.weights import quiet_transformers
from .heads import ArchitectureHead, LinearHead

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from .network import TrainableNetwork

__all__ = ["TunedWeights", "save_directory"]

_REMEDY = "The file of this estimator is damaged. Load it again, or fit again."
_PADDING = "<pad>"


@dataclass(frozen=True)
class TunedWeights:
    """The parameters that training changed, in the safetensors format."""

    data: bytes

    @classmethod
    def of(cls, network: TrainableNetwork) -> TunedWeights:
        """Take those that train."""
        return cls(
            save(
                {
                    name: parameter.detach().cpu().contiguous()
                    for name, parameter in network.named_parameters()
                    if name in network.trained
                }
            )
        )

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the parameters by name, or raise `ModelIntegrityError`."""
        try:
            tensors: dict[str, torch.Tensor] = load(self.data)
        except (SafetensorError, TypeError, ValueError, KeyError) as error:
            raise ModelIntegrityError(
                f"The tuned weights cannot be read: {error}. {_REMEDY}"
            ) from error
        return tensors

    def load_into(self, network: TrainableNetwork) -> None:
        """Write them over those of a network, or raise `ModelIntegrityError`.

        The network is of the same spec, but may train more layers.
        """
        tensors = self.tensors()
        parameters = dict(network.named_parameters())
        expected = {name: (each.shape, each.dtype) for name, each in parameters.items()}
        found = {name: (each.shape, each.dtype) for name, each in tensors.items()}
        has_head = all(name in found for name in expected if name.startswith("head."))
        if not (has_head and found.items() <= expected.items()):
            raise ModelIntegrityError(f"The tuned weights do not fit this model. {_REMEDY}")
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise ModelIntegrityError(f"The tuned weights are not finite. {_REMEDY}")
        with torch.no_grad():
            for name, tensor in tensors.items():
                parameters[name].copy_(tensor)


def save_directory(
    network: TrainableNetwork,
    tokenizer: PreTrainedTokenizerBase,
    directory: Path,
    *,
    labels: Sequence[str],
    problem: str | None,
    max_length: int,
    poolings: Sequence[str],
    prompt: str = "",
) -> None:
    """Write a network as a directory that transformers and sentence-transformers open.

    The network must have all its layers, and cannot be used any more. ``labels`` are the names of
    the outputs, and ``problem`` is the ``problem_type`` of transformers. As a sentence-transformers
    model, the directory gives vectors under ``poolings``, of texts with ``prompt`` before them. A
    linear head lies in ``head/``, in the format of sentence-transformers' Dense.
    """
    head = network.head
    whole = head.with_base(network.base) if isinstance(head, ArchitectureHead) else network.base
    config = whole.config
    config.num_labels = len(labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    config.problem_type = problem
    for activation in ("sentence_transformers", "sbert_ce_default_activation_function"):
        vars(config).pop(activation, None)  # of the head that the base model had
    if problem == "regression":  # or CrossEncoder would apply a sigmoid
        config.sentence_transformers = {"activation_fn": "torch.nn.modules.linear.Identity"}
    tokenizer = copy.deepcopy(tokenizer)  # estimators share it
    tokenizer.model_max_length = max_length
    with atomic_directory(directory) as draft:
        with quiet_transformers():
            _give_padding_a_token(whole, tokenizer, "lasttoken" in head.poolings)
            whole.save_pretrained(draft)
            tokenizer.save_pretrained(draft)
        if isinstance(head, LinearHead):
            _write_json(
                draft / "head" / "config.json",
                {
                    "in_features": head.linear.in_features,
                    "out_features": head.linear.out_features,
                    "bias": True,
                    "activation_function": "torch.nn.modules.linear.Identity",
                },
            )
            tensors = {f"linear.{name}": each for name, each in head.linear.state_dict().items()}
            (draft / "head" / "model.safetensors").write_bytes(save(tensors, {"format": "pt"}))
        kinds = ("base.modules.Transformer", "sentence_transformer.modules.Pooling")
        _write_json(
            draft / "modules.json",
            [
                {
                    "idx": index,
                    "name": str(index),
                    "path": path,
                    "type": f"sentence_transformers.{kind}",
                }
                for index, (path, kind) in enumerate(zip(("", "1_Pooling"), kinds, strict=True))
            ],
        )
        _write_json(
            draft / "1_Pooling" / "config.json",
            {
                "embedding_dimension": network.checkpoint.hidden_size,
                "pooling_mode": list(poolings) if len(poolings) > 1 else poolings[0],
                "include_prompt": network.checkpoint.include_prompt,
            },
        )
        if prompt:
            _write_json(
                draft / "config_sentence_transformers.json",
                {"prompts": {"default": prompt}, "default_prompt_name": "default"},
            )
        _write_json(
            draft / "sentence_bert_config.json",
            {"max_seq_length": max_length, "do_lower_case": False},
        )


def _give_padding_a_token(
    whole: Any, tokenizer: PreTrainedTokenizerBase, reads_last_token: bool
) -> None:
    """Let batches be padded: a head that reads the last token finds it by what follows it.

    So that token may stand for nothing else, as it does where padding is the end of a text.
    """
    roles = ("bos", "eos", "cls", "sep", "unk", "mask")
    others = [getattr(tokenizer, f"{role}_token_id") for role in roles]
    pad_id: Any = tokenizer.pad_token_id
    if pad_id is None or (reads_last_token and pad_id in others):
        tokenizer.add_special_tokens({"pad_token": _PADDING})
        pad_id = tokenizer.pad_token_id
        if pad_id >= whole.get_input_embeddings().num_embeddings:
            whole.resize_token_embeddings(pad_id + 1, mean_resizing=False)
    if reads_last_token:
        whole.config.get_text_config().pad_token_id = pad_id


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
