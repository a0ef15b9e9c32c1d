"""Comparing kinds of features: the same folds for all, scores with intervals and tests, and what each costs."""
