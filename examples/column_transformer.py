"""Text beside numbers: a review's vectors and its price in one model."""

from __future__ import annotations

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bertvectorizer import BertVectorizer

REVIEWS = pd.DataFrame(
    {
        "review": [
            "The zip broke on the second day.",
            "Keeps me dry in heavy rain, and looks good too.",
            "Far too thin for winter, I sent it back.",
            "My favourite jacket in years.",
            "The sleeves are too short and the seams come apart.",
            "Warm, light and well made.",
            None,
            "It does what it should.",
        ],
        "price": [39.0, 120.0, 45.0, 149.0, 29.0, 135.0, 25.0, 99.0],
        "kept": [False, True, False, True, False, True, False, True],
    }
)


def main() -> None:
    """Fit a classifier on both columns, and print what it thinks of two new jackets."""
    features = ColumnTransformer(
        [("text", BertVectorizer(), "review"), ("number", StandardScaler(), ["price"])]
    )
    model = make_pipeline(features, LogisticRegression(max_iter=1000)).fit(REVIEWS, REVIEWS["kept"])

    jackets = pd.DataFrame(
        {
            "review": ["The lining tore at once.", "Snug, and worth every penny."],
            "price": [35.0, 140.0],
        }
    )
    for jacket, probability in zip(
        jackets.itertuples(), model.predict_proba(jackets)[:, 1], strict=True
    ):
        print(f"{probability:.2f}  {jacket.review}")
    names = model[0].get_feature_names_out()
    print(f"{len(names)} features, from {names[0]} to {names[-1]}")


if __name__ == "__main__":
    main()
