"""Tokens a second of training: our packed loop, and a padded one as transformers' `Trainer` has."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, logging

from bertvectorizer.models import TextTokenizer, open_checkpoint
from bertvectorizer.models.checkpoint.source import locate
from bertvectorizer.models.checkpoint.text_tokens import load_tokenizer
from bertvectorizer.models.training.examples import Examples
from bertvectorizer.models.training.labelled import LabelledData
from bertvectorizer.models.training.loop import TrainingSettings, train
from bertvectorizer.models.training.network import NetworkSpec, TrainableNetwork

from .kept_results import Measurement
from .texts import labelled_sentences

BATCH_SIZE = 16
LEARNING_RATE = 1e-4
MAX_GRAD_NORM = 1.0


class PackedLoop:
    """Our loop: packed rows in batches of like length."""

    def __init__(self, model: str, texts: list[str], labels: list[int]) -> None:
        checkpoint = open_checkpoint(model)
        tokenizer = TextTokenizer(checkpoint, load_tokenizer(checkpoint))
        spec = NetworkSpec(
            unit="text", n_outputs=2, pooling=None, n_trained_layers=None, dropout=None,
            vocab_size=None, seed=0,
        )  # fmt: skip
        self._network = TrainableNetwork(checkpoint, torch.device("cpu"), spec)
        ones = np.ones(len(texts), dtype=np.float32)
        self._data = LabelledData(Examples(tokenizer(texts)), np.array(labels), ones)
        self.n_tokens = int(self._data.examples.n_tokens.sum())

    def train_epoch(self, seed: int) -> None:
        """Train on each text once."""
        settings = TrainingSettings(1, BATCH_SIZE, LEARNING_RATE, seed=seed)
        train(self._network, self._data, settings)


class PaddedLoop:
    """What `Trainer` does by default: random batches, padded to their longest text.

    AdamW is the fused one, which is the default of `TrainingArguments` since PyTorch 2.8;
    ``fused=None`` is the one before.
    """

    def __init__(self, model: str, texts: list[str], labels: list[int], fused: bool | None) -> None:
        path = str(locate(model, local_files_only=True))
        self._tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        self._rows = [{"input_ids": ids} for ids in self._tokenizer(texts)["input_ids"]]
        self._labels = torch.tensor(labels)
        self._fused = fused
        logging.set_verbosity_error()  # of a head that is new
        self._model = AutoModelForSequenceClassification.from_pretrained(
            path, num_labels=2, local_files_only=True
        )

    def train_epoch(self, seed: int) -> None:
        """Train on each text once."""
        torch.manual_seed(seed)
        self._model.train()
        optimizer = torch.optim.AdamW(
            self._model.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=self._fused
        )
        batches = torch.randperm(len(self._rows)).split(BATCH_SIZE)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, len(batches))
        for rows in batches:
            inputs = self._tokenizer.pad(
                [self._rows[row] for row in rows.tolist()], return_tensors="pt"
            )
            self._model(**inputs, labels=self._labels[rows]).loss.backward()
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), MAX_GRAD_NORM)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()


def measurements(
    data: Path, model: str, n_rounds: int, n_texts: int, limit: int | None
) -> Iterator[Measurement]:
    """Yield each round, in which the loops take turns over the same texts."""
    texts, labels = labelled_sentences(data, min(n_texts, limit or n_texts))
    loops: dict[str, Any] = {}

    def measure(number: int) -> dict[str, Any]:
        if not loops:
            loops["packed"] = PackedLoop(model, texts, labels)
            loops["padded"] = PaddedLoop(model, texts, labels, fused=True)
            loops["padded, AdamW not fused"] = PaddedLoop(model, texts, labels, fused=None)
            for loop in loops.values():  # to warm up
                loop.train_epoch(0)
        rates = {}
        for name, loop in loops.items():
            start = time.process_time()
            loop.train_epoch(number)
            rates[name] = loops["packed"].n_tokens / (time.process_time() - start)
        return {
            "tokens_per_second": rates,
            "ratio": {name: rates["packed"] / rate for name, rate in rates.items()},
            "texts": len(texts),
            "tokens": loops["packed"].n_tokens,
        }

    for number in range(1, n_rounds + 1):
        yield Measurement({"round": number}, lambda number=number: measure(number))
