"""Which layer and which pooling suit these texts? Search them like any other parameter."""

from __future__ import annotations

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bertvectorizer import BertVectorizer
from bertvectorizer.pipeline import load_example


def main() -> None:
    """Search on a part of the built-in example, and print each candidate's accuracy."""
    example = load_example().head(80)
    pipe = make_pipeline(
        BertVectorizer(), StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)
    )
    grid = {
        "bertvectorizer__layers": [-1, -2, "-1,-2,-3,-4"],
        "bertvectorizer__pooling": ["mean", "max"],
    }
    search = GridSearchCV(pipe, grid, cv=StratifiedKFold(2, shuffle=True, random_state=0))
    search.fit(example["text"], example["label"])

    for parameters, accuracy in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        print(
            f"{accuracy:.3f}  layers={parameters['bertvectorizer__layers']!s:12}"
            f" pooling={parameters['bertvectorizer__pooling']}"
        )
    print("best:", search.best_params_)


if __name__ == "__main__":
    main()
