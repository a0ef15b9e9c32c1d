"""Compare feature sets on the same folds: scores with intervals, tests, and costs.

`target` reads the target, `folds` splits the rows, `metrics` scores, `candidates` are the feature
sets. `cross_validation` fits them (`fitting`, `default_estimators`), reads `probabilities` and
measures (`peak_memory`); each gives an `outcome`. `results_table` ranks outcomes by the intervals
and tests of `statistics`, `result` is what users read, before plots and files. `example` is the
built-in data set.
"""
