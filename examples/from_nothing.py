"""No checkpoint at all: a vocabulary and a small network for an invented language."""

from __future__ import annotations

import numpy as np
from transformers import AutoTokenizer

from bertvectorizer import LanguageModel, architectures, train_wordpiece

# Each sentence is a subject, a verb and an object, and the verb goes with the subject.
WORDS = {"tavo": ("rilem", "rilok"), "kesu": ("dalem", "dalok"), "mipo": ("zunem", "zunok")}


def sentences(n_sentences: int, seed: int) -> list[str]:
    """Return random sentences of the language."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_sentences):
        subject, thing = rng.choice(list(WORDS), 2)
        found.append(f"{subject} {rng.choice(WORDS[subject])} {thing}s.")
    return found


def main() -> None:
    """Learn word pieces, then a network of two layers, and ask it for verbs."""
    texts = sentences(300, seed=0)
    tokenizer = train_wordpiece(texts, vocab_size=100)
    print(AutoTokenizer.from_pretrained(tokenizer).tokenize("Tavo dalems kesu."))
    size = architectures(vocab_size=100).loc["bert-tiny"]
    print(f"bert-tiny: {size['layers']} layers, {size['parameters']:,} parameters")

    model = LanguageModel(
        architecture="bert-tiny", tokenizer=tokenizer, epochs=6, learning_rate=2e-3, random_state=0
    ).fit(texts)
    first, last = model.loss_curve_[0], model.loss_curve_[-1]
    print(f"loss: {first:.2f} in the first epoch, {last:.2f} in the last")
    found = model.fill_mask("kesu [MASK] tavos.", targets=["dalem", "dalok", "rilem", "zunok"])
    print("verbs of kesu:", found["token"].tolist())


if __name__ == "__main__":
    main()
