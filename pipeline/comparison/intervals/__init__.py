"""Intervals and paired tests from the predictions of all repeats.

- `class_metrics`: F1, precision, recall and others as functions of counts by class
- `row_metrics`: losses of rows, and R2, as functions of sums over rows
- `estimates`: the interval of a score, and the test of a difference, by what suits the metric
- `selection`: the score of the best of many, corrected for their selection
"""
