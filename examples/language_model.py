"""Texts without labels: adapt a language model, ask it for words, use it for features."""

from __future__ import annotations

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from bertvectorizer import LanguageModel

LOGS = [
    f"{pump} {fault} in hall {hall}."
    for pump in ("Pump P7", "Pump P9", "Valve V2")
    for fault in ("leaks oil", "runs hot", "stands still")
    for hall in ("one", "two", "three")
]


def main() -> None:
    """Adapt the default model to log lines, and find which ask for a plumber."""
    unlabelled, labelled = LOGS[::2], LOGS[1::2]
    model = LanguageModel(trainable_layers=2, epochs=8, learning_rate=5e-4, random_state=0)
    model.fit(unlabelled)
    print(f"loss: {model.loss_curve_[0]:.2f}, then {model.loss_curve_[-1]:.2f}")
    print(f"log-likelihood of a token in other lines: {model.score(labelled):.2f}")

    found = model.fill_mask("Pump P7 [MASK] oil in hall one.", targets=["leaks", "drinks"])
    for row in found.itertuples():
        print(f"{row.share:.2f}  {row.text}")

    leaks = ["leaks" in line for line in labelled]
    alarm = make_pipeline(model.vectorizer(layers=-2), LogisticRegression()).fit(labelled, leaks)
    print("plumber:", alarm.predict(["Valve V4 leaks water.", "Valve V4 runs hot."]).tolist())


if __name__ == "__main__":
    main()
