"""ULM-FiT: adapt a language model to texts without labels, then unfreeze a classifier by layer."""

from __future__ import annotations

import tempfile
from typing import Any

from bertvectorizer import BertClassifier, LanguageModel
from bertvectorizer.pipeline import load_example

RATES: dict[str, Any] = {
    "layer_decay": 1 / 2.6,  # discriminative rates
    "schedule": "slanted_triangular",
    "trainable_layers": 2,
    "random_state": 0,
}


def main() -> None:
    """Adapt the default model to sentences, train on a few labels, and judge on others."""
    example = load_example()
    unlabelled, labelled, test = example[:32], example[32:96], example[96:160]
    language_model = LanguageModel(epochs=2, **RATES).fit(unlabelled["text"])
    first, last = language_model.loss_curve_
    print(f"language model: loss {first:.2f}, then {last:.2f}")

    with tempfile.TemporaryDirectory() as directory:
        adapted = language_model.save_pretrained(directory)
        classifier = BertClassifier(
            adapted,
            pooling=("cls", "max", "mean"),
            epochs=6,  # the head, then one more layer in each epoch
            unfreezing="gradual",
            batch_size=8,
            head_learning_rate=2e-3,
            **RATES,
        )
        classifier.fit(labelled["text"], labelled["label"])
        print(f"accuracy: {classifier.score(test['text'], test['label']):.2f}")


if __name__ == "__main__":
    main()
