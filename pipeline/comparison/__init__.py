"""Compare feature sets on the same folds: scores with intervals, tests, and costs."""
