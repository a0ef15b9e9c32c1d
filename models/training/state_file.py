"""Keep where a training is in a file, so that another process goes on from there."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ...errors import InvalidParameterError, ModelIntegrityError
from ...foreign import foreign_errors_as, reason_of
from ...output_file import atomic_write
from ...validation import short_repr
from ...warning import warn_user
from .loop import Training, TrainingState

__all__ = ["StateFile"]

_REMEDY = "Remove the file to begin anew."


class StateFile:
    """The state of a training after its last epoch, in the safetensors format.

    Whenever the process ends, the file holds the state of one epoch or the next. What the training
    depends on stands in its header as ``facts``, by name and ready for JSON.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def facts(self) -> dict[str, Any] | None:
        """Return the facts of the training in the file; None if there is no file.

        Raises `ModelIntegrityError` for a damaged one.
        """
        if not self.path.exists():
            return None
        facts: dict[str, Any] = json.loads(self._header()["facts"])
        return facts

    def save(self, training: Training, facts: Mapping[str, Any]) -> None:
        """Write the state of a training; where that fails, warn."""
        state = training.state()
        header = {"format": "pt", "facts": json.dumps(facts), "numbers": json.dumps(state.numbers)}
        header["digest"] = _digest(header, state.tensors)
        drafts = f"{glob.escape(self.path.name)}.part-{'[0-9a-f]' * 8}"
        for draft in self.path.parent.glob(drafts):  # of a process that ended
            with suppress(OSError):
                draft.unlink()
        try:
            with atomic_write(self.path) as file:
                save_file(state.tensors, file.name, header)
        except Exception as error:  # safetensors has an error of its own for a full disk
            warn_user(
                f"The state of this training cannot be written to '{self.path}':"
                f" {reason_of(error)}. It goes on, but resume=True begins with an earlier epoch or"
                " anew. Make room there."
            )

    def restore(self, training: Training, facts: Mapping[str, Any]) -> bool:
        """Let a training go on from the file, if there is one; return whether there is.

        Raises `InvalidParameterError` if its facts are others, and `ModelIntegrityError` if it is
        damaged.
        """
        found = self.facts()
        if found is None:
            return False
        expected = json.loads(json.dumps(facts))
        for name in expected | found:
            if found.get(name) != expected.get(name):
                raise InvalidParameterError(
                    f"resume=True goes on with the same training only. In '{self.path}' {name} was"
                    f" {short_repr(found.get(name))}, and is {short_repr(expected.get(name))} now."
                    f" Fit as before, choose another file, or remove this one to begin anew."
                )
        header = self._header()
        with self._reading():
            tensors = load_file(self.path)
            if _digest(header, tensors) != header["digest"]:
                raise ValueError("its content differs from its digest")
            training.restore(TrainingState(tensors, json.loads(header["numbers"])))
        return True

    def _header(self) -> dict[str, str]:
        with self._reading(), safe_open(self.path, "pt") as file:
            header: dict[str, str] = file.metadata() or {}
            if not {"facts", "numbers", "digest"} <= header.keys():
                raise ValueError("it holds no state of a training")
            if not isinstance(json.loads(header["facts"]), dict):
                raise ValueError("it holds no facts of a training")
        return header

    def _reading(self) -> Any:
        return foreign_errors_as(
            ModelIntegrityError, f"The state of a training in '{self.path}' cannot be read", _REMEDY
        )


def _digest(header: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> str:
    """Return a digest of all that a file holds; the format has none, and bits may flip."""
    texts = json.dumps([header["facts"], header["numbers"]])
    digest = hashlib.blake2b(texts.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
