"""Which part of a text answers a question? Train on a few, and ask about new ones."""

from __future__ import annotations

import pandas as pd

from bertvectorizer import BertAnswerer

SHIPS = {"Orla": ("Ferrol", "nine"), "Tern": ("Cadiz", "six"), "Brisa": ("Vigo", "ten")}
SHIPS |= {"Luz": ("Palma", "two"), "Kestrel": ("Bilbao", "four"), "Alba": ("Malaga", "one")}


def questions(ship: str, port: str, hour: str) -> tuple[pd.DataFrame, list[tuple[str, int] | None]]:
    """Return three questions on a notice, and their answers; the third has none."""
    notice = f"The {ship} sails to {port} at {hour}."
    X = pd.DataFrame({"question": ["Where does it sail?", "When does it sail?", "Who steers it?"]})
    answers = [(port, notice.index(port)), (hour, notice.index(f"{hour}."))]
    return X.assign(context=notice), [*answers, None]


def main() -> None:
    """Train the two upper layers of the default model, and answer questions on another ship."""
    trained = [questions(ship, *notice) for ship, notice in SHIPS.items()]
    X = pd.concat([table for table, _ in trained], ignore_index=True)
    y = [answer for _, answers in trained for answer in answers]
    answerer = BertAnswerer(trainable_layers=2, epochs=12, learning_rate=1e-3, random_state=0)
    answerer.fit(X, y)

    X_new, y_new = questions("Marta", "Lisbon", "seven")
    for question, row in zip(X_new["question"], answerer.predict(X_new).itertuples(), strict=True):
        print(f"{question} {row.answer or '(not in the text)'}")
    print(f"F1 {answerer.score(X_new, y_new):.2f}, exact {answerer.exact_match(X_new, y_new):.2f}")


if __name__ == "__main__":
    main()
