"""What users hold, read as texts, words and spans: lists, arrays, columns of pandas and polars, tables."""
